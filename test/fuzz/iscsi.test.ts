/**
 * Mutated PDUs against a running target, beside a session that reads on and checks every byte.
 *
 * The seed is in the test's name: `REHYDRATE_FUZZ_SEED` replays a run; `REHYDRATE_FUZZ_ISCSI_PDUS` sends more of them.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
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
import { RawClient } from '../e2e/iscsi/raw-client.ts';
import { seededRandom } from '../fixtures/random.ts';

const SEED = Number(process.env['REHYDRATE_FUZZ_SEED'] ?? Date.now() % 2 ** 32);
const PDUS = Number(process.env['REHYDRATE_FUZZ_ISCSI_PDUS'] ?? 80_000);
const PDUS_PER_CONNECTION = 60;
const PARALLEL = 8;
const TIMEOUT_MS = 60_000 + PDUS;
/** Of memory that is in use, garbage collected: what would be left by a leak. */
const MEMORY_GROWTH_BYTES = 64 * 1024 * 1024;
const OPEN = 'iqn.2026-01.test:fuzzed';
const GUARDED = 'iqn.2026-01.test:guarded';
const BHS_BYTES = 48;

type Random = () => number;

/** Logout and login end a session, and so are rare. */
const INITIATOR_OPCODES = [
  0x00, 0x00, 0x00, 0x02, 0x02, 0x04, 0x04, 0x05, 0x05, 0x05, 0x05, 0x10, 0x06, 0x03,
];
const SCSI_OPCODES = [
  0x00, 0x03, 0x08, 0x0a, 0x12, 0x16, 0x17, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2a, 0x2f, 0x34, 0x35,
  0x41, 0x42, 0x5a, 0x5e, 0x88, 0x8a, 0x8f, 0x90, 0x91, 0x9e, 0xa0, 0xa3, 0xa8, 0xaf,
];
const TEXTS = [
  'SendTargets=All\0',
  'SendTargets=\0',
  'MaxRecvDataSegmentLength=512\0',
  'X=\0Y\0',
  '\xff\xfe=\0',
  'AuthMethod=CHAP\0CHAP_A=5\0CHAP_N=x\0CHAP_R=0x00\0',
];

function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)] as T;
}

function byte(random: Random): number {
  return random() < 0.5 ? pick(random, [0, 1, 0x7f, 0x80, 0xff]) : Math.floor(random() * 256);
}

/** A PDU that makes sense, more or less. */
function wellFormed(random: Random, cmdSn: number, tag: number): { bhs: Buffer; data: Buffer } {
  const bhs = Buffer.alloc(BHS_BYTES);
  const opcode = random() < 0.7 ? 0x01 : pick(random, INITIATOR_OPCODES);
  bhs[0] = opcode | (random() < 0.2 ? 0x40 : 0);
  bhs[1] = 0x80 | (opcode === 0x01 ? pick(random, [0x40, 0x20, 0x00]) : byte(random) & 0x0f);
  bhs.writeUInt32BE(tag, 16);
  bhs.writeUInt32BE(random() < 0.5 ? 4096 : 0xffffffff, 20);
  bhs.writeUInt32BE(cmdSn, 24);
  let data = Buffer.alloc(0);
  if (opcode === 0x01) {
    bhs[32] = pick(random, SCSI_OPCODES);
    for (let at = 33; at < BHS_BYTES; at += 1) if (random() < 0.15) bhs[at] = byte(random);
    if (random() < 0.3) data = Buffer.alloc(Math.floor(random() * 2048), byte(random));
  } else if (opcode === 0x04) data = Buffer.from(pick(random, TEXTS), 'latin1');
  else if (random() < 0.5) data = Buffer.alloc(Math.floor(random() * 600), byte(random));
  return { bhs, data };
}

/** Lengths, opcode and CmdSN: a wrong one mostly ends the connection, so few of them are tried. */
const FATAL_BYTES = new Set([0, 4, 5, 6, 7, 24, 25, 26, 27]);

