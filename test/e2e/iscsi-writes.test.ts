/** Writes over iSCSI, byte by byte: what is on the disk afterwards, when it is durable, what fails. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RestoreError } from '../../core/index.ts';
import { randomBytes, seededRandom } from '../fixtures/random.ts';
import {
  clearAttention,
  read10,
  SECRET,
  senseOf,
  startTarget,
  type TargetFixture,
  USER,
} from './iscsi/fixture.ts';
import { MemoryDevice } from './iscsi/memory-device.ts';
import { type CommandResult, dataOut, RawClient } from './iscsi/raw-client.ts';

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
  await fixture.target.removeExport(DISK, { graceMs: 0 });
  device = new MemoryDevice(DISK_BYTES);
  fixture.add(DISK, device);
  client = await fixture.session(DISK);
  await clearAttention(client);
  return () => client.close();
});

function cdb10(opcode: number, block: number, count: number, flags = 0): Buffer {
  const cdb = read10(block, count);
  cdb[0] = opcode;
  cdb[1] = flags;
  return cdb;
}

function cdb16(opcode: number, block: number, count: number, flags = 0): Buffer {
  const cdb = Buffer.alloc(16);
  cdb[0] = opcode;
  cdb[1] = flags;
  cdb.writeBigUInt64BE(BigInt(block), 2);
  cdb.writeUInt32BE(count, 10);
  return cdb;
}

function noise(length: number, seed = 3): Buffer {
  return Buffer.from(randomBytes(length, seed));
}

interface Feed {
  /** Bytes that go with the command. */
  readonly immediate?: number;
  /** Bytes up to which unsolicited Data-Out PDUs follow. */
  readonly unsolicited?: number;
  readonly pduBytes?: number;
  readonly announced?: number;
}

/** Sends a command with its data as agreed, answers R2T PDUs, and collects the answer. */
async function send(
  own: RawClient,
  cdb: Buffer,
  data: Buffer,
  { immediate = 0, unsolicited = immediate, pduBytes = 8192, announced }: Feed = {},
): Promise<CommandResult & { readonly bursts: readonly number[] }> {
  const tag = own.sendCommand(cdb, {
    writeBytes: announced ?? data.length,
    immediateData: data.subarray(0, immediate),
    final: unsolicited <= immediate,
  });
  const bursts: number[] = [];
  const pour = (transferTag: number, start: number, end: number): void => {
    let number = 0;
    for (let at = start; at < end; at += pduBytes) {
      const part = data.subarray(at, Math.min(end, at + pduBytes));
      own.send(dataOut(tag, transferTag, number, at, at + part.length === end), part);
      number += 1;
    }
  };
  pour(0xffffffff, immediate, unsolicited);
  for (;;) {
    const pdu = await own.receive();
    const opcode = pdu.bhs.readUInt8(0) & 0x3f;
    if (opcode === 0x31) {
      const start = pdu.bhs.readUInt32BE(40);
      const length = pdu.bhs.readUInt32BE(44);
      bursts.push(length);
      pour(pdu.bhs.readUInt32BE(20), start, start + length);
      continue;
    }
    const flags = pdu.bhs.readUInt8(1);
    const count = pdu.bhs.readUInt32BE(44);
    return {
      status: pdu.bhs.readUInt8(3),
      data: Buffer.alloc(0),
      sense: pdu.data.subarray(2),
      residual: (flags & 0x04) !== 0 ? count : (flags & 0x02) !== 0 ? -count : 0,
      dataPdus: [],
      bursts,
    };
  }
}

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

