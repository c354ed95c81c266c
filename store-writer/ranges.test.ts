import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Extent } from '../core/index.ts';
import { ExtentCursor, RangeSet } from './ranges.ts';

const SIZE = 200;
const range: fc.Arbitrary<Extent> = fc
  .tuple(fc.nat(SIZE), fc.nat(SIZE))
  .map(([a, b]) => ({ offset: Math.min(a, b), length: Math.abs(a - b) }));
const question = fc
  .tuple(fc.nat(SIZE - 1), fc.integer({ min: 1, max: SIZE }))
  .map(([start, length]) => ({ start, end: Math.min(SIZE, start + length) }));

/** One flag a byte: the plainest picture of a set of ranges. */
function flags(ranges: readonly Extent[]): boolean[] {
  const bytes = new Array<boolean>(SIZE).fill(false);
  for (const { offset, length } of ranges) bytes.fill(true, offset, offset + length);
  return bytes;
}

describe('RangeSet', () => {
  it('answers as an array of flags does', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), fc.array(question), (ranges, questions) => {
        const set = new RangeSet(ranges, SIZE);
        const model = flags(ranges);
        expect(set.bytes).toBe(model.filter(Boolean).length);
        for (const { start, end } of questions) {
          expect(set.touches(start, end)).toBe(model.slice(start, end).includes(true));
        }
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    { offset: -1, length: 2 },
    { offset: SIZE - 1, length: 2 },
    { offset: 0, length: -1 },
    { offset: Number.NaN, length: 1 },
    { offset: 0, length: Number.POSITIVE_INFINITY },
  ])('refuses %j', (bad) => {
    expect(() => new RangeSet([bad], SIZE)).toThrow(/not inside the disk/);
  });
});

describe('ExtentCursor', () => {
  it('answers ascending questions as an array of flags does', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(range, { maxLength: 8 }),
        fc.array(question),
        async (ranges, questions) => {
          const model = flags(ranges);
          const cursor = new ExtentCursor(runsOf(model));
          for (const { start, end } of questions.toSorted((a, b) => a.start - b.start)) {
            expect(await cursor.touches(start, end)).toBe(model.slice(start, end).includes(true));
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

async function* runsOf(model: readonly boolean[]): AsyncGenerator<Extent> {
  let start: number | undefined;
  for (const [at, is] of [...model, false].entries()) {
    if (is) start ??= at;
    else if (start !== undefined) {
      yield { offset: start, length: at - start };
      start = undefined;
    }
  }
}
