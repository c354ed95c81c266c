/** Writes over iSCSI, byte by byte: what is on the disk afterwards, when it is durable, what fails. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RestoreError } from '../../core/index.ts';
import { seededRandom } from '../fixtures/random.ts';
import {
  clearAttention,
  read10,
  senseOf,
  startTarget,
  type TargetFixture,
} from './iscsi/fixture.ts';
import type { MemoryDevice } from './iscsi/memory-device.ts';
import type { RawClient } from './iscsi/raw-client.ts';
import { cdb10, cdb16, noise, send } from './iscsi/write-commands.ts';
import { freshDisk } from './iscsi/writable-disk.ts';

const DISK = 'iqn.2026-01.test:writable';
const DISK_BYTES = 64 * 1024 * 1024;
const BLOCKS = DISK_BYTES / 512;

let fixture: TargetFixture;
let device: MemoryDevice;
let client: RawClient;

beforeAll(async () => {
  fixture = await startTarget({ limits: { initialR2T: false } });
});

afterAll(() => fixture.target.close());

beforeEach(async () => {
  ({ device, client } = await freshDisk(fixture, DISK, DISK_BYTES));
  return () => client.close();
});

describe('every way that data may come', () => {
  const yesNo = ['Yes', 'No'];
  const firstBursts = [512, 8192, 65_536];
  const maxBursts = [4096, 65_536, 1_048_576];
  const combinations = yesNo.flatMap((initialR2T) =>
    yesNo.flatMap((immediateData) =>
      firstBursts.flatMap((first) =>
        maxBursts.map((max) => [initialR2T, immediateData, first, max] as const),
      ),
    ),
  );

  it.each(combinations)(
    'InitialR2T=%s ImmediateData=%s FirstBurstLength=%i MaxBurstLength=%i',
    async (initialR2T, immediateData, firstBurst, maxBurst) => {
      const own = await fixture.session(DISK, {
        isid: 7,
        keys: [
          `InitialR2T=${initialR2T}`,
          `ImmediateData=${immediateData}`,
          `FirstBurstLength=${firstBurst}`,
          `MaxBurstLength=${maxBurst}`,
        ],
      });
      await clearAttention(own);
      const first = Math.min(firstBurst, maxBurst);
      let block = 11;
      for (const length of [512, 8192, 300 * 512, 1_000_448]) {
        const data = noise(length, block);
        const immediate = immediateData === 'Yes' ? Math.min(first, length, 8192) : 0;
        const unsolicited = initialR2T === 'No' ? Math.min(first, length) : immediate;
        const result = await send(own, cdb10(0x2a, block, length / 512), data, {
          immediate,
          unsolicited,
        });
        expect([result.status, result.residual]).toEqual([0, 0]);
        const asked = result.bursts.reduce((sum, each) => sum + each, 0);
        expect(asked).toBe(length - unsolicited);
        expect(Math.max(0, ...result.bursts)).toBeLessThanOrEqual(maxBurst);
        expect((await device.bytes(block * 512, length)).equals(data)).toBe(true);
        block += length / 512 + 3;
      }
      own.close();
    },
  );

  it.each([
    ['more than the first burst, unasked', 'No', 'Yes', 8192, 16_384, '0b/0c/0c'],
    ['unsolicited data that were not agreed', 'Yes', 'Yes', 0, 8192, '0b/0c/0c'],
    ['immediate data that were not agreed', 'No', 'No', 4096, 4096, '0b/0c/0c'],
  ])('refuses %s', async (_, initialR2T, immediateData, immediate, unsolicited, sense) => {
    const own = await fixture.session(DISK, {
      isid: 7,
      keys: [`InitialR2T=${initialR2T}`, `ImmediateData=${immediateData}`, 'FirstBurstLength=8192'],
    });
    await clearAttention(own);
    const data = noise(32_768);
    const result = await send(own, cdb10(0x2a, 0, 64), data, { immediate, unsolicited });
    expect(senseOf(result)).toBe(sense);
    expect((await device.bytes(32_768, 4096)).equals(Buffer.alloc(4096))).toBe(true);
    await own.ping();
    own.close();
  });

  it('writes as many whole blocks as were announced, and never more', async () => {
    const data = noise(1024);
    const fewer = await send(client, cdb10(0x2a, 0, 2), data.subarray(0, 512), { immediate: 512 });
    expect([fewer.status, fewer.residual]).toEqual([0, 512]);
    expect((await device.bytes(0, 1024)).subarray(512).equals(Buffer.alloc(512))).toBe(true);
    const more = await send(client, cdb10(0x2a, 8, 1), data, { immediate: 1024 });
    expect([more.status, more.residual]).toEqual([0, -512]);
    expect((await device.bytes(9 * 512, 512)).equals(Buffer.alloc(512))).toBe(true);
    const odd = await send(client, cdb10(0x2a, 16, 1), data.subarray(0, 200), { immediate: 200 });
    expect([senseOf(odd), odd.residual]).toEqual(['05/0e/03', 312]);
    expect((await device.bytes(16 * 512, 512)).equals(Buffer.alloc(512))).toBe(true);
  });

  it('leaves the neighbours of what is written alone, for any range and form', async () => {
    const seed = Date.now() % 2 ** 32;
    const random = seededRandom(seed);
    const model = Buffer.alloc(2 * 1024 * 1024);
    for (let round = 0; round < 200; round += 1) {
      const block = Math.floor(random() * 4000);
      const count = 1 + Math.floor(random() * Math.min(96, 4096 - block));
      const data = noise(count * 512, round);
      const [opcode, make] = [
        [0x2a, cdb10],
        [0x8a, cdb16],
        [0x2e, cdb10],
        [0x8e, cdb16],
      ][Math.floor(random() * 4)] as [number, typeof cdb10];
      const immediate = random() < 0.5 ? 512 : 0;
      const result = await send(client, make(opcode, block, count), data, { immediate });
      expect(result.status, `seed ${seed}, round ${round}`).toBe(0);
      data.copy(model, block * 512);
    }
    expect((await device.bytes(0, model.length)).equals(model), `seed ${seed}`).toBe(true);
  });
});

describe('durability', () => {
  const kinds = (): readonly string[] => device.events.map(({ kind, stage }) => `${kind} ${stage}`);

  it('answers a write before any flush, and with FUA only after one that began later', async () => {
    device.recordEvents = true;
    await send(client, cdb10(0x2a, 0, 1), noise(512), { immediate: 512 });
    expect(kinds()).toEqual(['write begin', 'write end']);
    await send(client, cdb10(0x2a, 1, 1, 0x08), noise(512), { immediate: 512 });
    expect(kinds().slice(2)).toEqual(['write begin', 'write end', 'flush begin', 'flush end']);
  });

  it.each([
    [0x35, cdb10],
    [0x91, cdb16],
  ])('flushes by SYNCHRONIZE CACHE, opcode %i, and tells a failure', async (opcode, make) => {
    await send(client, cdb10(0x2a, 0, 1), noise(512), { immediate: 512 });
    device.failure = new RestoreError('IO', 'the storage is gone', { hint: 'Look.' });
    expect(senseOf(await client.command(make(opcode, 0, 0)))).toBe('04/44/00');
    device.failure = undefined;
    // Not durable yet, so the next one must flush again.
    expect((await client.command(make(opcode, 0, 0))).status).toBe(0);
    expect(device.flushes).toBe(1);
    expect((await client.command(make(opcode, 0, 0))).status).toBe(0);
    expect(device.flushes).toBe(1);
    expect(senseOf(await client.command(make(opcode, BLOCKS, 1)))).toBe('05/21/00');
  });

  it('answers SYNCHRONIZE CACHE with IMMED at once', async () => {
    await send(client, cdb10(0x2a, 0, 1), noise(512), { immediate: 512 });
    device.delayMs = 300;
    const before = Date.now();
    expect((await client.command(cdb10(0x35, 0, 0, 0x02))).status).toBe(0);
    expect(Date.now() - before).toBeLessThan(250);
    await expect.poll(() => device.flushes).toBe(1);
  });

  it('flushes every write once the write cache is switched off', async () => {
    const other = await fixture.session(DISK, { isid: 9 });
    await clearAttention(other);
    const sense = await client.command([0x1a, 0x08, 0x08, 0, 255, 0], { readBytes: 255 });
    const page = Buffer.from(sense.data);
    expect(page.readUInt8(4 + 2) & 0x04).toBe(0x04);
    page[0] = 0;
    page[2] = 0;
    page[4 + 2] = 0;
    const select = [0x15, 0x10, 0, 0, page.length, 0];
    const options = { writeBytes: page.length, immediateData: page };
    expect((await client.command(select, options)).status).toBe(0);
    await send(client, cdb10(0x2a, 0, 1), noise(512), { immediate: 512 });
    expect(device.flushes).toBe(1);
    expect(senseOf(await other.command([0, 0, 0, 0, 0, 0]))).toBe('06/2a/01');
    page[4 + 3] = 0xff;
    expect(senseOf(await client.command(select, options))).toBe('05/26/00');
    other.close();
  });
});

describe('a disk that cannot take more', () => {
  it('answers with SPACE ALLOCATION FAILED, reads on, and takes what has room', async () => {
    device.limitBytes = 128 * 1024;
    const data = noise(65_536);
    expect((await send(client, cdb10(0x2a, 0, 128), data)).status).toBe(0);
    expect(senseOf(await send(client, cdb10(0x2a, 1024, 1024), noise(524_288)))).toBe('07/27/07');
    const read = await client.command(read10(0, 128), { readBytes: 65_536 });
    expect(read.data.equals(data)).toBe(true);
    expect((await send(client, cdb10(0x2a, 1, 1), data.subarray(0, 512))).status).toBe(0);
    expect(fixture.warnings.some((line) => line.includes('a write to the disk failed'))).toBe(true);
  });
});

describe('COMPARE AND WRITE', () => {
  function compare(block: number, count: number): Buffer {
    const cdb = cdb16(0x89, block, 0);
    cdb[13] = count;
    return cdb;
  }

  it('writes when all is as expected, else tells where it is not', async () => {
    const before = noise(1024, 1);
    const after = noise(1024, 2);
    await send(client, cdb10(0x2a, 5, 2), before);
    expect((await send(client, compare(5, 2), Buffer.concat([before, after]))).status).toBe(0);
    const wrong = Buffer.from(after);
    wrong.writeUInt8(wrong.readUInt8(700) ^ 1, 700);
    const refused = await send(client, compare(5, 2), Buffer.concat([wrong, before]));
    expect(senseOf(refused)).toBe('0e/1d/00');
    expect(refused.sense.readUInt32BE(3)).toBe(700);
    expect((await device.bytes(5 * 512, 1024)).equals(after)).toBe(true);
  });

  it('lets one of many win that race for the same block', async () => {
    device.delayMs = 5;
    const free = Buffer.alloc(512);
    const claims = Array.from({ length: 8 }, (_, index) => Buffer.alloc(512, index + 1));
    const sessions = await Promise.all(
      claims.map((_, index) => fixture.session(DISK, { isid: 20 + index })),
    );
    for (const session of sessions) await clearAttention(session);
    const results = await Promise.all(
      sessions.map((session, index) =>
        send(session, compare(3, 1), Buffer.concat([free, claims[index] as Buffer])),
      ),
    );
    const winners = results.flatMap(({ status }, index) => (status === 0 ? [index] : []));
    expect(winners.length).toBe(1);
    const winner = claims[winners[0] ?? 0] as Buffer;
    expect((await device.bytes(3 * 512, 512)).equals(winner)).toBe(true);
    for (const session of sessions) session.close();
  });
});
