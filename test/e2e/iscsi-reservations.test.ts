/** Persistent reservations between sessions: keys, types, who is kept out, who is told. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  clearAttention,
  read10,
  senseOf,
  startTarget,
  type TargetFixture,
} from './iscsi/fixture.ts';
import { MemoryDevice } from './iscsi/memory-device.ts';
import type { CommandResult, RawClient } from './iscsi/raw-client.ts';

const DISK = 'iqn.2026-01.test:shared';
const CONFLICT = 'status 24';
const GOOD = 'status 0';
const ACTION = {
  register: 0,
  reserve: 1,
  release: 2,
  clear: 3,
  preempt: 4,
  preemptAndAbort: 5,
  registerAndIgnore: 6,
} as const;

let fixture: TargetFixture;
let device: MemoryDevice;
let one: RawClient;
let two: RawClient;
let three: RawClient;

beforeAll(async () => {
  fixture = await startTarget();
});

afterAll(() => fixture.target.close());

beforeEach(async () => {
  await fixture.target.removeExport(DISK, { graceMs: 0 });
  device = new MemoryDevice(1024 * 1024);
  fixture.add(DISK, device);
  [one, two, three] = await Promise.all([open(1), open(2), open(3)]);
  return () => [one, two, three].forEach((client) => client.close());
});

async function open(isid: number): Promise<RawClient> {
  const client = await fixture.session(DISK, { isid });
  await clearAttention(client);
  return client;
}

interface Out {
  readonly key?: number;
  readonly actionKey?: number;
  readonly type?: number;
  readonly flags?: number;
}

async function out(
  client: RawClient,
  action: number,
  { key = 0, actionKey = 0, type = 0, flags = 0 }: Out = {},
): Promise<string> {
  const data = Buffer.alloc(24);
  data.writeBigUInt64BE(BigInt(key), 0);
  data.writeBigUInt64BE(BigInt(actionKey), 8);
  data[20] = flags;
  const cdb = [0x5f, action, type, 0, 0, 0, 0, 0, 24, 0];
  return senseOf(await client.command(cdb, { writeBytes: 24, immediateData: data }));
}

function persistentIn(client: RawClient, action: number): Promise<CommandResult> {
  return client.command([0x5e, action, 0, 0, 0, 0, 0, 0x10, 0, 0], { readBytes: 4096 });
}

async function keys(client: RawClient): Promise<readonly number[]> {
  const { data } = await persistentIn(client, 0);
  return Array.from({ length: data.readUInt32BE(4) / 8 }, (_, index) =>
    Number(data.readBigUInt64BE(8 + index * 8)),
  );
}

async function reads(client: RawClient): Promise<string> {
  return senseOf(await client.command(read10(0, 1), { readBytes: 512 }));
}

async function writes(client: RawClient): Promise<string> {
  const cdb = read10(0, 1);
  cdb[0] = 0x2a;
  const immediateData = Buffer.alloc(512);
  return senseOf(await client.command(cdb, { writeBytes: 512, immediateData }));
}

async function ready(client: RawClient): Promise<string> {
  return senseOf(await client.command([0, 0, 0, 0, 0, 0]));
}

async function register(client: RawClient, actionKey: number): Promise<void> {
  expect(await out(client, ACTION.register, { actionKey })).toBe(GOOD);
}

describe('registration', () => {
  it('needs the key that is there, counts generations, lists keys and ports', async () => {
    await register(one, 11);
    expect(await out(one, ACTION.register, { key: 99, actionKey: 12 })).toBe(CONFLICT);
    expect(await out(one, ACTION.register, { key: 11, actionKey: 12 })).toBe(GOOD);
    expect(await out(two, ACTION.registerAndIgnore, { key: 77, actionKey: 22 })).toBe(GOOD);
    expect(await keys(three)).toEqual([12, 22]);
    const { data } = await persistentIn(three, 3);
    expect(data.readUInt32BE(0)).toBe(3);
    const text = data.toString('latin1');
    expect(text).toContain('iqn.2026-01.test:raw,i,0x800000000001\0');
    expect(text).toContain('iqn.2026-01.test:raw,i,0x800000000002\0');
    expect(await out(one, ACTION.register, { key: 12, actionKey: 0 })).toBe(GOOD);
    expect(await keys(three)).toEqual([22]);
  });

  it('is refused with other ports, kept over power loss, or of another length', async () => {
    expect(await out(one, ACTION.register, { actionKey: 1, flags: 0x01 })).toBe('05/26/00');
    expect(await out(one, ACTION.register, { actionKey: 1, flags: 0x08 })).toBe('05/26/00');
    const cdb = [0x5f, 0, 0, 0, 0, 0, 0, 0, 23, 0];
    const options = { writeBytes: 23, immediateData: Buffer.alloc(23) };
    expect(senseOf(await one.command(cdb, options))).toBe('05/1a/00');
    expect(await keys(one)).toEqual([]);
  });

  it('outlives its session and a unit reset, and ends with its export', async () => {
    await register(one, 11);
    expect(await out(one, ACTION.reserve, { key: 11, type: 3 })).toBe(GOOD);
    one.close();
    await expect.poll(() => fixture.target.sessions().length).toBe(2);
    const reset = Buffer.alloc(48);
    reset[0] = 0x42;
    reset[1] = 0x85;
    reset.writeUInt32BE(two.nextTag(), 16);
    reset.writeUInt32BE(0xffffffff, 20);
    reset.writeUInt32BE(two.cmdSn, 24);
    two.send(reset);
    expect((await two.receive()).bhs.readUInt8(2)).toBe(0);
    expect(await ready(two)).toBe('06/29/03');
    expect(await reads(two)).toBe(CONFLICT);
    one = await open(1);
    expect(await writes(one)).toBe(GOOD);
  });
});

/** Type; may a registered port read, write; may a stranger read, write. SPC-4 table 51. */
const TYPES = [
  [1, true, false, true, false],
  [3, false, false, false, false],
  [5, true, true, true, false],
  [6, true, true, false, false],
  [7, true, true, true, false],
  [8, true, true, false, false],
] as const;

