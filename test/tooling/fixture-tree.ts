/** A throw-away tree that has this project's tools and settings, but files of the test's own. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const PROJECT_ROOT: string = path.resolve(import.meta.dirname, '../..');

const COMMAND_TIMEOUT_MS = 50_000;

export interface CommandResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A tree in the system's temporary folder; the caller disposes of it. */
export class FixtureTree implements Disposable {
  readonly root: string = mkdtempSync(path.join(tmpdir(), 'rehydrate-tooling-'));

  /** Copies `names` from the project, and makes its installed packages available. */
  constructor(names: readonly string[]) {
    symlinkSync(path.join(PROJECT_ROOT, 'node_modules'), path.join(this.root, 'node_modules'));
    for (const name of names) {
      mkdirSync(path.dirname(this.path(name)), { recursive: true });
      copyFileSync(path.join(PROJECT_ROOT, name), this.path(name));
    }
  }

  path(name: string): string {
    return path.join(this.root, name);
  }

  write(name: string, text: string): void {
    mkdirSync(path.dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text);
  }

  run(
    command: string,
    options: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): CommandResult {
    const result = spawnSync(command, options, {
      cwd: this.root,
      encoding: 'utf8',
      timeout: COMMAND_TIMEOUT_MS,
      maxBuffer: 64 << 20,
      env: { ...process.env, ...environment },
    });
    return { status: result.status, stdout: result.stdout, stderr: result.stderr };
  }

  /** Runs a program of node_modules/.bin on the Node that runs this test. */
  runTool(
    tool: string,
    options: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): CommandResult {
    const program = path.join(PROJECT_ROOT, 'node_modules/.bin', tool);
    return this.run(process.execPath, [program, ...options], environment);
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
