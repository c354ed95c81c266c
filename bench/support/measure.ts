import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What one command took, its children included. */
export interface Cost {
  readonly seconds: number;
  /** User and system time of the process and all it waited for. */
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
}

const TIMEOUT_MS = 1_800_000;

/**
 * Runs a command to its end under GNU time.
 *
 * @throws Error when it fails.
 */
export function measureCommand(
  command: readonly string[],
  options: { env: NodeJS.ProcessEnv; cwd?: string; report: string },
): Cost {
  const { env, cwd, report } = options;
  const startedAt = performance.now();
  const { status, stderr } = spawnSync(
    '/usr/bin/time',
    ['--format', '%U %S %M', '--output', report, ...command],
    { env, ...(cwd === undefined ? {} : { cwd }), encoding: 'utf8', timeout: TIMEOUT_MS },
  );
  const seconds = (performance.now() - startedAt) / 1000;
  if (status !== 0) throw new Error(`${command.join(' ')}: exit ${status}: ${stderr}`);
  const [user, system, peakKib] = readFileSync(report, 'utf8').trim().split(' ').map(Number);
  return {
    seconds,
    cpuSeconds: (user ?? Number.NaN) + (system ?? Number.NaN),
    peakRssBytes: (peakKib ?? Number.NaN) * 1024,
  };
}

/** Bytes that a folder's files take, as `du` counts them by length. */
export function folderBytes(folder: string): number {
  const { stdout } = spawnSync('du', ['--bytes', '--summarize', folder], { encoding: 'utf8' });
  return Number(stdout.split('\t')[0]);
}
