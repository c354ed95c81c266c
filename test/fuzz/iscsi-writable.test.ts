/**
 * Mutated PDUs against a writable unit, beside a session that writes to a disk of its own and checks
 * every byte against a model.
 *
 * The seed is in the test's name: `REHYDRATE_FUZZ_SEED` replays a run. `REHYDRATE_FUZZ_ISCSI_PDUS` says
 * how many mutated PDUs are sent; `make soak` sends a million.
 */
import { expect, it } from 'vitest';
import { clearAttention, read10, startTarget, type TargetFixture } from '../e2e/iscsi/fixture.ts';
import { MemoryDevice } from '../e2e/iscsi/memory-device.ts';
import { RawClient } from '../e2e/iscsi/raw-client.ts';
import { randomBytes, seededRandom } from '../fixtures/random.ts';
import { attack, CHANGE_OPCODES, READ_OPCODES } from './iscsi/attack.ts';
import { MEMORY_GROWTH_BYTES, memoryInUseBytes } from './iscsi/memory.ts';

const SEED = Number(process.env['REHYDRATE_FUZZ_SEED'] ?? Date.now() % 2 ** 32);
const PDUS = Number(process.env['REHYDRATE_FUZZ_ISCSI_PDUS'] ?? 25_000);
const PARALLEL = 8;
const TIMEOUT_MS = 120_000 + 6 * PDUS;
const DISK_BYTES = 8 * 1024 * 1024;
const BLOCKS = DISK_BYTES / 512;
/** Reservations that the attack makes shut it out; the export is opened anew after so many logins. */
const LOGINS_PER_LANE = 3;
const OPEN = 'iqn.2026-01.test:fuzzed';
const GUARDED = 'iqn.2026-01.test:guarded';
const SOME_READS = READ_OPCODES.filter((_, index) => index % 4 === 0);
const VICTIMS = {
  open: OPEN,
  guarded: GUARDED,
  opcodes: [...CHANGE_OPCODES, ...SOME_READS],
  commandShare: 0.97,
  tags: 500,
};

it(`keeps every disk right under ${PDUS} mutated PDUs, seed ${SEED}`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const faults: string[] = [];
  const ignore = (): void => {};
  const fixture = await startTarget({
    logger: {
      debug: ignore,
      info: ignore,
      warn: ignore,
      // A range that is not inside the disk would be refused by the device, and be told here.
      error: (fields, message) => faults.push(`${message} ${JSON.stringify(fields)}`),
    },
    limits: { initialR2T: false },
    onEvent: ignore,
  });
  const victim = new MemoryDevice(DISK_BYTES);
  const guarded = new MemoryDevice(DISK_BYTES);
  fixture.add(GUARDED, guarded);
  openVictim(fixture, victim);

  const stop = new AbortController();
  const neighbour = writeOn(fixture, guarded, stop.signal);
  const memoryBefore = memoryInUseBytes();
  const commands = await storm(fixture, victim);

  await expect.poll(() => fixture.target.sessions().length, { timeout: 5_000 }).toBe(1);
  stop.abort();
  expect(await neighbour).toBeGreaterThan(10);
  // Much of what is sent must get as far as a command, and many of them change the disk.
  expect(commands).toBeGreaterThan(PDUS / 4);
  expect(victim.changes).toBeGreaterThan(PDUS / 50);
  expect(faults).toEqual([]);
  await fixture.target.removeExport(OPEN, { graceMs: 0 });
  await victim.discard(0, DISK_BYTES);
  expect(memoryInUseBytes() - memoryBefore).toBeLessThan(MEMORY_GROWTH_BYTES);
  await worksAfterwards(fixture, victim);
  await fixture.target.close();
});

/** Sends all of it, opening the export anew now and then; returns how many commands it ran. */
async function storm(fixture: TargetFixture, victim: MemoryDevice): Promise<number> {
  let commands = 0;
  for (let sent = 0, logins = 0; sent < PDUS; ) {
    const batch = Array.from({ length: PARALLEL }, async (_, lane) => {
      let count = 0;
      for (let each = 0; each < LOGINS_PER_LANE; each += 1) {
        const index = logins + lane * LOGINS_PER_LANE + each;
        count += await attack(fixture.port, VICTIMS, seededRandom(SEED + index), index % 5000);
      }
      return count;
    });
    for (const count of await Promise.all(batch)) sent += count;
    logins += PARALLEL * LOGINS_PER_LANE;
    commands += fixture.target.exports().find(({ iqn }) => iqn === OPEN)?.commands ?? 0;
    await fixture.target.removeExport(OPEN, { graceMs: 0 });
    openVictim(fixture, victim);
  }
  return commands;
}

function openVictim(fixture: TargetFixture, device: MemoryDevice): void {
  fixture.target.addExport({
    iqn: OPEN,
    readOnly: false,
    device,
    identity: { serial: 'fuzzed', naa: '3000000000000043' },
    noAuthentication: true,
    space: () => ({ usedBytes: device.usedBytes, availableBytes: DISK_BYTES }),
  });
}

/** Writes, unmaps, reads and compares until told to stop; returns how often. */
async function writeOn(
  fixture: TargetFixture,
  device: MemoryDevice,
  signal: AbortSignal,
): Promise<number> {
  const client = await fixture.session(GUARDED);
  await clearAttention(client);
  const model = Buffer.alloc(DISK_BYTES);
  const random = seededRandom(SEED);
  let rounds = 0;
  while (!signal.aborted) {
    const block = Math.floor(random() * (BLOCKS - 16));
    const count = 1 + Math.floor(random() * 16);
    const data = Buffer.from(randomBytes(count * 512, rounds));
    const write = read10(block, count);
    write[0] = 0x2a;
    const options = { writeBytes: data.length, immediateData: data };
    expect((await client.command(write, options)).status).toBe(0);
    data.copy(model, block * 512);
    const from = Math.floor(random() * (BLOCKS - 64));
    const { data: found } = await client.command(read10(from, 64), { readBytes: 32_768 });
    expect(found.equals(model.subarray(from * 512, from * 512 + 32_768))).toBe(true);
    rounds += 1;
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  client.close();
  expect((await device.bytes()).equals(model)).toBe(true);
  return rounds;
}

/** What was done to the unit may not outlive it: a new session reads and writes. */
async function worksAfterwards(fixture: TargetFixture, device: MemoryDevice): Promise<void> {
  openVictim(fixture, device);
  const client = await RawClient.connect(fixture.port);
  await client.login({ target: OPEN });
  await clearAttention(client);
  const data = Buffer.from(randomBytes(4096, SEED));
  const write = read10(8, 8);
  write[0] = 0x2a;
  const result = await client.command(write, { writeBytes: 4096, immediateData: data });
  expect(result.status).toBe(0);
  expect((await client.command(read10(8, 8), { readBytes: 4096 })).data.equals(data)).toBe(true);
  client.close();
}
