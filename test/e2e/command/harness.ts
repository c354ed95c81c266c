/** The `rehydrate` command as a user runs it: a process of its own, with a cache folder of its own. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Scratch } from '../../fixtures/repository.ts';

const ROOT: string = path.join(import.meta.dirname, '../../..');
/** The command itself. */
export const REHYDRATE: string = path.join(ROOT, 'bin/rehydrate');

/** Exit statuses as the command documents them, written here again on purpose. */
export const EXIT = {
  ok: 0,
  io: 1,
  invalid: 2,
  notFound: 3,
  exists: 4,
  corrupt: 5,
  wrongKey: 7,
  noSpace: 8,
  busy: 9,
} as const;

const TIMEOUT_MS = 120_000;
const READY_TIMEOUT_MS = 30_000;
const OUTPUT_BYTES_MAX = 1024 * 1024 * 1024;

export interface Outcome {
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Runs the command; its local index lies in the scratch folder. */
export class Cli {
  readonly environment: NodeJS.ProcessEnv;

  constructor(scratch: Scratch, environment: Readonly<Record<string, string>> = {}) {
    const { REHYDRATE_PASSPHRASE: _passphrase, REHYDRATE_CONTROL: _control, ...own } = process.env;
    this.environment = {
      ...own,
      // Compiled code is the same for all: without it each test would compile everything anew.
      NODE_COMPILE_CACHE: path.join(ROOT, '.cache/compiled'),
      XDG_CACHE_HOME: scratch.file('xdg-cache'),
      XDG_STATE_HOME: scratch.file('xdg-state'),
      ...environment,
    };
  }

  /** Runs to the end, whatever the exit status. */
  run(...args: readonly string[]): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      execFile(
        REHYDRATE,
        args,
        {
          env: this.environment,
          timeout: TIMEOUT_MS,
          killSignal: 'SIGKILL',
          maxBuffer: OUTPUT_BYTES_MAX,
          encoding: 'buffer',
        },
        (error, stdout, stderr) => {
          const status = error === null ? 0 : error.code;
          if (typeof status === 'number') resolve({ status, stdout, stderr: stderr.toString() });
          else
            reject(
              new Error(`rehydrate ${args.join(' ')} did not end by itself`, { cause: error }),
            );
        },
      );
    });
  }

  /** Runs with `--json` and must succeed. */
  async json<T>(...args: readonly string[]): Promise<T> {
    const { status, stdout, stderr } = await this.run(...args, '--json');
    if (status !== 0) throw new Error(`rehydrate ${args.join(' ')}: exit ${status}: ${stderr}`);
    return JSON.parse(stdout.toString()) as T;
  }

  /** Runs with `--json` and must fail: the exit status and the error as programs see them. */
  async failure(...args: readonly string[]): Promise<{ status: number; error: ErrorShape }> {
    const { status, stdout, stderr } = await this.run(...args, '--json');
    if (status === 0) throw new Error(`rehydrate ${args.join(' ')} did not fail`);
    if (stdout.length > 0) throw new Error(`a failure printed a result: ${stdout.toString()}`);
    const last = stderr.trim().split('\n').at(-1) ?? '';
    return { status, error: (JSON.parse(last) as { error: ErrorShape }).error };
  }

  spawn(...args: readonly string[]): ChildProcess {
    return spawn(REHYDRATE, args, { env: this.environment, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Starts the service on a port that the system chooses. */
  async serve(repository: string, control: string, ...more: readonly string[]): Promise<Service> {
    const args = ['serve', repository, '--control', control, '--iscsi-listen', '127.0.0.1:0'];
    const child = this.spawn(...args, ...more, '--json');
    return await Service.ready(child);
  }
}

export interface ErrorShape {
  readonly code: string;
  readonly message: string;
  readonly where: { readonly object?: string; readonly offset?: number };
  readonly hint?: string;
}

export interface ReadyLine {
  readonly ready: true;
  readonly portal: string;
  readonly control: string;
  readonly processId: number;
  readonly iscsiProcessId: number;
}

/** A running service. */
export class Service {
  readonly child: ChildProcess;
  readonly ready: ReadyLine;
  readonly #log: string[];

  private constructor(child: ChildProcess, ready: ReadyLine, log: string[]) {
    this.child = child;
    this.ready = ready;
    this.#log = log;
  }

  static async ready(child: ChildProcess): Promise<Service> {
    const log: string[] = [];
    child.stderr?.on('data', (chunk: Buffer) => log.push(chunk.toString()));
    const timer = setTimeout(() => child.kill('SIGKILL'), READY_TIMEOUT_MS);
    try {
      if (child.stdout === null) throw new Error('the service has no output');
      for await (const line of createInterface({ input: child.stdout })) {
        return new Service(child, JSON.parse(line) as ReadyLine, log);
      }
      throw new Error(`the service ended before it was ready: ${log.join('')}`);
    } finally {
      clearTimeout(timer);
    }
  }

  /** All it has logged so far. */
  get log(): string {
    return this.#log.join('');
  }

  /** @returns its exit status. */
  async stop(): Promise<number | null> {
    const { child } = this;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), READY_TIMEOUT_MS);
      await ended;
      clearTimeout(timer);
    }
    return child.exitCode;
  }
}

/** Every file of a folder with its size, sorted: what "nothing was published" is judged by. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
}

export function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** The seed of a test of chance: from the environment to replay a run, else a new one. */
export function chooseSeed(): number {
  return Number(process.env['REHYDRATE_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
}

export function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch {
    return false;
  }
}
