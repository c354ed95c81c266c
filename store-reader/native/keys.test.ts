import { describe, expect, it } from 'vitest';
import { isRestoreError } from '../../core/index.ts';
import { randomBytes } from '../../test/fixtures/random.ts';
import {
  type Credential,
  KeyRing,
  KeySlot,
  type KeySlotRecord,
  unwrapMasterKey,
  wrapMasterKey,
} from './keys.ts';

const ID = '00112233445566778899aabbccddeeff';
const PASSPHRASE: Credential = { kind: 'passphrase', passphrase: 'correct horse' };
const KEY_FILE: Credential = { kind: 'key-file', content: randomBytes(32, 1) };
const master = KeyRing.generateMaster();
const phraseSlot = wrapMasterKey(master, PASSPHRASE, ID);
const fileSlot = wrapMasterKey(master, KEY_FILE, ID);

const withCode = (code: 'WRONG_KEY' | 'INVALID') =>
  expect.toSatisfy((e) => isRestoreError(e, code));
const phrase = (passphrase: string): Credential => ({ kind: 'passphrase', passphrase });

describe('the master key', () => {
  it('comes out of the slot that the credential opens, wherever it stands', () => {
    const strangers = [
      wrapMasterKey(KeyRing.generateMaster(), { ...KEY_FILE, content: randomBytes(32, 2) }, ID),
      wrapMasterKey(KeyRing.generateMaster(), phrase('other'), ID),
    ];
    const slots = [...strangers, fileSlot, phraseSlot];
    expect(Buffer.compare(unwrapMasterKey(slots, PASSPHRASE, ID), master)).toBe(0);
    expect(Buffer.compare(unwrapMasterKey(slots, KEY_FILE, ID), master)).toBe(0);
  });

  it('takes one passphrase for the same however its letters are composed', () => {
    const slot = wrapMasterKey(master, phrase('Schl\u00fcssel'), ID);
    expect(Buffer.compare(unwrapMasterKey([slot], phrase('Schlu\u0308ssel'), ID), master)).toBe(0);
  });

  it('stays closed to another credential, and in another repository', () => {
    const attempts: [KeySlotRecord[], Credential, string][] = [
      [[phraseSlot, fileSlot], phrase('correct horse '), ID],
      [[phraseSlot, fileSlot], { kind: 'key-file', content: randomBytes(32, 3) }, ID],
      [[phraseSlot], KEY_FILE, ID],
      [[fileSlot], PASSPHRASE, ID],
      [[], PASSPHRASE, ID],
      [[fileSlot], KEY_FILE, ID.replace('0', '1')],
    ];
    for (const [slots, credential, id] of attempts) {
      expect(() => unwrapMasterKey(slots, credential, id)).toThrow(withCode('WRONG_KEY'));
    }
  });

  it('stays closed when a slot has been changed', () => {
    const flip = (hex: string, at: number): string =>
      hex.slice(0, at) + (hex[at] === '0' ? '1' : '0') + hex.slice(at + 1);
    const changed = [
      { ...fileSlot, wrapped: flip(fileSlot.wrapped, 0) },
      { ...fileSlot, wrapped: flip(fileSlot.wrapped, fileSlot.wrapped.length - 1) },
      { ...fileSlot, wrapped: fileSlot.wrapped.slice(2) },
      { ...fileSlot, wrapped: '' },
      { ...fileSlot, nonce: flip(fileSlot.nonce, 3) },
      { ...fileSlot, nonce: '' },
      { ...fileSlot, salt: flip(fileSlot.salt, 0) },
    ];
    for (const slot of changed) {
      expect(() => unwrapMasterKey([slot], KEY_FILE, ID)).toThrow(withCode('WRONG_KEY'));
      // One bad slot does not close the next.
      expect(Buffer.compare(unwrapMasterKey([slot, fileSlot], KEY_FILE, ID), master)).toBe(0);
    }
  });

  it('is not wrapped with a key file too short to be one', () => {
    for (const content of [new Uint8Array(0), randomBytes(31, 1)]) {
      const short: Credential = { kind: 'key-file', content };
      expect(() => wrapMasterKey(master, short, ID)).toThrow(withCode('INVALID'));
      expect(() => unwrapMasterKey([fileSlot], short, ID)).toThrow(withCode('INVALID'));
    }
  });
});

describe('a key slot of a repository from elsewhere', () => {
  const scrypt = (cost: object): boolean => KeySlot.safeParse({ ...phraseSlot, ...cost }).success;

  it('may not ask for more than 1 GiB and a few seconds', () => {
    expect(scrypt({})).toBe(true);
    expect(scrypt({ logN: 20, r: 8, p: 1 })).toBe(true);
    for (const cost of [
      { logN: 22, r: 32, p: 1 },
      { logN: 22, r: 8, p: 1 },
      { logN: 20, r: 8, p: 2 },
      { logN: 17, r: 32, p: 16 },
      { logN: 31 },
      { logN: 64 },
      { logN: 9 },
      { logN: 17.5 },
      { r: 0 },
      { p: 0 },
      { r: 2 ** 31 },
      { p: -1 },
    ]) {
      expect({ cost, taken: scrypt(cost) }).toEqual({ cost, taken: false });
    }
  });
});

describe('derived keys', () => {
  it('differ by purpose and by repository', () => {
    const ring = new KeyRing(master, ID);
    const other = new KeyRing(master, ID.replace('0', '1'));
    const keys = [
      ring.idKey,
      ring.packKey('a'),
      ring.packKey('b'),
      ring.objectKey('a'),
      other.idKey,
      other.packKey('a'),
    ];
    expect(new Set(keys.map((key) => key.export().toString('hex'))).size).toBe(keys.length);
    expect(new KeyRing(master, ID).packKey('a').equals(ring.packKey('a'))).toBe(true);
  });
});