describe('other changes', () => {
  it('ORWRITE joins bits', async () => {
    await send(client, cdb10(0x2a, 0, 1), Buffer.alloc(512, 0x0f));
    expect((await send(client, cdb16(0x8b, 0, 1), Buffer.alloc(512, 0xf0))).status).toBe(0);
    expect((await device.bytes(0, 512)).equals(Buffer.alloc(512, 0xff))).toBe(true);
  });

  it('WRITE SAME repeats a block, and stores no zeros', async () => {
    const pattern = noise(512);
    expect((await send(client, cdb16(0x93, 100, 5000), pattern)).status).toBe(0);
    const written = await device.bytes(99 * 512, 5002 * 512);
    expect(written.subarray(0, 512).equals(Buffer.alloc(512))).toBe(true);
    expect(written.subarray(512, 5001 * 512).equals(Buffer.alloc(5000 * 512, pattern))).toBe(true);
    expect(written.subarray(5001 * 512).equals(Buffer.alloc(512))).toBe(true);
    expect((await send(client, cdb16(0x93, 100, 5000, 0x08), Buffer.alloc(512))).status).toBe(0);
    expect(device.usedBytes).toBe(0);
    await send(client, cdb10(0x2a, 100, 1), pattern);
    expect((await client.command(cdb16(0x93, 100, 1, 0x01))).status).toBe(0);
    expect(device.usedBytes).toBe(0);
    // With UNMAP a pattern that holes cannot show is written all the same.
    await send(client, cdb16(0x93, 7, 2, 0x08), pattern);
    expect((await device.bytes(7 * 512, 512)).equals(pattern)).toBe(true);
    expect(senseOf(await send(client, cdb16(0x93, 0, 600_000), pattern))).toBe('05/21/00');
  });

  it('UNMAP checks all its ranges before it touches any', async () => {
    await send(client, cdb10(0x2a, 0, 64), noise(32_768));
    const list = (ranges: readonly (readonly [number, number])[]): Buffer => {
      const bytes = Buffer.alloc(8 + ranges.length * 16);
      bytes.writeUInt16BE(bytes.length - 2, 0);
      bytes.writeUInt16BE(ranges.length * 16, 2);
      ranges.forEach(([block, count], index) => {
        bytes.writeBigUInt64BE(BigInt(block), 8 + index * 16);
        bytes.writeUInt32BE(count, 16 + index * 16);
      });
      return bytes;
    };
    const unmap = async (ranges: readonly (readonly [number, number])[]): Promise<string> => {
      const data = list(ranges);
      return senseOf(await send(client, cdb10(0x42, 0, data.length), data));
    };
    const before = await device.bytes(0, 32_768);
    expect(
      await unmap([
        [0, 8],
        [BLOCKS, 1],
      ]),
    ).toBe('05/21/00');
    expect(await unmap(Array.from({ length: 257 }, () => [0, 1] as const))).toBe('05/26/00');
    expect((await device.bytes(0, 32_768)).equals(before)).toBe(true);
    expect(
      await unmap([
        [8, 8],
        [32, 1],
      ]),
    ).toBe('status 0');
    before.fill(0, 8 * 512, 16 * 512).fill(0, 32 * 512, 33 * 512);
    expect((await device.bytes(0, 32_768)).equals(before)).toBe(true);
  });

  it('LOG SENSE tells the space when the export does', async () => {
    const iqn = 'iqn.2026-01.test:thin';
    fixture.target.addExport({
      iqn,
      readOnly: false,
      device,
      identity: { serial: 'thin', naa: '3000000000000044' },
      noAuthentication: true,
      space: () => ({ usedBytes: 3 * 2 ** 20, availableBytes: 5 * 2 ** 20 }),
    });
    const open = await RawClient.connect(fixture.port);
    await open.login({ target: iqn });
    await clearAttention(open);
    const { data } = await open.command([0x4d, 0, 0x4c, 0, 0, 0, 0, 0, 64, 0], { readBytes: 64 });
    expect([data.readUInt32BE(8), data.readUInt32BE(20)]).toEqual([5, 3]);
    open.close();
    await fixture.target.removeExport(iqn, { graceMs: 0 });
  });
});

describe('a write that is aborted', () => {
  function manage(own: RawClient, code: number, referenced = 0xffffffff): void {
    const bhs = Buffer.alloc(48);
    bhs[0] = 0x42;
    bhs[1] = 0x80 | code;
    bhs.writeUInt32BE(own.nextTag(), 16);
    bhs.writeUInt32BE(referenced, 20);
    bhs.writeUInt32BE(own.cmdSn, 24);
    bhs.writeUInt32BE(own.cmdSn - 1, 32);
    own.send(bhs);
  }

  it.each([
    ['ABORT TASK', 1],
    ['LOGICAL UNIT RESET', 5],
  ])('by %s changes nothing after the answer to that', async (_, code) => {
    device.delayMs = 200;
    device.recordEvents = true;
    const tag = client.sendCommand(cdb10(0x2a, 0, 8), {
      writeBytes: 4096,
      immediateData: noise(4096),
    });
    await expect.poll(() => device.events.length).toBe(1);
    manage(client, code, tag);
    const answer = await client.receive();
    expect(answer.bhs.readUInt8(0)).toBe(0x22);
    expect(answer.bhs.readUInt8(2)).toBe(0);
    expect(device.events.map(({ stage }) => stage)).toEqual(['begin', 'end']);
    await expect(client.receive(300)).rejects.toThrow('nothing was received');
  });

  it('by the end of its session lands before what a new session writes there', async () => {
    device.delayMs = 200;
    client.sendCommand(cdb10(0x2a, 0, 1), { writeBytes: 512, immediateData: Buffer.alloc(512, 1) });
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.close();
    const next = await fixture.session(DISK);
    await clearAttention(next);
    device.delayMs = 0;
    await send(next, cdb10(0x2a, 0, 1), Buffer.alloc(512, 2), { immediate: 512 });
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect((await device.bytes(0, 512)).equals(Buffer.alloc(512, 2))).toBe(true);
    next.close();
  });

  it('is waited for when the export is removed', async () => {
    device.delayMs = 300;
    device.recordEvents = true;
    client.sendCommand(cdb10(0x2a, 0, 1), { writeBytes: 512, immediateData: noise(512) });
    await expect.poll(() => device.events.length).toBe(1);
    await fixture.target.removeExport(DISK, { graceMs: 0 });
    expect(device.events.map(({ stage }) => stage)).toEqual(['begin', 'end']);
  });
});

describe('draining', () => {
  it('asks to log out, refuses logins with "try later", and waits for what is written', async () => {
    const own = await startTarget();
    const slow = new MemoryDevice(DISK_BYTES);
    own.add(DISK, slow);
    const session = await own.session(DISK);
    await clearAttention(session);
    const done = own.target.drain({ graceMs: 400 });
    const event = await session.receive();
    expect([event.bhs.readUInt8(0), event.bhs.readUInt8(36)]).toEqual([0x32, 1]);
    await expect(
      own.session(DISK, { isid: 5, chap: { user: USER, secret: SECRET } }),
    ).rejects.toThrow('0301');
    expect((await send(session, cdb10(0x2a, 0, 1), noise(512), { immediate: 512 })).status).toBe(0);
    const last = await session.receive();
    expect([last.bhs.readUInt8(0), last.bhs.readUInt8(36)]).toEqual([0x32, 3]);
    await session.untilClosed();
    await done;
  });
});
