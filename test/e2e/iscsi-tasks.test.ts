/** Refused writes, data that the target takes, task management and reservations. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { faulty } from '../../core/index.ts';
import {
  clearAttention,
  randomDisk,
  read10,
  senseOf,
  startTarget,
  type TargetFixture,
} from './iscsi/fixture.ts';
import { dataOut, type RawClient, type RawPdu } from './iscsi/raw-client.ts';

const DISK = 'iqn.2026-01.test:disk';
const CHECK_CONDITION = 2;
const disk = randomDisk(5);

let fixture: TargetFixture;
let client: RawClient;

beforeAll(async () => {
  fixture = await startTarget({ limits: { initialR2T: false } });
  fixture.add(DISK, disk.source);
  client = await fixture.session(DISK);
  await clearAttention(client);
});

afterAll(async () => {
  client.close();
  await fixture.target.close();
});

function bytes(start: number, length: number): Buffer {
  return Buffer.from(disk.data.buffer, start, length);
}

describe('writes', () => {
  const write10 = (block: number, count: number): Buffer => {
    const cdb = read10(block, count);
    cdb[0] = 0x2a;
    return cdb;
  };
  const payload = Buffer.alloc(64 * 512, 0xaa);

  it.each([0x04, 0x0a, 0x2a, 0x2e, 0x41, 0x42, 0x89, 0x8a, 0x8b, 0x8e, 0x93, 0xaa, 0xae])(
    'of opcode %i are refused as write-protected before anything else is looked at',
    async (opcode) => {
      const cdb = Buffer.alloc(16, 0xff);
      cdb[0] = opcode;
      const immediateData = Buffer.alloc(512);
      const result = await client.command(cdb, { writeBytes: 512, immediateData });
      expect(senseOf(result)).toBe('07/27/00');
    },
  );

  it('are refused after their immediate data, without asking for more', async () => {
    const writeBytes = payload.length;
    const immediateData = payload.subarray(0, 4096);
    const result = await client.command(write10(0, 64), { writeBytes, immediateData });
    expect(senseOf(result)).toBe('07/27/00');
    expect(result.residual).toBe(-writeBytes);
    await client.ping();
  });

  it('are refused after their unsolicited data, which are swallowed', async () => {
    const own = await fixture.sessionOn(disk.source, ['InitialR2T=No', 'ImmediateData=Yes']);
    const options = { writeBytes: payload.length, final: false };
    const tag = own.sendCommand(write10(0, 64), {
      ...options,
      immediateData: payload.subarray(0, 8192),
    });
    // The refusal is certain by now, but must wait for the data.
    await expect(own.receive(200)).rejects.toThrow('nothing was received');
    for (let part = 0; part < 3; part += 1) {
      own.send(
        dataOut(tag, 0xffffffff, part, 8192 * (part + 1), part === 2),
        payload.subarray(0, 8192),
      );
    }
    expect(senseOf(await own.collect(tag))).toBe('07/27/00');
    const { data } = await own.command(read10(0, 64), { readBytes: 64 * 512 });
    expect(data.equals(bytes(0, 64 * 512))).toBe(true);
    own.close();
  });

  it('show the disk as write-protected', async () => {
    const sense6 = await client.command([0x1a, 0, 0x3f, 0, 255, 0], { readBytes: 255 });
    expect(sense6.data.readUInt8(2) & 0x80).toBe(0x80);
    const cdb = [0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255, 0];
    expect((await client.command(cdb, { readBytes: 255 })).data.readUInt8(3) & 0x80).toBe(0x80);
  });
});

describe('data that the target takes', () => {
  const verifyBytes = (block: number, count: number): Buffer => {
    const cdb = read10(block, count);
    cdb[0] = 0x2f;
    cdb[1] = 0x02;
    return cdb;
  };

  /** Answers R2T PDUs until a command ends. */
  async function feedAny(own: RawClient, data: Buffer): Promise<RawPdu> {
    for (;;) {
      const pdu = await own.receive();
      if ((pdu.bhs.readUInt8(0) & 0x3f) !== 0x31) return pdu;
      const tag = pdu.bhs.readUInt32BE(16);
      const transferTag = pdu.bhs.readUInt32BE(20);
      const start = pdu.bhs.readUInt32BE(40);
      const end = start + pdu.bhs.readUInt32BE(44);
      let number = 0;
      for (let at = start; at < end; at += 65536) {
        const part = data.subarray(at, Math.min(end, at + 65536));
        own.send(dataOut(tag, transferTag, number, at, at + part.length === end), part);
        number += 1;
      }
    }
  }

  it.each([
    [0, []],
    [4096, []],
    [0, ['MaxBurstLength=65536']],
    [8192, ['FirstBurstLength=8192', 'MaxBurstLength=131072', 'InitialR2T=No']],
  ])('is asked for in bursts, after %i immediate bytes', async (immediate, keys) => {
    const own = await fixture.sessionOn(disk.source, keys);
    const data = bytes(512, 2000 * 512);
    const options = { writeBytes: data.length, immediateData: data.subarray(0, immediate) };
    own.sendCommand(verifyBytes(1, 2000), options);
    const same = await feedAny(own, data);
    expect(same.bhs.readUInt8(0)).toBe(0x21);
    expect(same.bhs.readUInt8(3)).toBe(0);
    const changed = Buffer.from(data);
    changed.writeUInt8(changed.readUInt8(700_000) ^ 1, 700_000);
    const immediateData = changed.subarray(0, immediate);
    own.sendCommand(verifyBytes(1, 2000), { writeBytes: data.length, immediateData });
    const other = await feedAny(own, changed);
    expect(other.bhs.readUInt8(3)).toBe(CHECK_CONDITION);
    expect(other.data.readUInt8(2 + 2) & 0x0f).toBe(0x0e);
    expect(other.data.readUInt32BE(2 + 3)).toBe(700_000);
    own.close();
  });

  it('is asked for when others have given their memory back, also in many bursts', async () => {
    const small = await startTarget({ limits: { connectionBufferBytes: 65_536 } });
    small.add(DISK, disk.source);
    const own = await small.session(DISK, { keys: ['MaxBurstLength=65536'] });
    await clearAttention(own);
    const data = bytes(512, 2000 * 512);
    const options = { writeBytes: data.length };
    const tags = [1, 2, 3].map(() => own.sendCommand(verifyBytes(1, 2000), options));
    const answered: number[] = [];
    while (answered.length < tags.length) {
      // The order is theirs to choose; each R2T names its task.
      const answer = await feedAny(own, data);
      expect(answer.bhs.readUInt8(3)).toBe(0);
      answered.push(answer.bhs.readUInt32BE(16));
    }
    expect(new Set(answered)).toEqual(new Set(tags));
    own.close();
    await small.target.close();
  });

  it.each([
    ['a wrong DataSN', 1, 0, 1024],
    ['a wrong offset', 0, 512, 1024],
    ['fewer bytes than asked for', 0, 0, 512],
    ['more bytes than asked for', 0, 0, 1536],
  ])('is refused with %s, and the session goes on', async (_, dataSn, offset, length) => {
    const own = await fixture.sessionOn(disk.source);
    const tag = own.sendCommand(verifyBytes(0, 2), { writeBytes: 1024 });
    const r2t = await own.receive();
    expect(r2t.bhs.readUInt8(0)).toBe(0x31);
    own.send(dataOut(tag, r2t.bhs.readUInt32BE(20), dataSn, offset, true), bytes(0, length));
    expect(senseOf(await own.collect(tag)).slice(0, 2)).toBe('0b');
    await own.ping();
    own.close();
  });
});

