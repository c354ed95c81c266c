/** Filters put on filters in any order, against the plain bytes. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { randomBytes } from '../test/fixtures/random.ts';
import {
  type BlockSource,
  BytesSource,
  cache,
  concat,
  type Extent,
  extentsOf,
  readahead,
  type SparseSource,
  slice,
} from './index.ts';

/** A source and the bytes it must show. */
interface Modelled {
  readonly source: BlockSource;
  readonly model: Uint8Array;
}
type Layer = (below: Modelled, other: Modelled) => Modelled;

/** Data in some 100-byte cells only, told by extents, and no shortcut by `peek`. */
function sparseSource(cells: readonly boolean[], seed: number): Modelled {
  const model = new Uint8Array(cells.length * 100);
  const extents: Extent[] = [];
  cells.forEach((hasData, cell) => {
    if (!hasData) return;
    model.set(randomBytes(100, seed + cell), cell * 100);
    extents.push({ offset: cell * 100, length: 100 });
  });
  const bytes = new BytesSource(model);
  const source: SparseSource = {
    size: model.length,
    sectorSize: 512,
    // Later than at once, so that reads overlap.
    readInto: async (target, offset, signal) => {
      await Promise.resolve();
      await bytes.readInto(target, offset, signal);
    },
    peek: (offset, length) => {
      bytes.peek(offset, length);
      return undefined;
    },
    async *extents(offset, length) {
      for (const extent of extents) {
        const start = Math.max(offset, extent.offset);
        const end = Math.min(offset + length, extent.offset + extent.length);
        if (start < end) yield { offset: start, length: end - start };
      }
    },
    close: () => bytes.close(),
  };
  return { source, model };
}

const fraction = fc.double({ min: 0, max: 1, noNaN: true });
const cells = fc.array(fc.boolean(), { minLength: 1, maxLength: 60 });
const layer: fc.Arbitrary<Layer> = fc.oneof(
  fc.tuple(fraction, fraction).map(
    ([from, share]): Layer =>
      ({ source, model }) => {
        const start = Math.floor(from * model.length);
        const size = Math.floor(share * (model.length - start));
        return { source: slice(source, start, size), model: model.subarray(start, start + size) };
      },
  ),
  fc.constant<Layer>((below, other) => ({
    source: concat([below.source, other.source]),
    model: Buffer.concat([below.model, other.model]),
  })),
  fc.constant<Layer>((below, other) => ({
    source: concat([other.source, new BytesSource(new Uint8Array(0)), below.source]),
    model: Buffer.concat([other.model, below.model]),
  })),
  fc.constantFrom(64, 128, 4096).map(
    (lineBytes): Layer =>
      ({ source, model }) => ({
        source: cache(source, { budgetBytes: lineBytes * 3, lineBytes }),
        model,
      }),
  ),
  fc.constantFrom(100, 1000).map(
    (windowBytes): Layer =>
      ({ source, model }) => ({
        source: readahead(source, { windowBytes }),
        model,
      }),
  ),
);
/** Single reads, runs of reads in sequence (what read-ahead waits for), and many at once. */
const access = fc.record({
  at: fraction,
  length: fc.integer({ min: 0, max: 700 }),
  repeats: fc.integer({ min: 1, max: 8 }),
  atOnce: fc.boolean(),
});

describe('filters on filters', () => {
  it('show the bytes below them, read in any way', async () => {
    await fc.assert(
      fc.asyncProperty(
        cells,
        cells,
        fc.array(layer, { maxLength: 5 }),
        fc.array(access, { minLength: 1, maxLength: 10 }),
        async (first, second, layers, accesses) => {
          const { source, model } = layers.reduce(
            (below, add, index) => add(below, sparseSource(second, 1000 * (index + 1))),
            sparseSource(first, 0),
          );
          expect(source.size).toBe(model.length);
          for (const { at, length, repeats, atOnce } of accesses) {
            const reads: (() => Promise<void>)[] = [];
            for (let turn = 0; turn < repeats; turn += 1) {
              const offset = Math.floor(at * model.length) + turn * length;
              if (offset > model.length) break;
              const size = Math.min(length, model.length - offset);
              reads.push(() => readAndCompare(source, model, offset, size));
            }
            if (atOnce) await Promise.all(reads.map((read) => read()));
            else for (const read of reads) await read();
          }
          await compareExtents(source, model);
          await source.close();
        },
      ),
      { numRuns: 150 },
    );
  });
});

async function readAndCompare(
  source: BlockSource,
  model: Uint8Array,
  offset: number,
  length: number,
): Promise<void> {
  const expected = Buffer.from(model.subarray(offset, offset + length));
  const before = source.peek(offset, length);
  if (before !== undefined) expect(expected.equals(before)).toBe(true);
  const guarded = new Uint8Array(length + 8).fill(0xa5);
  await source.readInto(guarded.subarray(4, 4 + length), offset);
  expect(expected.equals(guarded.subarray(4, 4 + length))).toBe(true);
  expect(guarded.subarray(0, 4)).toEqual(new Uint8Array(4).fill(0xa5));
  expect(guarded.subarray(4 + length)).toEqual(new Uint8Array(4).fill(0xa5));
}

/** Ascending, not overlapping, and nothing but zeros outside them. */
async function compareExtents(source: BlockSource, model: Uint8Array): Promise<void> {
  let reached = 0;
  for await (const { offset, length } of extentsOf(source)) {
    expect(offset).toBeGreaterThanOrEqual(reached);
    expect(length).toBeGreaterThan(0);
    expect(model.subarray(reached, offset).every((byte) => byte === 0)).toBe(true);
    reached = offset + length;
  }
  expect(reached).toBeLessThanOrEqual(model.length);
  expect(model.subarray(reached).every((byte) => byte === 0)).toBe(true);
}
