/** Negotiation, sessions and discovery, as a hand-made initiator sees them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  DISK_BYTES,
  randomDisk,
  SECRET,
  startTarget,
  type TargetFixture,
  USER,
} from './iscsi/fixture.ts';
import { keysOf, RawClient } from './iscsi/raw-client.ts';
import { refusal, withClient } from './iscsi/refusal.ts';

const DISK = 'iqn.2026-01.test:disk';
const HIDDEN = 'iqn.2026-01.test:hidden';
const OPEN = 'iqn.2026-01.test:open';
const NAMES = ['InitiatorName=iqn.2026-01.test:raw', 'SessionType=Normal', `TargetName=${OPEN}`];

let fixture: TargetFixture;
const disk = randomDisk(3);

beforeAll(async () => {
  fixture = await startTarget({ advertise: [{ host: '192.0.2.7', port: 3260 }] });
  fixture.add(DISK, disk.source);
  fixture.add(HIDDEN, disk.source, { chap: { user: 'auditor', secret: 'another-secret' } });
  fixture.target.addExport({
    iqn: OPEN,
    readOnly: true,
    source: disk.source,
    identity: { serial: 'open', naa: '3000000000000042' },
    noAuthentication: true,
  });
});

afterAll(() => fixture.target.close());

describe('negotiation', () => {
  const chap = { user: USER, secret: SECRET };

  async function negotiated(keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
    return withClient(fixture.port, (client) => client.login({ target: DISK, chap, keys }));
  }

  it.each([
    ['HeaderDigest=CRC32C,None', 'CRC32C'],
    ['HeaderDigest=None,CRC32C', 'None'],
    ['HeaderDigest=MD5', 'Reject'],
    ['MaxConnections=8', '1'],
    ['ErrorRecoveryLevel=2', '0'],
    ['InitialR2T=No', 'Yes'],
    ['ImmediateData=No', 'No'],
    ['MaxBurstLength=16776192', '1048576'],
    ['MaxBurstLength=0x4000', '16384'],
    ['MaxBurstLength=511', 'Reject'],
    ['MaxBurstLength=99999999999', 'Reject'],
    ['FirstBurstLength=many', 'Reject'],
    ['DataPDUInOrder=No', 'Yes'],
    ['MaxOutstandingR2T=4', '1'],
    ['DefaultTime2Wait=0', '2'],
    ['OFMarker=No', 'No'],
    ['X-com.example.thing=1', 'NotUnderstood'],
    ['Whatever=1', 'NotUnderstood'],
  ])('answers %s with %s', async (asked, answer) => {
    expect((await negotiated([asked])).get(asked.slice(0, asked.indexOf('=')))).toBe(answer);
  });

  it('declares its own limit and answers no declaration', async () => {
    const answer = await negotiated(['MaxRecvDataSegmentLength=65536', 'InitiatorAlias=me']);
    expect(answer.get('MaxRecvDataSegmentLength')).toBe('262144');
    expect(answer.has('InitiatorAlias')).toBe(false);
  });

  it('gives the portal group in the first response and a TSIH in the last', async () => {
    await withClient(fixture.port, async (client) => {
      const names = [NAMES[0] as string, `TargetName=${OPEN}`];
      const first = await client.loginStep(0x04, names);
      expect(keysOf(first.data).get('TargetPortalGroupTag')).toBe('1');
      expect(first.bhs.readUInt16BE(14)).toBe(0);
      const last = await client.loginStep(0x87, []);
      expect(last.bhs.readUInt8(1)).toBe(0x87);
      expect(last.bhs.readUInt16BE(14)).not.toBe(0);
    });
  });

  it('collects a text that comes in parts, and sends a long one in parts', async () => {
    await withClient(fixture.port, async (client) => {
      const many = Array.from({ length: 900 }, (_, index) => `X-example.${index}=1`);
      const names = [NAMES[0] as string, `TargetName=${OPEN}`];
      await client.loginStep(0x44, [...names, ...many.slice(0, 300)]);
      await client.loginStep(0x44, many.slice(300, 600));
      let answer = await client.loginStep(0x87, many.slice(600));
      const parts = [answer.data];
      while ((answer.bhs.readUInt8(1) & 0x40) !== 0) {
        expect(answer.data.length).toBeLessThanOrEqual(8192);
        expect(answer.bhs.readUInt8(1) & 0x80).toBe(0);
        answer = await client.loginStep(0x04, []);
        parts.push(answer.data);
      }
      expect(parts.length).toBeGreaterThan(2);
      const answers = keysOf(Buffer.concat(parts));
      for (let index = 0; index < 900; index += 1) {
        expect(answers.get(`X-example.${index}`)).toBe('NotUnderstood');
      }
      const last = await client.loginStep(0x87, []);
      expect(last.bhs.readUInt8(1) & 0x83).toBe(0x83);
      await client.ping();
    });
  });

  it.each([
    ['no InitiatorName', 0x87, [`TargetName=${OPEN}`], 0x0207],
    ['no TargetName', 0x87, [NAMES[0] as string], 0x0207],
    ['an unknown target', 0x87, [NAMES[0] as string, 'TargetName=iqn.2026-01.test:none'], 0x0203],
    ['an unknown session type', 0x87, [NAMES[0] as string, 'SessionType=Odd'], 0x0209],
    ['a key twice', 0x87, [...NAMES, 'MaxConnections=1', 'MaxConnections=1'], 0x0200],
    ['a text without =', 0x87, [...NAMES, 'nonsense'], 0x0200],
    ['a stage that does not exist', 0x8b, NAMES, 0x0200],
    ['transit to the same stage', 0x85, NAMES, 0x0200],
  ])('refuses %s', async (_, flags, keys, status) => {
    expect(await refusal(fixture.port, (client) => client.loginStep(flags, keys))).toBe(status);
  });

  it('refuses text beyond 64 KiB', async () => {
    const status = await refusal(fixture.port, async (client) => {
      const filler = `X-filler=${'x'.repeat(8000)}`;
      for (let part = 0; part < 20; part += 1) await client.loginStep(0x44, [filler]);
    });
    expect(status).toBe(0x0200);
  });
});

describe('sessions', () => {
  const chap = { user: USER, secret: SECRET };

  it('replaces the older session of the same initiator port', async () => {
    const older = await fixture.session(DISK, { isid: 7 });
    const other = await fixture.session(DISK, { isid: 8 });
    const newer = await fixture.session(DISK, { isid: 7 });
    await older.untilClosed();
    await newer.ping();
    await other.ping();
    newer.close();
    other.close();
  });

  it('lists what is open, and forgets what is closed', async () => {
    const client = await RawClient.connect(fixture.port);
    await client.login({ target: DISK, chap, initiator: 'iqn.2026-01.test:listed', isid: 9 });
    await client.command([0x00, 0, 0, 0, 0, 0]);
    const capacity = await client.command([0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], { readBytes: 8 });
    expect(capacity.data.readUInt32BE(0)).toBe(DISK_BYTES / 512 - 1);
    const mine = fixture.target
      .sessions()
      .find(({ initiatorName }) => initiatorName.endsWith('listed'));
    expect(mine).toMatchObject({ iqn: DISK, address: '127.0.0.1', commands: 2, bytesRead: 8 });
    client.close();
    await expect
      .poll(() => fixture.target.sessions().some(({ id }) => id === mine?.id))
      .toBe(false);
  });

  it('ends after a login that takes too long', async () => {
    const impatient = await startTarget({ limits: { loginTimeoutMs: 200 } });
    const client = await RawClient.connect(impatient.port);
    await client.untilClosed(2_000);
    await impatient.target.close();
  });

  it('pings a silent initiator with a tag of its own, and drops one that does not answer', async () => {
    const attentive = await startTarget({
      limits: { idleBeforePingMs: 500, pingTimeoutMs: 1_500 },
    });
    attentive.add(DISK, disk.source);
    const client = await attentive.session(DISK);
    const nop = await client.receive(5_000);
    expect(nop.bhs.readUInt8(0)).toBe(0x20);
    expect(nop.bhs.readUInt32BE(16)).toBe(0xffffffff);
    expect(nop.bhs.readUInt32BE(20)).not.toBe(0xffffffff);
    await client.untilClosed(8_000);
    await attentive.target.close();
  });
});

describe('discovery', () => {
  /** Answers SendTargets in a session of its own. */
  async function discover(chap?: { user: string; secret: string }): Promise<string> {
    return withClient(fixture.port, async (client) => {
      await client.login(chap === undefined ? {} : { chap });
      return sendTargets(client, 'All');
    });
  }

  it('shows the advertised address', async () => {
    expect(await discover()).toBe(`TargetName=${OPEN}\0TargetAddress=192.0.2.7:3260,1\0`);
  });

  it('shows what the credentials open and what needs none', async () => {
    const list = await discover({ user: USER, secret: SECRET });
    expect([...list.matchAll(/TargetName=(\S+?)\0/g)].map(([, name]) => name)).toEqual([
      DISK,
      OPEN,
    ]);
  });

  it('refuses credentials that open nothing', async () => {
    await expect(discover({ user: USER, secret: 'wrong-secret-1' })).rejects.toThrow(/0201/);
  });

  it('runs no SCSI commands', async () => {
    await withClient(fixture.port, async (client) => {
      await client.login({});
      client.sendCommand([0x00, 0, 0, 0, 0, 0]);
      const answer = await client.receive();
      expect(answer.bhs.readUInt8(0)).toBe(0x3f);
    });
  });

  it('shows all targets when told to', async () => {
    const open = await startTarget({ openDiscovery: true });
    open.add(DISK, disk.source);
    const client = await RawClient.connect(open.port);
    await client.login({});
    const list = await sendTargets(client, DISK);
    expect(list).toBe(`TargetName=${DISK}\0TargetAddress=127.0.0.1:${open.port},1\0`);
    await open.target.close();
  });
});

