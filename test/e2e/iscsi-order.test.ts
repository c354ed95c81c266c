/** Task attributes, deferred errors, and what is counted as written. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RestoreError } from '../../core/index.ts';
import {
  clearAttention,
  read10,
  senseOf,
  startTarget,
  type TargetFixture,
} from './iscsi/fixture.ts';
import type { MemoryDevice } from './iscsi/memory-device.ts';
import { dataOut, type RawClient } from './iscsi/raw-client.ts';
import { cdb10, cdb16, noise, send } from './iscsi/write-commands.ts';
import { freshDisk } from './iscsi/writable-disk.ts';

const DISK = 'iqn.2026-01.test:ordered';
const DISK_BYTES = 8 * 1024 * 1024;
const [SIMPLE, ORDERED, HEAD_OF_QUEUE] = [1, 2, 3];
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0];

let fixture: TargetFixture;
let device: MemoryDevice;
let client: RawClient;

beforeAll(async () => {
  fixture = await startTarget({ limits: { initialR2T: false } });
});

afterAll(() => fixture.target.close());

beforeEach(async () => {
  const login = { keys: ['InitialR2T=No', 'ImmediateData=Yes'] };
  ({ device, client } = await freshDisk(fixture, DISK, DISK_BYTES, login));
  device.recordEvents = true;
  return () => client.close();
});

/** Sends a WRITE of 4 KiB with its data; `place` counts in 4 KiB. */
function write(place: number, attribute: number): number {
  const data = noise(4096, place);
  return client.sendCommand(cdb10(0x2a, place * 8, 8), {
    writeBytes: 4096,
    immediateData: data,
    attribute,
  });
}

/** Tags in the order in which they are answered. */
async function answers(count: number): Promise<number[]> {
  const tags: number[] = [];
  while (tags.length < count) {
    const { bhs } = await client.receive();
    const opcode = bhs.readUInt8(0) & 0x3f;
    if (opcode !== 0x21 && opcode !== 0x25) continue;
    expect(bhs.readUInt8(3)).toBe(0);
    tags.push(bhs.readUInt32BE(16));
  }
  return tags;
}

function began(): number[] {
  const writes = device.events.filter(({ kind, stage }) => kind === 'write' && stage === 'begin');
  return writes.map(({ offset }) => offset / 4096);
}

describe('a task that is', () => {
  it('SIMPLE runs beside others', async () => {
    device.delayMs = 100;
    write(0, SIMPLE);
    const quick = client.sendCommand(TEST_UNIT_READY, { attribute: SIMPLE });
    expect((await answers(2))[0]).toBe(quick);
  });

  it('ORDERED waits for all before it, and all after it wait for it', async () => {
    device.delayMs = 60;
    const tags = [
      write(0, SIMPLE),
      write(1, SIMPLE),
      write(2, ORDERED),
      client.sendCommand(TEST_UNIT_READY, { attribute: SIMPLE }),
      write(3, SIMPLE),
      write(4, ORDERED),
      client.sendCommand(read10(0, 8), { readBytes: 4096, attribute: SIMPLE }),
    ];
    const answered = await answers(tags.length);
    expect(began()).toEqual([0, 1, 2, 3, 4]);
    const place = (index: number): number => answered.indexOf(tags[index] ?? 0);
    expect(Math.max(place(0), place(1))).toBeLessThan(place(2));
    expect(place(2)).toBeLessThan(Math.min(place(3), place(4)));
    expect(Math.max(place(3), place(4))).toBeLessThan(place(5));
    expect(place(6)).toBe(6);
    const ends = device.events.findIndex(({ stage, offset }) => stage === 'end' && offset === 4096);
    const starts = device.events.findIndex(({ offset }) => offset === 8192);
    expect(ends).toBeLessThan(starts);
    expect((await device.bytes(8192, 4096)).equals(noise(4096, 2))).toBe(true);
  });

  it('HEAD OF QUEUE runs before those that wait', async () => {
    device.delayMs = 100;
    write(0, SIMPLE);
    const ordered = write(1, ORDERED);
    const urgent = client.sendCommand(TEST_UNIT_READY, { attribute: HEAD_OF_QUEUE });
    const answered = await answers(3);
    expect(answered.indexOf(urgent)).toBe(0);
    expect(answered.indexOf(ordered)).toBe(2);
  });

  it('waiting keeps the data that come meanwhile', async () => {
    device.delayMs = 80;
    const data = noise(16_384, 9);
    write(0, ORDERED);
    const tag = client.sendCommand(cdb10(0x2a, 64, 32), {
      writeBytes: data.length,
      immediateData: data.subarray(0, 4096),
      final: false,
      attribute: SIMPLE,
    });
    for (let at = 4096, number = 0; at < data.length; at += 4096, number += 1) {
      const isLast = at + 4096 === data.length;
      client.send(dataOut(tag, 0xffffffff, number, at, isLast), data.subarray(at, at + 4096));
    }
    expect(await answers(2)).toHaveLength(2);
    expect((await device.bytes(64 * 512, data.length)).equals(data)).toBe(true);
  });

  it('waiting can be aborted, and then changes nothing', async () => {
    device.delayMs = 120;
    write(0, SIMPLE);
    const tag = write(1, ORDERED);
    const after = write(2, SIMPLE);
    const abort = Buffer.alloc(48);
    abort[0] = 0x42;
    abort[1] = 0x81;
    abort.writeUInt32BE(client.nextTag(), 16);
    abort.writeUInt32BE(tag, 20);
    abort.writeUInt32BE(client.cmdSn, 24);
    abort.writeUInt32BE(client.cmdSn - 2, 32);
    client.send(abort);
    const answered = await client.receive();
    expect(answered.bhs.readUInt8(0) & 0x3f).toBe(0x22);
    expect(answered.bhs.readUInt8(2)).toBe(0);
    expect(await answers(2)).toContain(after);
    expect(began()).toEqual([0, 2]);
  });

  it('waiting is sent no more unsolicited data than agreed, or its connection ends', async () => {
    device.delayMs = 300;
    write(0, ORDERED);
    const tag = client.sendCommand(cdb10(0x2a, 64, 0x4000), {
      writeBytes: 0x4000 * 512,
      final: false,
      attribute: SIMPLE,
    });
    for (let number = 0; number < 40; number += 1) {
      client.send(dataOut(tag, 0xffffffff, number, number * 8192, false), Buffer.alloc(8192));
    }
    await client.untilClosed();
    expect(began()).toEqual([0]);
  });

  it('in another session is not waited for', async () => {
    const other = await fixture.session(DISK, { isid: 2 });
    await clearAttention(other);
    device.delayMs = 200;
    write(0, ORDERED);
    const started = performance.now();
    expect((await other.command(TEST_UNIT_READY)).status).toBe(0);
    expect(performance.now() - started).toBeLessThan(150);
    // Control mode page: TST says that each session has a task set of its own.
    const { data } = await other.command([0x1a, 0x08, 0x0a, 0, 0xff, 0], { readBytes: 255 });
    expect(data.readUInt8(4 + 2) >> 5).toBe(1);
    await answers(1);
    other.close();
  });
});

