/**
 * Runs in an inspector's place, with an inspector's rights, and tries what code in one must not be
 * able to do. The request's body says what.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
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
