/** Changes of a disk that are no plain writes; writes that are aborted or overtaken; draining. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  clearAttention,
  SECRET,
  senseOf,
  startTarget,
  type TargetFixture,
  USER,
} from './iscsi/fixture.ts';
import { MemoryDevice } from './iscsi/memory-device.ts';
import { RawClient } from './iscsi/raw-client.ts';
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