describe('a flush that nobody waits for', () => {
  const synchronize = cdb10(0x35, 0, 0, 0x02);
  const broken = new RestoreError('IO', 'the storage is gone');

  it('tells its failure with the next command, once, as a deferred error', async () => {
    write(0, SIMPLE);
    await answers(1);
    device.failure = broken;
    expect((await client.command(synchronize)).status).toBe(0);
    const told = await client.command(TEST_UNIT_READY);
    expect(told.status).toBe(2);
    expect(told.sense.readUInt8(0)).toBe(0x71);
    expect(senseOf(told)).toBe('04/44/00');
    expect((await client.command(TEST_UNIT_READY)).status).toBe(0);
    device.failure = undefined;
    expect((await client.command(cdb10(0x35, 0, 0))).status).toBe(0);
    expect(device.flushes).toBe(1);
  });

  it('tells it to REQUEST SENSE too', async () => {
    write(0, SIMPLE);
    await answers(1);
    device.failure = broken;
    expect((await client.command(synchronize)).status).toBe(0);
    const { data, status } = await client.command([3, 1, 0, 0, 252, 0], { readBytes: 252 });
    expect(status).toBe(0);
    expect([data.readUInt8(0), data.readUInt8(1)]).toEqual([0x73, 0x04]);
    expect((await client.command(TEST_UNIT_READY)).status).toBe(0);
    device.failure = undefined;
  });

  it('is not blamed on INQUIRY, and stays to be told', async () => {
    write(0, SIMPLE);
    await answers(1);
    device.failure = broken;
    await client.command(synchronize);
    const inquiry = await client.command([0x12, 0, 0, 0, 96, 0], { readBytes: 96 });
    expect(inquiry.status).toBe(0);
    expect(senseOf(await client.command(TEST_UNIT_READY))).toBe('04/44/00');
    device.failure = undefined;
  });
});

describe('bytes written are counted', () => {
  const written = (): number =>
    fixture.target.exports().find(({ iqn }) => iqn === DISK)?.bytesWritten ?? 0;

  it.each([
    ['WRITE', 8192, () => send(client, cdb10(0x2a, 0, 16), noise(8192))],
    ['WRITE SAME', 100 * 512, () => send(client, cdb10(0x41, 8, 100), noise(512))],
    ['WRITE SAME of zeros', 64 * 512, () => send(client, cdb16(0x93, 8, 64), Buffer.alloc(512))],
    ['COMPARE AND WRITE', 1024, compareAndWrite],
    ['UNMAP', 48 * 512, unmap],
  ])('of %s', async (_, bytes, act) => {
    expect((await act()).status).toBe(0);
    expect(written()).toBe(bytes);
  });

  it('of COMPARE AND WRITE not when it miscompares', async () => {
    const cdb = cdb16(0x89, 0, 0);
    cdb[13] = 2;
    expect(senseOf(await send(client, cdb, noise(2048)))).toBe('0e/1d/00');
    expect(written()).toBe(0);
  });

  function compareAndWrite() {
    const cdb = cdb16(0x89, 0, 0);
    cdb[13] = 2;
    return send(client, cdb, Buffer.concat([Buffer.alloc(1024), noise(1024)]));
  }

  function unmap() {
    const list = Buffer.alloc(8 + 32);
    list.writeUInt16BE(38, 0);
    list.writeUInt16BE(32, 2);
    list.writeUInt32BE(16, 12);
    list.writeUInt32BE(32, 16);
    list.writeUInt32BE(400, 28);
    list.writeUInt32BE(16, 32);
    return send(client, Buffer.of(0x42, 0, 0, 0, 0, 0, 0, 0, list.length, 0), list);
  }
});
