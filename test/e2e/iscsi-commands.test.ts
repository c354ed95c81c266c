/** Reads over iSCSI, byte by byte: data, residuals, numbers, errors. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BytesSource, cache, type ErrorCode, faulty } from '../../core/index.ts';
import {
  clearAttention,
  DISK_BYTES,
  randomDisk,
  read10,
  senseOf,
  startTarget,
  type TargetFixture,
} from './iscsi/fixture.ts';
import type { RawClient, RawPdu } from './iscsi/raw-client.ts';

const DISK = 'iqn.2026-01.test:disk';
const DIGESTS = ['HeaderDigest=None', 'DataDigest=None'];
const disk = randomDisk(5);
const blocks = DISK_BYTES / 512;

let fixture: TargetFixture;
let client: RawClient;

beforeAll(async () => {
  fixture = await startTarget({ limits: { initialR2T: false } });
  fixture.add(DISK, disk.source);
  client = await fixture.session(DISK, { keys: [...DIGESTS, 'MaxRecvDataSegmentLength=65536'] });
  await clearAttention(client);
});

afterAll(async () => {
  client.close();
  await fixture.target.close();
});

function bytes(start: number, length: number): Buffer {
  return Buffer.from(disk.data.buffer, start, length);
}

describe('reads', () => {
  it.each([
    [0, 1],
    [3, 8],
    [127, 2],
    [100, 256],
    [1000, 4096],
    [blocks - 5, 5],
  ])('give block %i, count %i, exactly', async (block, count) => {
    const result = await client.command(read10(block, count), { readBytes: count * 512 });
    expect(result.status).toBe(0);
    expect(result.residual).toBe(0);
    expect(result.data.equals(bytes(block * 512, count * 512))).toBe(true);
  });

  it('number their Data-In PDUs and end each burst', async () => {
    const own = await fixture.sessionOn(disk.source, [
      'MaxBurstLength=131072',
      'MaxRecvDataSegmentLength=49152',
    ]);
    const { dataPdus } = await own.command(read10(0, 640), { readBytes: 640 * 512 });
    const shapes = dataPdus.map(({ bhs, data }: RawPdu) => ({
      number: bhs.readUInt32BE(36),
      offset: bhs.readUInt32BE(40),
      length: data.length,
      final: (bhs.readUInt8(1) & 0x80) !== 0,
      status: (bhs.readUInt8(1) & 0x01) !== 0,
    }));
    const lengths = [49152, 49152, 32768, 49152, 49152, 32768, 49152, 16384];
    expect(shapes.map(({ length }) => length)).toEqual(lengths);
    expect(shapes.map(({ number }) => number)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(shapes.map(({ final }) => final)).toEqual([
      false,
      false,
      true,
      false,
      false,
      true,
      false,
      true,
    ]);
    expect(shapes.map(({ status }) => status)).toEqual([...Array(7).fill(false), true]);
    let offset = 0;
    for (const shape of shapes) {
      expect(shape.offset).toBe(offset);
      offset += shape.length;
    }
    own.close();
  });

  it.each([
    ['fewer bytes than the command reads', 2, 512, 512, 512],
    ['more bytes than the command reads', 1, 1024, 512, -512],
    ['no bytes', 1, 0, 0, 512],
  ])('count a residual for %s expected', async (_, count, readBytes, sent, residual) => {
    const result = await client.command(read10(7, count), { readBytes });
    expect(result.status).toBe(0);
    expect(result.residual).toBe(residual);
    expect(result.data.equals(bytes(7 * 512, sent))).toBe(true);
  });

  it('count a residual for short parameter data', async () => {
    const result = await client.command([0x12, 0, 0, 0, 36, 0], { readBytes: 255 });
    expect(result.data.length).toBe(36);
    expect(result.residual).toBe(36 - 255);
  });

  it('mix cached and uncached blocks in one command', async () => {
    const warm = cache(disk.source, { budgetBytes: 1024 * 1024 });
    const probe = new Uint8Array(1);
    for (const line of [0, 2, 3]) await warm.readInto(probe, line * 65536);
    const own = await fixture.sessionOn(warm);
    const result = await own.command(read10(10, 600), { readBytes: 600 * 512 });
    expect(result.data.equals(bytes(10 * 512, 600 * 512))).toBe(true);
    own.close();
  });

  it('keep StatSN, ExpCmdSN and MaxCmdSN exact', async () => {
    const own = await fixture.sessionOn(disk.source);
    let statSn = own.expStatSn;
    for (let round = 0; round < 300; round += 1) {
      const { dataPdus } = await own.command(read10(round, 1), { readBytes: 512 });
      const bhs = dataPdus.at(-1)?.bhs ?? Buffer.alloc(48);
      expect(bhs.readUInt32BE(24)).toBe(statSn);
      expect(bhs.readUInt32BE(28)).toBe(own.cmdSn);
      expect(bhs.readUInt32BE(32)).toBe(own.cmdSn + 127);
      statSn += 1;
    }
    own.close();
  });

  it('are refused past the end, and with fields that mean nothing here', async () => {
    const readBytes = 512;
    expect(senseOf(await client.command(read10(blocks, 1), { readBytes }))).toBe('05/21/00');
    expect(senseOf(await client.command(read10(blocks - 1, 2), { readBytes }))).toBe('05/21/00');
    const protectedRead = read10(0, 1);
    protectedRead[1] = 0x20;
    expect(senseOf(await client.command(protectedRead, { readBytes }))).toBe('05/24/00');
    expect(senseOf(await client.command([0xc1, 0, 0, 0, 0, 0]))).toBe('05/20/00');
    expect(senseOf(await client.command(read10(0, 1), { readBytes, lun: 1 }))).toBe('05/25/00');
  });

  it('point at the field of the CDB that is wrong', async () => {
    const { sense } = await client.command([0x12, 1, 0xee, 0, 255, 0], { readBytes: 255 });
    expect(sense.readUInt8(15) & 0xc0).toBe(0xc0);
    expect(sense.readUInt16BE(16)).toBe(2);
  });
});

describe('a disk that cannot be read', () => {
  const badStart = 1_000_000 - (1_000_000 % 512);
  const badBlock = badStart / 512;

  it.each<[ErrorCode, string]>([
    ['CORRUPT', '03/11/00'],
    ['NOT_FOUND', '03/11/00'],
    ['IO', '04/44/00'],
  ])('answers %s with %s, names the block, sends only good data', async (code, expected) => {
    const range = { offset: badStart, length: 512 };
    const own = await fixture.sessionOn(faulty(disk.source, [{ range, code }]));
    const first = badBlock - 100;
    const result = await own.command(read10(first, 256), { readBytes: 256 * 512 });
    expect(senseOf(result)).toBe(expected);
    expect(result.sense.readUInt8(0)).toBe(0xf0);
    expect(result.sense.readUInt32BE(3)).toBe(badBlock);
    expect(result.data.equals(bytes(first * 512, 100 * 512))).toBe(true);
    expect(result.residual).toBe((100 - 256) * 512);
    // The blocks on both sides read as before.
    const after = await own.command(read10(badBlock + 1, 64), { readBytes: 64 * 512 });
    expect(after.data.equals(bytes((badBlock + 1) * 512, 64 * 512))).toBe(true);
    own.close();
  });

  it('answers a passing failure with the data after all', async () => {
    const range = { offset: badStart, length: 512 };
    const own = await fixture.sessionOn(faulty(disk.source, [{ range, code: 'IO', times: 1 }]));
    const result = await own.command(read10(badBlock, 8), { readBytes: 4096 });
    expect(result.status).toBe(0);
    expect(result.data.equals(bytes(badStart, 4096))).toBe(true);
    own.close();
  });

  it('answers BUSY with BUSY', async () => {
    const own = await fixture.sessionOn(faulty(disk.source, [{ code: 'BUSY' }]));
    expect((await own.command(read10(0, 1), { readBytes: 512 })).status).toBe(0x08);
    own.close();
  });

  it('fails VERIFY too, for it reads what it verifies', async () => {
    const range = { offset: badStart, length: 512 };
    const own = await fixture.sessionOn(faulty(disk.source, [{ range, code: 'CORRUPT' }]));
    const verify = read10(badBlock - 3, 10);
    verify[0] = 0x2f;
    const result = await own.command(verify);
    expect(senseOf(result)).toBe('03/11/00');
    expect(result.sense.readUInt32BE(3)).toBe(badBlock);
    own.close();
  });
});

describe('GET LBA STATUS', () => {
  it('tells data from holes', async () => {
    const sparse = Object.assign(new BytesSource(new Uint8Array(DISK_BYTES)), {
      async *extents(offset: number, length: number) {
        for (const extent of [
          { offset: 65536, length: 4096 },
          { offset: 1048576, length: 700 },
        ]) {
          if (extent.offset < offset + length) yield extent;
        }
      },
    });
    const own = await fixture.sessionOn(sparse);
    const cdb = Buffer.alloc(16);
    cdb[0] = 0x9e;
    cdb[1] = 0x12;
    cdb.writeUInt32BE(1024, 10);
    const { data } = await own.command(cdb, { readBytes: 1024 });
    const runs = [];
    for (let at = 8; at < data.length; at += 16) {
      runs.push([Number(data.readBigUInt64BE(at)), data.readUInt32BE(at + 8), data[at + 12]]);
    }
    expect(data.readUInt32BE(0)).toBe(data.length - 4);
    expect(runs).toEqual([
      [0, 128, 1],
      [128, 8, 0],
      [136, 1912, 1],
      [2048, 2, 0],
      [2050, blocks - 2050, 1],
    ]);
    own.close();
  });
});
