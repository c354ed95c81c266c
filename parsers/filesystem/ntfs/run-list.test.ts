import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRestoreError } from '../../../core/index.ts';
import { decodeRuns, HOLE, type Run } from './run-list.ts';

const CLUSTERS = 2 ** 40;

/** The fewest bytes that hold a number in two's complement, little-endian. */
function signedBytes(value: bigint): number[] {
  const bytes: number[] = [];
  for (let left = value; ; left >>= 8n) {
    bytes.push(Number(left & 0xffn));
    const isEnd = left >= -128n && left <= 127n;
    if (isEnd) return bytes;
  }
}

function encode(runs: readonly Run[]): DataView {
  const bytes: number[] = [];
  let place = 0;
  for (const { count, at } of runs) {
    const length = signedBytes(BigInt(count));
    const distance = at === HOLE ? [] : signedBytes(BigInt(at) - BigInt(place));
    if (at !== HOLE) place = at;
    bytes.push((distance.length << 4) | length.length, ...length, ...distance);
  }
  return new DataView(Uint8Array.from([...bytes, 0]).buffer);
}

const view = (...bytes: number[]): DataView => new DataView(Uint8Array.from(bytes).buffer);

describe('mapping pairs', () => {
  it('come back as they were written', () => {
    const run = fc.record({
      count: fc.integer({ min: 1, max: 2 ** 31 }),
      at: fc.oneof(
        fc.constant(HOLE),
        fc.maxSafeNat().map((place) => place % (CLUSTERS - 2 ** 31)),
      ),
    });
    fc.assert(
      fc.property(fc.array(run, { maxLength: 40 }), fc.nat(), (parts, first) => {
        let next = first;
        const runs = parts.map(({ count, at }): Run => {
          next += count;
          return { first: next - count, count, at };
        });
        expect(decodeRuns(encode(runs), first, CLUSTERS)).toEqual(runs);
      }),
    );
  });

  it.each([
    ['no end', view(0x11, 5, 5)],
    ['no length', view(0x10, 5, 0)],
    ['a length below zero', view(0x11, 0xff, 5, 0)],
    ['a place before the volume', view(0x11, 5, 0xff, 0)],
    ['a place behind the volume', view(0x41, 5, 0, 0, 0, 0x7f, 0)],
    ['sizes of nine bytes', view(0x99, ...Array.from({ length: 20 }, () => 1))],
    ['more than it has bytes', view(0x44, 1, 0)],
    ['a length of 64 bits', view(0x18, 1, 1, 1, 1, 1, 1, 1, 1, 5, 0)],
  ])('are damaged with %s', (_, pairs) => {
    expect(() => decodeRuns(pairs, 0, 1_000_000)).toThrow(
      expect.toSatisfy((error) => isRestoreError(error, 'CORRUPT')),
    );
  });
});
