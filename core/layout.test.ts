import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isAllZero, isRestoreError, layout, zeroView } from './index.ts';

const { u8, u16le, u16be, u32le, u32be, u64le, u64be, viewOf } = layout;
const FIELDS = [
  { field: u8, bytes: 1, little: false },
  { field: u16le, bytes: 2, little: true },
  { field: u16be, bytes: 2, little: false },
  { field: u32le, bytes: 4, little: true },
  { field: u32be, bytes: 4, little: false },
  { field: u64le, bytes: 8, little: true },
  { field: u64be, bytes: 8, little: false },
] as const;

describe('readers of byte layouts', () => {
  it('give the number that stands there, or throw; never a zero from beyond the end', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...FIELDS),
        fc.uint8Array({ maxLength: 24 }),
        fc.nat(30),
        fc.nat(30),
        ({ field, bytes: width, little }, bytes, offset, at) => {
          const stored = bytes.slice(offset + at, offset + at + width);
          const ordered = little ? stored.toReversed() : stored;
          const expected = BigInt(`0x0${Buffer.from(ordered).toString('hex')}`);
          const read = (): number => field(offset)(viewOf(bytes), at);
          if (stored.length === width && expected <= BigInt(Number.MAX_SAFE_INTEGER)) {
            expect(BigInt(read())).toBe(expected);
          } else {
            expect(read).toThrow(expect.toSatisfy((e) => isRestoreError(e, 'CORRUPT')));
          }
        },
      ),
    );
  });
});

describe('zeros', () => {
  it('are told from everything else, wherever the other byte is', () => {
    for (const length of [1, 4096, 1024 * 1024, 1024 * 1024 + 1, 3_000_001]) {
      const data = new Uint8Array(length);
      expect(isAllZero(data)).toBe(true);
      for (const at of [0, length >> 1, length - 1]) {
        data[at] = 1;
        expect(isAllZero(data)).toBe(false);
        expect(isAllZero(data.subarray(0, at))).toBe(true);
        data[at] = 0;
      }
    }
  });

  it('come as a view up to 1 MiB', () => {
    expect(zeroView(1024 * 1024)?.length).toBe(1024 * 1024);
    expect(zeroView(1024 * 1024 + 1)).toBeUndefined();
  });
});
