/**
 * Mutated PDUs against a running target, beside a session that reads on and checks every byte.
 *
 * The seed is in the test's name: `REHYDRATE_FUZZ_SEED` replays a run. `REHYDRATE_FUZZ_ISCSI_PDUS` says
 * how many mutated PDUs are sent; `make soak` sends a million.
 */
import { expect, it } from 'vitest';
import { cache, faulty } from '../../core/index.ts';
import {
  clearAttention,
  DISK_BYTES,
  randomDisk,
  read10,
  startTarget,
  type TargetFixture,
} from '../e2e/iscsi/fixture.ts';
import { seededRandom } from '../fixtures/random.ts';
import { attack, READ_OPCODES } from './iscsi/attack.ts';
import { MEMORY_GROWTH_BYTES, memoryInUseBytes } from './iscsi/memory.ts';

const SEED = Number(process.env['REHYDRATE_FUZZ_SEED'] ?? Date.now() % 2 ** 32);
const PDUS = Number(process.env['REHYDRATE_FUZZ_ISCSI_PDUS'] ?? 40_000);
const PARALLEL = 8;
const TIMEOUT_MS = 120_000 + 6 * PDUS;
const OPEN = 'iqn.2026-01.test:fuzzed';
const GUARDED = 'iqn.2026-01.test:guarded';
const VICTIMS = { open: OPEN, guarded: GUARDED, opcodes: READ_OPCODES, commandShare: 0.7, tags: 8 };

it(`survives ${PDUS} mutated PDUs, seed ${SEED}`, { timeout: TIMEOUT_MS }, async () => {
  const faults: string[] = [];
  const ignore = (): void => {};
  const disk = randomDisk(1);
  const fixture = await startTarget({
    logger: {
      debug: ignore,
      info: ignore,
      warn: ignore,
      error: (fields, message) => faults.push(`${message} ${JSON.stringify(fields)}`),
    },
    // Long enough for many PDUs and bursts; longer reads would mostly be time spent copying.
    limits: { initialR2T: false, maxTransferBytes: 256 * 1024 },
    // Kept events would grow with the run, and look like a leak.
    onEvent: ignore,
  });
  fixture.add(GUARDED, disk.source);
  fixture.target.addExport({
    iqn: OPEN,
    readOnly: true,
    source: cache(faulty(disk.source, [{ delayMs: 1, delayOnly: true }]), {
      budgetBytes: 1024 * 1024,
    }),
    identity: { serial: 'fuzzed', naa: '3000000000000043' },
    noAuthentication: true,
  });

  const stop = new AbortController();
  const neighbour = readOn(fixture, disk.data, stop.signal);
  const memoryBefore = memoryInUseBytes();
  let sent = 0;
  let next = 0;
  const worker = async (): Promise<void> => {
    while (sent < PDUS) {
      next += 1;
      const index = next;
      sent += await attack(fixture.port, VICTIMS, seededRandom(SEED + index), index % 5000);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));

  await expect.poll(() => fixture.target.sessions().length, { timeout: 5_000 }).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(memoryInUseBytes() - memoryBefore).toBeLessThan(MEMORY_GROWTH_BYTES);
  // Most of what is sent must get as far as a command, or this would test little.
  const ran = fixture.target.exports().find(({ iqn }) => iqn === OPEN)?.commands ?? 0;
  expect(ran).toBeGreaterThan(PDUS / 4);
  stop.abort();
  expect(await neighbour).toBeGreaterThan(10);
  expect(faults).toEqual([]);
  await fixture.target.close();
});

/** Reads and checks until told to stop; returns how often. */
async function readOn(fixture: TargetFixture, data: Uint8Array, signal: AbortSignal) {
  const client = await fixture.session(GUARDED);
  await clearAttention(client);
  let reads = 0;
  while (!signal.aborted) {
    const block = (reads * 41) % (DISK_BYTES / 512 - 16);
    const result = await client.command(read10(block, 16), { readBytes: 8192 });
    expect(result.data.equals(Buffer.from(data.buffer, block * 512, 8192))).toBe(true);
    reads += 1;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  client.close();
  return reads;
}