/** A mutated PDU as it goes onto the wire. */
function mutated(random: Random, cmdSn: number, tag: number): Buffer {
  const { bhs, data } = wellFormed(random, cmdSn, tag);
  bhs.writeUInt32BE(data.length, 4);
  const mutations = random() < 0.3 ? 0 : 1 + Math.floor(random() * 4);
  for (let count = 0; count < mutations; count += 1) {
    const at = Math.floor(random() * BHS_BYTES);
    if (FATAL_BYTES.has(at) && random() < 0.95) continue;
    bhs[at] = byte(random);
  }
  const whole = Buffer.concat([bhs, data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
  return random() < 0.002 ? whole.subarray(0, Math.floor(random() * whole.length)) : whole;
}

/** One connection's worth: sometimes the login itself is mutated, sometimes what comes after. */
async function attack(fixture: TargetFixture, random: Random, isid: number): Promise<number> {
  const client = await RawClient.connect(fixture.port);
  try {
    if (random() < 0.2) return sendLogins(client, random);
    const keys = [
      `MaxRecvDataSegmentLength=${pick(random, [512, 8192, 262_144])}`,
      `MaxBurstLength=${pick(random, [512, 65_536, 1_048_576])}`,
      `InitialR2T=${pick(random, ['Yes', 'No'])}`,
      `ImmediateData=${pick(random, ['Yes', 'No'])}`,
    ];
    await client.login({ target: OPEN, isid, keys });
    const pdus = [];
    for (let count = 0; count < PDUS_PER_CONNECTION; count += 1) {
      pdus.push(mutated(random, client.cmdSn, 1 + Math.floor(random() * 8)));
      client.cmdSn += 1;
    }
    await sendSplit(client, Buffer.concat(pdus), random);
    return PDUS_PER_CONNECTION;
  } finally {
    client.close();
  }
}

async function sendLogins(client: RawClient, random: Random): Promise<number> {
  const count = 3;
  for (let index = 0; index < count; index += 1) {
    const target = pick(random, [OPEN, GUARDED, 'iqn.none']);
    const keys = Buffer.from(
      `InitiatorName=iqn.x\0TargetName=${target}\0${pick(random, TEXTS)}`,
      'latin1',
    );
    const bhs = Buffer.alloc(BHS_BYTES);
    bhs[0] = 0x43;
    bhs[1] = pick(random, [0x00, 0x04, 0x81, 0x83, 0x87, 0x44]);
    bhs.writeUInt32BE(keys.length, 4);
    for (let mutation = random() * 3; mutation > 1; mutation -= 1) {
      bhs[Math.floor(random() * BHS_BYTES)] = byte(random);
      keys[Math.floor(random() * keys.length)] = byte(random);
    }
    client.socket.write(Buffer.concat([bhs, keys, Buffer.alloc((4 - (keys.length % 4)) % 4)]));
  }
  await settle(client);
  return count;
}

/** In pieces of any size, so that headers are split everywhere. */
async function sendSplit(client: RawClient, bytes: Buffer, random: Random): Promise<void> {
  const pieceBytes = pick(random, [1_000_000, 4096, 100, 49]);
  for (let at = 0; at < bytes.length && !client.ended; at += pieceBytes) {
    client.socket.write(bytes.subarray(at, at + pieceBytes));
    if (pieceBytes < 1000) await new Promise((resolve) => setImmediate(resolve));
  }
  await settle(client);
}

/** Takes answers until nothing more comes for a moment. */
async function settle(client: RawClient): Promise<void> {
  try {
    for (;;) await client.receive(15);
  } catch {
    // Silent or closed: both are fine here.
  }
}

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
    limits: { initialR2T: false },
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
      sent += await attack(fixture, seededRandom(SEED + index), index % 5000);
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

function memoryInUseBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

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
