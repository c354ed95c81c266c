/** Who may log in: CHAP, as a hand-made initiator sees it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomDisk, SECRET, startTarget, type TargetFixture, USER } from './iscsi/fixture.ts';
import { CHAP_HASHES, chapAnswer, keysOf, LoginRefused } from './iscsi/raw-client.ts';
import { refusal, withClient } from './iscsi/refusal.ts';

const DISK = 'iqn.2026-01.test:disk';
const SHA_ONLY = 'iqn.2026-01.test:sha-only';
const MUTUAL = 'iqn.2026-01.test:mutual';
const NAMES = ['InitiatorName=iqn.2026-01.test:raw', 'SessionType=Normal', `TargetName=${DISK}`];
const AUTHENTICATION_FAILURE = 0x0201;

let fixture: TargetFixture;
const disk = randomDisk(3);

beforeAll(async () => {
  fixture = await startTarget();
  fixture.add(DISK, disk.source);
  fixture.add(SHA_ONLY, disk.source, {
    chap: { user: 'auditor', secret: 'another-secret', algorithms: ['sha256'] },
  });
  fixture.add(MUTUAL, disk.source, {
    chap: {
      user: 'dba',
      secret: 'initiator-secret',
      mutual: { user: 'gateway', secret: 'target-secret-1' },
    },
  });
});

afterAll(() => fixture.target.close());

describe('CHAP', () => {
  it.each(Object.keys(CHAP_HASHES).map(Number))('accepts algorithm %i', async (algorithm) => {
    await withClient(fixture.port, async (client) => {
      await client.login({ target: DISK, chap: { user: USER, secret: SECRET, algorithm } });
      expect((await client.ping('hello')).data.toString()).toBe('hello');
    });
  });

  it('chooses the strongest of what both know', async () => {
    await withClient(fixture.port, async (client) => {
      await client.loginStep(0, [...NAMES, 'AuthMethod=None,CHAP']);
      const answer = keysOf((await client.loginStep(0, ['CHAP_A=5,99,7'])).data);
      expect(answer.get('CHAP_A')).toBe('7');
    });
  });

  it('never gives the same challenge twice, and one of 16 bytes or more', async () => {
    const seen = new Set<string>();
    for (let round = 0; round < 20; round += 1) {
      await withClient(fixture.port, async (client) => {
        await client.loginStep(0, [...NAMES, 'AuthMethod=CHAP']);
        const answer = keysOf((await client.loginStep(0, ['CHAP_A=5'])).data);
        expect(answer.get('CHAP_C')).toMatch(/^0x([0-9a-f]{2}){16,}$/);
        seen.add(answer.get('CHAP_C') ?? '');
      });
    }
    expect(seen.size).toBe(20);
  });

  it.each([
    ['a wrong secret', USER, 'wrong-secret-1'],
    ['a wrong user', 'nobody', SECRET],
    ['both wrong', 'nobody', 'wrong-secret-1'],
    ['credentials of another target', 'auditor', 'another-secret'],
  ])('refuses %s with the same status, and logs it', async (_, user, secret) => {
    const status = await refusal(fixture.port, (client) =>
      client.login({ target: DISK, chap: { user, secret } }),
    );
    expect(status).toBe(AUTHENTICATION_FAILURE);
    expect(fixture.warnings.at(-1)).toContain('login refused');
    expect(fixture.warnings.at(-1)).toContain(`"user":"${user}"`);
    expect(fixture.warnings.at(-1)).not.toContain(secret);
    expect(fixture.events.at(-1)).toMatchObject({ kind: 'refused', user, iqn: DISK });
  });

  it.each([
    ['offers None only', 0x00, [...NAMES, 'AuthMethod=None']],
    ['offers what we do not know', 0x00, [...NAMES, 'AuthMethod=KRB5,SRP']],
    ['wants to go on without', 0x81, NAMES],
    ['starts in the operational stage', 0x87, NAMES],
    ['jumps to full feature', 0x83, NAMES],
  ])('refuses an initiator that %s', async (_, flags, keys) => {
    expect(await refusal(fixture.port, (client) => client.loginStep(flags, keys))).toBe(
      AUTHENTICATION_FAILURE,
    );
  });

  it('does not let an unfinished exchange pass', async () => {
    await withClient(fixture.port, async (client) => {
      await client.loginStep(0, [...NAMES, 'AuthMethod=CHAP']);
      // The transit bit is set, the response is missing: the stage must not change.
      const answer = await client.loginStep(0x81, ['CHAP_A=5']);
      expect(answer.bhs.readUInt8(1) & 0x83).toBe(0);
      await expect(client.loginStep(0x87, [])).rejects.toThrow(LoginRefused);
    });
  });

  it('refuses an algorithm that the export does not allow', async () => {
    const chap = { user: 'auditor', secret: 'another-secret', algorithm: 5 };
    expect(await refusal(fixture.port, (client) => client.login({ target: SHA_ONLY, chap }))).toBe(
      AUTHENTICATION_FAILURE,
    );
    await withClient(fixture.port, (client) =>
      client.login({ target: SHA_ONLY, chap: { ...chap, algorithm: 7 } }),
    );
  });

  it('refuses its own challenge, played back on the same connection or on another', async () => {
    await withClient(fixture.port, async (oracle) => {
      const names = [...NAMES.slice(0, 2), `TargetName=${MUTUAL}`];
      await oracle.loginStep(0, [...names, 'AuthMethod=CHAP']);
      const elsewhere = keysOf((await oracle.loginStep(0, ['CHAP_A=5'])).data);
      for (const reflect of ['own', 'other'] as const) {
        const status = await refusal(fixture.port, async (client) => {
          await client.loginStep(0, [...names, 'AuthMethod=CHAP']);
          const own = keysOf((await client.loginStep(0, ['CHAP_A=5'])).data);
          const reflected = reflect === 'own' ? own : elsewhere;
          await client.loginStep(0x81, [
            'CHAP_N=dba',
            `CHAP_R=${chapAnswer(own, 'initiator-secret')}`,
            `CHAP_I=${reflected.get('CHAP_I')}`,
            `CHAP_C=${reflected.get('CHAP_C')}`,
          ]);
        });
        expect(status).toBe(AUTHENTICATION_FAILURE);
        expect(fixture.warnings.at(-1)).toContain('reflected challenge');
      }
    });
  });

  it('proves itself to an initiator that asks for it', async () => {
    await withClient(fixture.port, async (client) => {
      const names = [...NAMES.slice(0, 2), `TargetName=${MUTUAL}`];
      await client.loginStep(0, [...names, 'AuthMethod=CHAP']);
      const challenge = keysOf((await client.loginStep(0, ['CHAP_A=7'])).data);
      const ours = new Map([
        ['CHAP_A', '7'],
        ['CHAP_I', '77'],
        ['CHAP_C', '0x000102030405060708090a0b0c0d0e0f'],
      ]);
      const answer = await client.loginStep(0x81, [
        'CHAP_N=dba',
        `CHAP_R=${chapAnswer(challenge, 'initiator-secret')}`,
        `CHAP_I=${ours.get('CHAP_I')}`,
        `CHAP_C=${ours.get('CHAP_C')}`,
      ]);
      const proof = keysOf(answer.data);
      expect(proof.get('CHAP_N')).toBe('gateway');
      expect(proof.get('CHAP_R')).toBe(chapAnswer(ours, 'target-secret-1'));
    });
  });

  it('slows down guessing from one place, and lets others log in at once', async () => {
    const guess = async (): Promise<number> => {
      const start = Date.now();
      const chap = { user: USER, secret: 'wrong-secret-1' };
      await refusal(fixture.port, (client) => client.login({ target: MUTUAL, chap }));
      return Date.now() - start;
    };
    const timesMs = [];
    for (let round = 0; round < 6; round += 1) timesMs.push(await guess());
    expect(timesMs[0]).toBeLessThan(200);
    expect(timesMs[4]).toBeGreaterThan(450);
    expect(timesMs[5]).toBeGreaterThan(900);
    const start = Date.now();
    await withClient(fixture.port, (client) =>
      client.login({
        target: SHA_ONLY,
        chap: { user: 'auditor', secret: 'another-secret', algorithm: 7 },
      }),
    );
    expect(Date.now() - start).toBeLessThan(200);
  });
});
