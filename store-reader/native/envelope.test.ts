import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRestoreError } from '../../core/index.ts';
import { unwrapObject, wrapObject } from './envelope.ts';
import { KeyRing } from './keys.ts';

const keyRing = new KeyRing(KeyRing.generateMaster(), '00112233445566778899aabbccddeeff');
const corrupt = expect.toSatisfy((e) => isRestoreError(e, 'CORRUPT'));

for (const [kind, keys] of Object.entries({ plain: undefined, encrypted: keyRing })) {
  describe(`the ${kind} envelope`, () => {
    it('gives back what was put in', () => {
      fc.assert(
        fc.property(fc.string(), fc.uint8Array({ maxLength: 300 }), (name, payload) => {
          const stored = wrapObject(name, payload, keys);
          expect(Buffer.compare(unwrapObject(name, stored, keys), payload)).toBe(0);
        }),
      );
    });

    it('shows every changed bit and every cut', () => {
      const stored = wrapObject('points/ab/abcd', Buffer.from('{"some":"json"}'), keys);
      for (let at = 0; at < stored.length; at += 1) {
        for (let bit = 0; bit < 8; bit += 1) {
          const damaged = Uint8Array.from(stored);
          damaged[at] = (damaged[at] as number) ^ (1 << bit);
          expect(() => unwrapObject('points/ab/abcd', damaged, keys)).toThrow(corrupt);
        }
        expect(() => unwrapObject('points/ab/abcd', stored.subarray(0, at), keys)).toThrow(corrupt);
      }
      const longer = Buffer.concat([stored, Buffer.alloc(1)]);
      expect(() => unwrapObject('points/ab/abcd', longer, keys)).toThrow(corrupt);
    });

    it('does not pass for another object', () => {
      const stored = wrapObject('commits/000000000001', Buffer.from('{}'), keys);
      expect(() => unwrapObject('commits/000000000002', stored, keys)).toThrow(corrupt);
    });

    it('does not open in a repository of the other kind', () => {
      const stored = wrapObject('a', Buffer.from('{}'), keys);
      const others = keys === undefined ? keyRing : undefined;
      expect(() => unwrapObject('a', stored, others)).toThrow(corrupt);
    });
  });
}

describe('the encrypted envelope', () => {
  it('does not show its content, and is never the same twice', () => {
    const payload = Buffer.from('{"machine":"secret-name"}');
    const [first, second] = [wrapObject('a', payload, keyRing), wrapObject('a', payload, keyRing)];
    expect(Buffer.from(first).includes('secret')).toBe(false);
    expect(Buffer.compare(first, second)).not.toBe(0);
  });
});
