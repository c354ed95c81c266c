import { describe, expect, it } from 'vitest';
import { isRestoreError } from '../core/index.ts';
import { checkChap, generateSecret, WINDOWS_SECRET_LENGTH_MAX } from './chap.ts';

const invalid = expect.toSatisfy((e) => isRestoreError(e, 'INVALID'));

describe('generated CHAP secrets', () => {
  it('suit every initiator, need no quoting, and do not repeat', () => {
    const secrets = Array.from({ length: 2000 }, generateSecret);
    for (const secret of secrets) {
      expect(secret).toMatch(/^[A-Za-z0-9]{12,16}$/);
      expect(secret).not.toMatch(/[Il1O0]/);
      expect(secret.length).toBeLessThanOrEqual(WINDOWS_SECRET_LENGTH_MAX);
      checkChap('rehydrate', secret);
    }
    expect(new Set(secrets).size).toBe(secrets.length);
  });

  it('use all of their alphabet about equally, at every place', () => {
    const rounds = 5000;
    const secrets = Array.from({ length: rounds }, generateSecret);
    for (const place of [0, 7, 15]) {
      const counts = new Map<string, number>();
      for (const secret of secrets) {
        const letter = secret[place] as string;
        counts.set(letter, (counts.get(letter) ?? 0) + 1);
      }
      expect(counts.size).toBeGreaterThan(50);
      // Six standard deviations of a fair draw.
      const expected = rounds / counts.size;
      const allowed = 6 * Math.sqrt(expected);
      for (const count of counts.values()) {
        expect(Math.abs(count - expected)).toBeLessThan(allowed);
      }
    }
  });
});

describe('given CHAP names and secrets', () => {
  it.each(['x'.repeat(12), 'x'.repeat(16), 'x'.repeat(255), '!"#$%&\'()*+,-./:;<=>?@[]^_`{|}~'])(
    'take %j for a secret',
    (secret) => {
      expect(() => checkChap('dba@host.example:1', secret)).not.toThrow();
    },
  );

  it.each([
    '',
    'short123456',
    'x'.repeat(256),
    'with a blank here',
    'pässword-of-16-x',
    'tab\tin the secret',
    'nul\0in-the-secret',
  ])('refuse %j for a secret, and do not repeat it', (secret) => {
    expect(() => checkChap('u', secret)).toThrow(invalid);
    try {
      checkChap('u', secret);
    } catch (error) {
      if (secret !== '') expect(JSON.stringify(error) + String(error)).not.toContain(secret);
    }
  });

  it.each(['', 'a b', 'x'.repeat(256), 'ü', 'a%b', 'a/b', 'a\nb', 'a=b', 'a,b'])(
    'refuse %j for a user',
    (user) => {
      expect(() => checkChap(user, 'x'.repeat(16))).toThrow(invalid);
    },
  );
});