describe('task management', () => {
  function manage(own: RawClient, code: number, referenced = 0xffffffff, lun = 0): number {
    const bhs = Buffer.alloc(48);
    const tag = own.nextTag();
    bhs[0] = 0x42;
    bhs[1] = 0x80 | code;
    bhs[9] = lun;
    bhs.writeUInt32BE(tag, 16);
    bhs.writeUInt32BE(referenced, 20);
    bhs.writeUInt32BE(own.cmdSn, 24);
    bhs.writeUInt32BE(own.cmdSn - 1, 32);
    own.send(bhs);
    return tag;
  }

  async function slowSession(): Promise<RawClient> {
    return fixture.sessionOn(faulty(disk.source, [{ delayMs: 300, delayOnly: true }]));
  }

  it('aborts a task: its answer never comes', async () => {
    const own = await slowSession();
    const slow = own.sendCommand(read10(0, 8), { readBytes: 4096 });
    const tag = manage(own, 1, slow);
    const answer = await own.receive();
    expect(answer.bhs.readUInt8(0)).toBe(0x22);
    expect(answer.bhs.readUInt8(2)).toBe(0);
    expect(answer.bhs.readUInt32BE(16)).toBe(tag);
    await expect(own.receive(500)).rejects.toThrow('nothing was received');
    await own.ping();
    own.close();
  });

  it('lets commands go on that waited for the room of an aborted one', async () => {
    const small = await startTarget({ limits: { connectionBufferBytes: 4096 } });
    const range = { offset: 0, length: 512 };
    const broken = faulty(disk.source, [{ range, delayMs: 300, code: 'IO' }]);
    small.add(DISK, broken);
    const own = await small.session(DISK);
    await clearAttention(own);
    const failing = own.sendCommand(read10(0, 8), { readBytes: 4096 });
    const waiting = own.sendCommand(read10(200, 8), { readBytes: 4096 });
    manage(own, 1, failing);
    expect((await own.receive()).bhs.readUInt8(0)).toBe(0x22);
    const { data } = await own.collect(waiting);
    expect(data.equals(bytes(200 * 512, 4096))).toBe(true);
    own.close();
    await small.target.close();
  });

  it('says so when there is no such task, unit or function', async () => {
    manage(client, 1, 0xdead);
    expect((await client.receive()).bhs.readUInt8(2)).toBe(1);
    manage(client, 5, 0xffffffff, 3);
    expect((await client.receive()).bhs.readUInt8(2)).toBe(2);
    manage(client, 8);
    expect((await client.receive()).bhs.readUInt8(2)).toBe(4);
    manage(client, 77);
    expect((await client.receive()).bhs.readUInt8(2)).toBe(5);
  });

  it.each([
    ['ABORT TASK SET', 2, undefined],
    ['LOGICAL UNIT RESET', 5, '06/29/03'],
    ['TARGET WARM RESET', 6, '06/29/03'],
  ])('ends all tasks by %s', async (_, code, attention) => {
    const own = await slowSession();
    for (let index = 0; index < 5; index += 1) {
      own.sendCommand(read10(index * 200, 8), { readBytes: 4096 });
    }
    manage(own, code);
    expect((await own.receive()).bhs.readUInt8(0)).toBe(0x22);
    await expect(own.receive(500)).rejects.toThrow('nothing was received');
    const next = await own.command([0x00, 0, 0, 0, 0, 0]);
    if (attention === undefined) expect(next.status).toBe(0);
    else expect(senseOf(next)).toBe(attention);
    own.close();
  });

  it('ends the session by TARGET COLD RESET', async () => {
    const own = await slowSession();
    manage(own, 7);
    expect((await own.receive()).bhs.readUInt8(2)).toBe(0);
    await own.untilClosed();
  });
});

describe('reservations', () => {
  it('keep others out until released or until their holder is gone', async () => {
    const iqn = 'iqn.2026-01.test:reserved';
    fixture.add(iqn, disk.source);
    const holder = await fixture.session(iqn, { isid: 1 });
    const other = await fixture.session(iqn, { isid: 2 });
    await clearAttention(holder);
    await clearAttention(other);
    expect((await holder.command([0x16, 0, 0, 0, 0, 0])).status).toBe(0);
    expect((await other.command(read10(0, 1), { readBytes: 512 })).status).toBe(0x18);
    expect((await other.command([0x12, 0, 0, 0, 36, 0], { readBytes: 36 })).status).toBe(0);
    expect((await holder.command(read10(0, 1), { readBytes: 512 })).status).toBe(0);
    holder.close();
    await expect
      .poll(async () => (await other.command(read10(0, 1), { readBytes: 512 })).status)
      .toBe(0);
    other.close();
  });
});
