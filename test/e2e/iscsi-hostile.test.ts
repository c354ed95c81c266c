/** What a hostile or broken client can do: nothing, beyond losing its own connection. */
import { randomBytes as systemRandom } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type BlockSource, faulty } from '../../core/index.ts';
import {
  clearAttention,
  DISK_BYTES,
  randomDisk,
  read10,
  SECRET,
  startTarget,
  type TargetFixture,
  USER,
} from './iscsi/fixture.ts';
import { LoginRefused, RawClient } from './iscsi/raw-client.ts';

const DISK = 'iqn.2026-01.test:disk';
const BHS_BYTES = 48;
const disk = randomDisk(11);

let fixture: TargetFixture;
let neighbour: Neighbour;

/** A session that reads on and checks every byte, whatever happens beside it. */
interface Neighbour {
  reads(): number;
  stop(): Promise<void>;
}

async function startNeighbour(): Promise<Neighbour> {
  const client = await fixture.session(DISK, { isid: 1000 });
  await clearAttention(client);
  const stopped = new AbortController();
  let reads = 0;
  const run = (async () => {
    while (!stopped.signal.aborted) {
      const block = (reads * 37) % (DISK_BYTES / 512 - 16);
      const { data } = await client.command(read10(block, 16), { readBytes: 8192 });
      if (!data.equals(Buffer.from(disk.data.buffer, block * 512, 8192))) {
        throw new Error(`wrong bytes at block ${block}`);
      }
      reads += 1;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  return {
    reads: () => reads,
    stop: async () => {
      stopped.abort();
      await run;
      client.close();
    },
  };
}

beforeAll(async () => {
  fixture = await startTarget();
  fixture.add(DISK, disk.source);
});

afterAll(() => fixture.target.close());

beforeEach(async () => {
  neighbour = await startNeighbour();
});

afterEach(async () => {
  const before = neighbour.reads();
  const deadline = Date.now() + 5_000;
  while (neighbour.reads() === before) {
    if (Date.now() > deadline) throw new Error('the neighbouring session is stuck');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await neighbour.stop();
});

/** After something odd: the session answers, or its connection is closed; it never hangs. */
async function expectAliveOrClosed(client: RawClient): Promise<'alive' | 'closed'> {
  const probe = Buffer.from('still-there');
  const bhs = nopOut(0x7fff0000, client.cmdSn);
  client.send(bhs, probe);
  try {
    for (;;) {
      const pdu = await client.receive(3_000);
      if (pdu.data.equals(probe)) return 'alive';
    }
  } catch (error) {
    if (client.ended) return 'closed';
    throw error;
  }
}

function nopOut(tag: number, cmdSn: number): Buffer {
  const bhs = Buffer.alloc(BHS_BYTES);
  bhs[0] = 0x40;
  bhs[1] = 0x80;
  bhs.writeUInt32BE(tag, 16);
  bhs.writeUInt32BE(0xffffffff, 20);
  bhs.writeUInt32BE(cmdSn, 24);
  return bhs;
}

function scsiRead(client: RawClient): Buffer {
  const bhs = Buffer.alloc(BHS_BYTES);
  bhs[0] = 0x01;
  bhs[1] = 0xc0;
  bhs.writeUInt32BE(client.nextTag(), 16);
  bhs.writeUInt32BE(4096, 20);
  bhs.writeUInt32BE(client.cmdSn, 24);
  read10(100, 8).copy(bhs, 32);
  client.cmdSn += 1;
  return bhs;
}

describe('bytes that are not iSCSI', () => {
  it.each([
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: example\r\n\r\n'.repeat(4))],
    [
      'a TLS hello',
      Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]), systemRandom(512)]),
    ],
    ['zeros', Buffer.alloc(4096)],
    ['ones', Buffer.alloc(4096, 0xff)],
    ['a SCSI command before login', Buffer.concat([Buffer.from([0x01, 0x80]), Buffer.alloc(46)])],
  ])('close the connection that sent them: %s', async (_, bytes) => {
    const client = await RawClient.connect(fixture.port);
    client.socket.write(bytes);
    await client.untilClosed();
  });

  it('may stop anywhere', async () => {
    for (let length = 0; length < BHS_BYTES; length += 7) {
      const client = await RawClient.connect(fixture.port);
      client.socket.end(Buffer.alloc(length, 0x43));
      await client.untilClosed();
    }
  });
});

