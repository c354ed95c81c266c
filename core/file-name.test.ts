import { assert, property, string, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nameFromBytes, nameToBytes } from './index.ts';

describe('file names', () => {
  it('come back as the bytes they were, whatever those are', () => {
    assert(
      property(uint8Array({ maxLength: 255 }), (bytes) => {
        expect(Buffer.compare(nameToBytes(nameFromBytes(bytes)), bytes)).toBe(0);
      }),
    );
  });

  it('are what UTF-8 says where they are UTF-8', () => {
    assert(
      property(string({ unit: 'binary' }), (text) => {
        expect(nameFromBytes(Buffer.from(text, 'utf8'))).toBe(text);
      }),
    );
  });

  it.each([
    ['a stray byte', [0x61, 0xff, 0x62], 'a\udcffb'],
    ['an overlong slash', [0xc0, 0xaf], '\udcc0\udcaf'],
    ['a surrogate in UTF-8', [0xed, 0xb2, 0x80], '\udced\udcb2\udc80'],
    ['a sequence cut short', [0xe2, 0x82], '\udce2\udc82'],
    ['a byte order mark', [0xef, 0xbb, 0xbf], '\ufeff'],
  ])('keep %s', (_, bytes, text) => {
    expect(nameFromBytes(Uint8Array.from(bytes))).toBe(text);
  });

  it('tell every two names apart', () => {
    const names = [[0xff], [0xc3, 0xbf], [0xed, 0xb3, 0xbf]].map((b) => Uint8Array.from(b));
    expect(new Set(names.map(nameFromBytes)).size).toBe(names.length);
  });
});
