import { spawnSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';

/** What a figure was measured on: without it, it says nothing. */
export interface MachineRecord {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  /** Load average of the last minute before the run: other work shows here. */
  readonly loadBefore: number;
  readonly commit: string;
  readonly date: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** @param tools commands that print their version, by name. */
export function describeMachine(tools: Readonly<Record<string, readonly string[]>>): MachineRecord {
  const versions = Object.entries(tools).map(([name, command]) => [name, firstLine(command)]);
  const isClean = firstLine(['git', 'status', '--porcelain', '--untracked-files=no']) === '';
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    loadBefore: loadavg()[0] ?? 0,
    commit: firstLine(['git', 'rev-parse', 'HEAD']) + (isClean ? '' : ' with changes'),
    date: new Date().toISOString(),
    versions: Object.fromEntries(versions) as Record<string, string>,
  };
}

function firstLine([command = '', ...args]: readonly string[]): string {
  const { stdout, status } = spawnSync(command, args, {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  if (status !== 0) return 'unknown';
  return stdout.split('\n')[0] ?? '';
}