describe('one wrong header byte', () => {
  const values = [0x00, 0x01, 0x7f, 0x80, 0xff];

  it.each(values)('in a login request, set to %i, does no harm', async (value) => {
    for (let at = 0; at < BHS_BYTES; at += 1) {
      const client = await RawClient.connect(fixture.port);
      const bhs = Buffer.alloc(BHS_BYTES);
      bhs[0] = 0x43;
      bhs[1] = 0x87;
      bhs.writeUInt32BE(1, 24);
      bhs[at] = value;
      const keys = Buffer.from(`InitiatorName=iqn.x\0TargetName=${DISK}\0`);
      if (at < 4 || at > 7) bhs.writeUIntBE(keys.length, 5, 3);
      client.socket.write(Buffer.concat([bhs, keys, Buffer.alloc(3)]));
      // Never a login without CHAP: at most the stage stays where it is.
      const answer = await client.receive(1_000).catch(() => undefined);
      const granted = answer?.bhs.readUInt16BE(36) === 0 && (answer.bhs.readUInt8(1) & 0x80) !== 0;
      expect(granted).toBe(false);
      client.close();
    }
  });

  it.each(values)('in a SCSI command, set to %i, does no harm', async (value) => {
    const outcomes = { alive: 0, closed: 0 };
    for (let at = 0; at < BHS_BYTES; at += 1) {
      // Other lengths make the rest of the stream mean something else: they have their own tests.
      if (at >= 4 && at < 8) continue;
      const client = await fixture.session(DISK, { isid: 2000 + at });
      await clearAttention(client);
      const bhs = scsiRead(client);
      bhs[at] = value;
      client.socket.write(bhs);
      outcomes[await expectAliveOrClosed(client)] += 1;
      client.close();
    }
    expect(outcomes.alive).toBeGreaterThan(30);
  });
});

describe('numbers and lengths', () => {
  async function session(isid: number): Promise<RawClient> {
    const client = await fixture.session(DISK, { isid });
    await clearAttention(client);
    return client;
  }

  it('ignores commands outside the window', async () => {
    const client = await session(3000);
    for (const cmdSn of [client.cmdSn - 1, client.cmdSn + 128, client.cmdSn + 0x7fffffff]) {
      client.sendCommand(read10(0, 1), { readBytes: 512, cmdSn: cmdSn >>> 0 });
    }
    await expect(client.receive(300)).rejects.toThrow('nothing was received');
    expect((await client.command(read10(0, 1), { readBytes: 512 })).status).toBe(0);
    client.close();
  });

  it('closes a connection that skips a number', async () => {
    const client = await session(3001);
    client.sendCommand(read10(0, 1), { readBytes: 512, cmdSn: client.cmdSn + 1 });
    expect((await client.receive()).bhs.readUInt8(0)).toBe(0x3f);
    await client.untilClosed();
  });

  it('rejects a tag that is in use', async () => {
    const iqn = 'iqn.2026-01.test:slow';
    fixture.add(iqn, faulty(disk.source, [{ delayMs: 300, delayOnly: true }]));
    const client = await fixture.session(iqn);
    await clearAttention(client);
    client.sendCommand(read10(0, 8), { readBytes: 4096, tag: 77 });
    client.sendCommand(read10(0, 8), { readBytes: 4096, tag: 77 });
    const reject = await client.receive();
    expect(reject.bhs.readUInt8(0)).toBe(0x3f);
    expect(reject.bhs.readUInt8(2)).toBe(0x07);
    expect((await client.collect(77)).status).toBe(0);
    client.close();
    await fixture.target.removeExport(iqn, { graceMs: 0 });
  });

  it.each([
    ['SNACK', 0x10, 0x03],
    ['an unknown opcode', 0x1c, 0x05],
  ])('rejects %s and goes on', async (_, opcode, reason) => {
    const client = await session(3002);
    const bhs = Buffer.alloc(BHS_BYTES);
    bhs[0] = opcode;
    client.send(bhs);
    const reject = await client.receive();
    expect(reject.bhs.readUInt8(2)).toBe(reason);
    expect(reject.data.length).toBe(BHS_BYTES);
    await client.ping();
    client.close();
  });

  it('skips additional header segments', async () => {
    const client = await session(3003);
    const bhs = scsiRead(client);
    bhs[4] = 255;
    client.socket.write(Buffer.concat([bhs, systemRandom(255 * 4)]));
    expect((await client.receive()).data.length).toBe(4096);
    client.close();
  });

  it('closes on a data segment beyond the declared length, and on a second login', async () => {
    const long = await session(3004);
    const bhs = nopOut(1, long.cmdSn);
    bhs.writeUInt32BE(262_145, 4);
    long.socket.write(bhs);
    await long.untilClosed();
    const again = await session(3005);
    const login = Buffer.alloc(BHS_BYTES);
    login[0] = 0x43;
    again.send(login);
    await again.untilClosed();
  });

  it('closes on a wrong header digest, and rejects and closes on a wrong data digest', async () => {
    for (const [keys, digests] of [
      [['HeaderDigest=CRC32C'], 1],
      [['DataDigest=CRC32C'], 1],
    ] as const) {
      const client = await fixture.session(DISK, { isid: 3006, keys });
      const bhs = nopOut(1, client.cmdSn);
      bhs.writeUInt32BE(4, 4);
      client.socket.write(Buffer.concat([bhs, Buffer.alloc(4 + 4 * digests, 0x55)]));
      await client.untilClosed();
    }
  });
});

