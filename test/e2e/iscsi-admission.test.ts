/** Allow-lists: who may log in to an export at all. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SECRET, startTarget, randomDisk, type TargetFixture, USER } from './iscsi/fixture.ts';
import { LoginRefused, RawClient } from './iscsi/raw-client.ts';

const FRIEND = 'iqn.2026-01.test:friend';
const STRANGER = 'iqn.2026-01.test:stranger';
const { source } = randomDisk(1, 65_536);

let fixture: TargetFixture;

beforeAll(async () => {
  fixture = await startTarget();
  const add = (name: string, allow?: Parameters<TargetFixture['add']>[2]): void =>
    fixture.add(`iqn.2026-01.test:${name}`, source, allow);
  add('open');
  add('names', { allow: { initiators: [FRIEND.toUpperCase()] } });
  add('here', { allow: { addresses: ['192.0.2.0/24', '127.0.0.0/8'] } });
  add('elsewhere', { allow: { addresses: ['192.0.2.0/24', '2001:db8::/32'] } });
  add('both', { allow: { initiators: [FRIEND], addresses: ['192.0.2.1'] } });
  add('nobody', { allow: { initiators: [] } });
});

afterAll(() => fixture.target.close());

async function login(name: string, initiator: string, secret = SECRET): Promise<number> {
  try {
    const chap = { user: USER, secret };
    const client = await fixture.session(`iqn.2026-01.test:${name}`, { initiator, chap });
    client.close();
    return 0;
  } catch (error) {
    if (error instanceof LoginRefused) return error.status;
    throw error;
  }
}

describe('an allow-list', () => {
  it.each([
    ['open', 0, 0],
    ['names', 0, 0x0202],
    ['here', 0, 0],
    ['elsewhere', 0x0202, 0x0202],
    ['both', 0x0202, 0x0202],
    ['nobody', 0x0202, 0x0202],
  ])('%s: answers a friend with %i and a stranger with %i', async (name, friend, stranger) => {
    expect(await login(name, FRIEND)).toBe(friend);
    expect(await login(name, STRANGER)).toBe(stranger);
  });

  it('does not stand in for credentials', async () => {
    expect(await login('names', FRIEND, 'wrong-secret-0')).toBe(0x0201);
  });

  it('is logged when it keeps someone out', async () => {
    await login('names', STRANGER);
    const last = fixture.events.at(-1);
    expect(last).toMatchObject({
      kind: 'refused',
      status: 0x0202,
      reason: 'the initiator name is not on the allow-list',
      iqn: 'iqn.2026-01.test:names',
    });
    expect(fixture.warnings.at(-1)).toContain('allow-list');
  });

  it('hides the export from discovery', async () => {
    const listed = async (initiator: string): Promise<readonly string[]> => {
      const client = await RawClient.connect(fixture.port);
      await client.login({ initiator, chap: { user: USER, secret: SECRET } });
      const bhs = Buffer.alloc(48);
      bhs[0] = 0x44;
      bhs[1] = 0x80;
      bhs.writeUInt32BE(client.nextTag(), 16);
      bhs.writeUInt32BE(0xffffffff, 20);
      bhs.writeUInt32BE(client.cmdSn, 24);
      client.send(bhs, Buffer.from('SendTargets=All\0'));
      const text = (await client.receive()).data.toString();
      client.close();
      return [...text.matchAll(/TargetName=\S*?:(\w+)\0/g)].map((match) => match[1] ?? '');
    };
    expect(await listed(FRIEND)).toEqual(['open', 'names', 'here']);
    expect(await listed(STRANGER)).toEqual(['open', 'here']);
  });

  it.each(['', '10.0.0.0/33', '10.0.0/8', '::/129', '1.2.3.4/8/8', 'fd00::/x'])(
    'is refused with the address %j',
    (address) => {
      const add = (): void =>
        fixture.add('iqn.2026-01.test:bad', source, { allow: { addresses: [address] } });
      expect(add).toThrow(expect.objectContaining({ code: 'INVALID' }));
    },
  );
});