describe.each(TYPES)('a reservation of type %i', (type, mayRead, mayWrite, anyRead, anyWrite) => {
  const verdict = (may: boolean): string => (may ? GOOD : CONFLICT);

  it('lets in whom it should', async () => {
    await register(one, 11);
    await register(two, 22);
    expect(await out(one, ACTION.reserve, { key: 11, type })).toBe(GOOD);
    expect([await reads(one), await writes(one)]).toEqual([GOOD, GOOD]);
    expect([await reads(two), await writes(two)]).toEqual([verdict(mayRead), verdict(mayWrite)]);
    expect([await reads(three), await writes(three)]).toEqual([
      verdict(anyRead),
      verdict(anyWrite),
    ]);
    expect(await ready(three)).toBe(GOOD);
    const { data } = await persistentIn(three, 1);
    expect(data.readUInt8(21)).toBe(type);
    expect(Number(data.readBigUInt64BE(8))).toBe(type >= 7 ? 0 : 11);
  });

  it('tells the other registered ports when it is released, never who released it', async () => {
    await register(one, 11);
    await register(two, 22);
    expect(await out(one, ACTION.reserve, { key: 11, type })).toBe(GOOD);
    const other = type === 3 ? 1 : 3;
    expect(await out(one, ACTION.release, { key: 11, type: other })).toBe('05/26/04');
    expect(await out(one, ACTION.release, { key: 11, type })).toBe(GOOD);
    expect(await ready(one)).toBe(GOOD);
    expect(await ready(two)).toBe(type >= 5 ? '06/2a/04' : GOOD);
    expect(await ready(three)).toBe(GOOD);
  });

  it('is taken over by PREEMPT', async () => {
    await register(one, 11);
    await register(two, 22);
    expect(await out(one, ACTION.reserve, { key: 11, type })).toBe(GOOD);
    const actionKey = type >= 7 ? 0 : 11;
    expect(await out(two, ACTION.preempt, { key: 22, actionKey, type: 3 })).toBe(GOOD);
    expect(await ready(two)).toBe(GOOD);
    expect(await ready(one)).toBe('06/2a/05');
    expect(await keys(two)).toEqual([22]);
    expect([await reads(one), await writes(two)]).toEqual([CONFLICT, GOOD]);
  });
});