describe('a client that does not take its answers', () => {
  it('costs bounded memory, for reads', async () => {
    let readBytes = 0;
    const counting: BlockSource = {
      size: disk.source.size,
      sectorSize: 512,
      peek: () => undefined,
      readInto: async (target, offset) => {
        readBytes += target.length;
        await disk.source.readInto(target, offset);
      },
      close: async () => {},
    };
    const client = await fixture.sessionOn(counting, ['MaxRecvDataSegmentLength=262144']);
    client.socket.pause();
    for (let index = 0; index < 128; index += 1) {
      client.sendCommand(read10(0, 4096), { readBytes: 4096 * 512 });
    }
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    // 256 MiB are asked for. 8 MiB may be held, and the system's socket buffers hold some more.
    expect(readBytes).toBeGreaterThan(4 * 1024 * 1024);
    expect(readBytes).toBeLessThan(40 * 1024 * 1024);
    client.close();
  });

  it('costs bounded memory, for echoes', async () => {
    const client = await fixture.session(DISK, {
      isid: 4000,
      keys: ['MaxRecvDataSegmentLength=262144'],
    });
    client.socket.pause();
    const echo = Buffer.alloc(262_144);
    const before = process.memoryUsage().arrayBuffers;
    let sentBytes = 0;
    while (client.socket.writableLength < 64 * 1024 * 1024 && sentBytes < 512 * 1024 * 1024) {
      client.send(nopOut(client.nextTag(), client.cmdSn), echo);
      sentBytes += echo.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    // The target stopped reading: the rest piles up on our side, 64 MiB of it.
    expect(client.socket.writableLength).toBeGreaterThanOrEqual(64 * 1024 * 1024);
    const ours = client.socket.writableLength;
    expect(process.memoryUsage().arrayBuffers - before - ours).toBeLessThan(96 * 1024 * 1024);
    client.close();
  });

  it('cannot take the places of others by discovery', async () => {
    const few = await startTarget({ limits: { maxSessions: 40 } });
    few.add(DISK, disk.source);
    const idle = [];
    for (let count = 0; count < 60; count += 1) {
      const client = await RawClient.connect(few.port);
      await client.login({});
      idle.push(client);
      if (count === 30) expect(few.target.sessions().length).toBe(31);
    }
    const client = await few.session(DISK);
    await client.ping();
    expect(few.target.sessions().length).toBeLessThanOrEqual(33);
    expect(idle.filter(({ ended }) => ended).length).toBeGreaterThanOrEqual(28);
    for (const each of [client, ...idle]) each.close();
    await few.target.close();
  });

  it('cannot take all places for logging in', async () => {
    const idle = await Promise.all(
      Array.from({ length: 40 }, () => RawClient.connect(fixture.port)),
    );
    await expect.poll(() => idle.filter(({ ended }) => ended).length).toBeGreaterThanOrEqual(8);
    for (const client of idle) client.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const client = await fixture.session(DISK, { isid: 4001 });
    client.close();
  });
});

describe('taking an export away', () => {
  it('refuses logins, asks to log out, then closes; I/O until then is right', async () => {
    const iqn = 'iqn.2026-01.test:going';
    fixture.add(iqn, disk.source);
    const client = await fixture.session(iqn);
    await clearAttention(client);
    const removal = fixture.target.removeExport(iqn, { graceMs: 400 });
    const first = await client.receive();
    expect(first.bhs.readUInt8(0)).toBe(0x32);
    expect(first.bhs.readUInt8(36)).toBe(1);
    const { data } = await client.command(read10(9, 8), { readBytes: 4096 });
    expect(data.equals(Buffer.from(disk.data.buffer, 9 * 512, 4096))).toBe(true);
    const login = async (): Promise<number> => {
      const other = await RawClient.connect(fixture.port);
      const chap = { user: USER, secret: SECRET };
      const error: unknown = await other.login({ target: iqn, chap }).catch((caught) => caught);
      return error instanceof LoginRefused ? error.status : 0;
    };
    expect(await login()).toBe(0x0203);
    const last = await client.receive();
    expect(last.bhs.readUInt8(36)).toBe(3);
    await client.untilClosed();
    await removal;
    expect(await login()).toBe(0x0203);
    expect(fixture.target.exports().map((each) => each.iqn)).not.toContain(iqn);
  });
});
