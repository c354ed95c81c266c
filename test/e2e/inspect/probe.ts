/**
 * Runs in an inspector's place, with an inspector's rights, and tries what code in one must not be
 * able to do. The request's body says what.
 */
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
// oxlint-disable-next-line no-restricted-imports -- what an attacker would import
import { enableCompileCache, flushCompileCache, getCompileCacheDir } from 'node:module';
import { connect, createServer } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
// oxlint-disable-next-line no-restricted-imports -- the door is for those who start an inspector
import { giveUpStartRights } from '../../../server/inspect/rights.ts';

export interface ProbeBody {
  readonly attempt: keyof typeof ATTEMPTS;
  readonly path?: string;
}

const ATTEMPTS = {
  read: (path: string) => readFileSync(path).length,
  write: (path: string) => writeFileSync(path, 'written'),
  link: (path: string) => symlinkSync('/etc/passwd', path),
  start: () => spawnSync('/bin/true').error ?? 'started',
  thread: () => new Worker('1', { eval: true }),
  library: async () => await import('koffi'),
  binding: () => (process as unknown as { binding(name: string): unknown }).binding('fs'),
  /** A file of a database is a file. */
  database: async (path: string) =>
    new (await import('node:sqlite')).DatabaseSync(path).exec('VACUUM'),
  /** V8 can be told to write down what it compiles. */
  trace: (path: string) => {
    for (const flag of [
      '--redirect-code-traces',
      `--redirect-code-traces-to=${path}`,
      '--trace-opt',
    ])
      setFlagsFromString(flag);
    const busy = (factor: number): number => {
      let sum = 0;
      for (let index = 0; index < 1000; index += 1) sum += factor * index;
      return sum;
    };
    for (let round = 0; round < 20_000; round += 1) busy(round);
  },
  // oxlint-disable-next-line typescript/no-implied-eval -- what an attacker would do
  evaluate: () => new Function('return 1')() as unknown,
  kill: (pid: string) => process.kill(Number(pid), 'SIGUSR1'),
  rawKill: (pid: string) =>
    (process as unknown as { _kill(pid: number, signal: number): number })['_kill'](
      Number(pid),
      10,
    ),
  debug: (pid: string) =>
    (process as unknown as { _debugProcess(pid: number): void })['_debugProcess'](Number(pid)),
  connect: async (target: string) =>
    await new Promise((resolve, reject) => {
      const options = target.startsWith('/') ? { path: target } : { port: Number(target) };
      connect(options).once('connect', resolve).once('error', reject);
    }),
  listen: async (path: string) =>
    await new Promise((resolve, reject) => {
      createServer()
        .once('error', reject)
        .listen(path, () => resolve('listening'));
    }),
  datagram: async () =>
    await new Promise((resolve, reject) => {
      createSocket('udp4').send('x', 9, '127.0.0.1', (error) =>
        error ? reject(error) : resolve(1),
      );
    }),
  /** What is compiled here must not be what another process runs. */
  poison: async () => {
    await import('../../fixtures/random.ts');
    flushCompileCache();
    enableCompileCache();
    return getCompileCacheDir();
  },
  flood: () => {
    const remark = { kind: 'warning', message: 'more and more' };
    for (let count = 0; count < 20_000; count += 1) process.send?.({ kind: 'remark', remark });
  },
  crooked: () => {
    for (const message of CROOKED) process.send?.(message);
  },
  heap: () => {
    for (const kept: number[][] = []; ; ) kept.push(Array.from({ length: 100_000 }, Math.random));
  },
  buffers: () => {
    for (const kept: Buffer[] = []; ; ) kept.push(Buffer.alloc(16 * 1024 * 1024, 1));
  },
  hang: () => {
    for (;;);
  },
  /** Waits as for a slow reader: silent, and no fault. */
  wait: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4_000),
  die: () => process.abort(),
  leave: () => process.exit(0),
} as const;

/** Messages that no inspector in its right mind sends. */
const CROOKED: readonly unknown[] = [
  ...[null, 7, 'text', [], {}, { kind: 'unheard of' }],
  { kind: 'reply', number: { toString: 1 }, ok: true },
  { kind: 'reply', number: 99, ok: false },
  { kind: 'remark' },
  { kind: 'remark', remark: { kind: 'failure', error: { code: 'toString', message: 1 } } },
  { kind: 'remark', remark: { kind: 'warning', message: '\x1b]0;owned\x07\u202e\x9b2J' } },
];

giveUpStartRights();
process.on('message', (message: { kind: string; number: number; body: ProbeBody }) => {
  if (message.kind === 'request') void answer(message.number, message.body);
});
process.on('disconnect', () => process.exit(0));

/** The attempt's error as the request's remark, or what it gave as a warning. */
async function answer(number: number, { attempt, path = '' }: ProbeBody): Promise<void> {
  let message: string;
  try {
    const result: unknown = await ATTEMPTS[attempt](path);
    message = result instanceof Error ? `refused: ${String(result)}` : `done: ${String(result)}`;
  } catch (error) {
    message = `refused: ${(error as NodeJS.ErrnoException).code ?? ''} ${String(error)}`;
  }
  process.send?.({ kind: 'remark', remark: { kind: 'warning', message } });
  process.send?.({ kind: 'reply', number, ok: true, outcome: { failures: 0 } });
}