describe('two portals', () => {
  it('are both told of, and show one and the same disk', async () => {
    const local = { host: '127.0.0.1', port: 0 };
    const twice = await startTarget({ portals: [local, local], openDiscovery: true });
    twice.add(DISK, disk.source);
    const ports = twice.target.portals.map(({ port }) => port);
    expect(new Set(ports).size).toBe(2);
    const pages = [];
    for (const port of ports) {
      const client = await RawClient.connect(port);
      await client.login({ target: DISK, chap: { user: USER, secret: SECRET }, isid: port });
      const page83 = [0x12, 1, 0x83, 0, 255, 0];
      pages.push((await client.command(page83, { readBytes: 255 })).data.toString('hex'));
      const listed = await sendTargets(client, '');
      for (const each of ports) expect(listed).toContain(`TargetAddress=127.0.0.1:${each},1\0`);
      client.close();
    }
    expect(pages[0]).toBe(pages[1]);
    await twice.target.close();
  });
});

/** What `SendTargets` answers. */
async function sendTargets(client: RawClient, value: string): Promise<string> {
  const bhs = Buffer.alloc(48);
  bhs[0] = 0x44;
  bhs[1] = 0x80;
  bhs.writeUInt32BE(client.nextTag(), 16);
  bhs.writeUInt32BE(0xffffffff, 20);
  bhs.writeUInt32BE(client.cmdSn, 24);
  client.send(bhs, Buffer.from(`SendTargets=${value}\0`));
  return (await client.receive()).data.toString();
}