describe('reservations', () => {
  it('are one at a time, and only for the registered', async () => {
    expect(await out(one, ACTION.reserve, { key: 0, type: 1 })).toBe(CONFLICT);
    await register(one, 11);
    await register(two, 22);
    expect(await out(one, ACTION.reserve, { key: 12, type: 1 })).toBe(CONFLICT);
    expect(await out(one, ACTION.reserve, { key: 11, type: 2 })).toBe('05/24/00');
    expect(await out(one, ACTION.reserve, { key: 11, type: 1 })).toBe(GOOD);
    expect(await out(one, ACTION.reserve, { key: 11, type: 1 })).toBe(GOOD);
    expect(await out(one, ACTION.reserve, { key: 11, type: 3 })).toBe(CONFLICT);
    expect(await out(two, ACTION.reserve, { key: 22, type: 1 })).toBe(CONFLICT);
    expect(await out(two, ACTION.release, { key: 22, type: 1 })).toBe(GOOD);
    expect(await writes(two)).toBe(CONFLICT);
  });

  it('are cleared with all keys, and the others are told', async () => {
    await register(one, 11);
    await register(two, 22);
    expect(await out(one, ACTION.reserve, { key: 11, type: 3 })).toBe(GOOD);
    expect(await out(two, ACTION.clear, { key: 22 })).toBe(GOOD);
    expect([await ready(two), await ready(one)]).toEqual([GOOD, '06/2a/03']);
    expect(await keys(one)).toEqual([]);
    expect(await writes(three)).toBe(GOOD);
  });

  it('end with the registration of their holder', async () => {
    await register(one, 11);
    await register(two, 22);
    expect(await out(one, ACTION.reserve, { key: 11, type: 6 })).toBe(GOOD);
    expect(await out(one, ACTION.register, { key: 11, actionKey: 0 })).toBe(GOOD);
    expect([await ready(one), await ready(two)]).toEqual([GOOD, '06/2a/04']);
    expect(await writes(three)).toBe(GOOD);
  });

  it('are not preempted by a key that nobody has', async () => {
    await register(one, 11);
    expect(await out(one, ACTION.preempt, { key: 11, actionKey: 5, type: 1 })).toBe(CONFLICT);
    expect(await out(one, ACTION.preempt, { key: 11, actionKey: 0, type: 1 })).toBe('05/26/00');
  });

  it('and RESERVE(6) keep out of each other’s way', async () => {
    await register(one, 11);
    expect(senseOf(await one.command([0x16, 0, 0, 0, 0, 0]))).toBe(GOOD);
    expect(senseOf(await two.command([0x16, 0, 0, 0, 0, 0]))).toBe(CONFLICT);
    expect(await writes(two)).toBe(GOOD);
    expect(await out(one, ACTION.clear, { key: 11 })).toBe(GOOD);
    expect(senseOf(await one.command([0x16, 0, 0, 0, 0, 0]))).toBe(GOOD);
    expect(await out(two, ACTION.register, { actionKey: 22 })).toBe(CONFLICT);
    expect((await persistentIn(one, 0)).status).toBe(0x18);
  });
});

describe('PREEMPT AND ABORT', () => {
  it('ends the commands of whom it preempts before it answers', async () => {
    await register(one, 11);
    await register(two, 22);
    expect(await out(one, ACTION.reserve, { key: 11, type: 5 })).toBe(GOOD);
    device.delayMs = 200;
    device.recordEvents = true;
    const cdb = read10(0, 1);
    cdb[0] = 0x2a;
    one.sendCommand(cdb, { writeBytes: 512, immediateData: Buffer.alloc(512, 1) });
    await expect.poll(() => device.events.length).toBe(1);
    const options = { key: 22, actionKey: 11, type: 5 };
    expect(await out(two, ACTION.preemptAndAbort, options)).toBe(GOOD);
    expect(device.events.map(({ stage }) => stage)).toEqual(['begin', 'end']);
    await expect(one.receive(300)).rejects.toThrow('nothing was received');
    expect(await ready(one)).toBe('06/2a/05');
    expect(await writes(one)).toBe(CONFLICT);
  });
});

describe('what the unit says it can', () => {
  it('lists its task management functions', async () => {
    const cdb = [0xa3, 0x0d, 0x80, 0, 0, 0, 0, 0, 0, 16, 0, 0];
    const { data } = await one.command(cdb, { readBytes: 16 });
    expect([data.length, data.readUInt8(0)]).toEqual([16, 0xda]);
  });

  it('tells one command with its timeouts descriptor, and hides what it refuses', async () => {
    const ask = async (opcode: number): Promise<Buffer> => {
      const cdb = [0xa3, 0x0c, 0x81, opcode, 0, 0, 0, 0, 0, 64, 0, 0];
      return (await one.command(cdb, { readBytes: 64 })).data;
    };
    const write = await ask(0x2a);
    expect([write.readUInt8(1), write.readUInt16BE(2), write.length]).toEqual([0x83, 10, 26]);
    expect(write.subarray(4, 14).toString('hex')).toBe('2af8ffffffff00ffff00');
    expect((await ask(0x04)).readUInt8(1)).toBe(0x01);
  });
});
