import type { Extent } from '../../core/index.ts';
import { PAGE_BYTES, PAGE_STATES, type PageMap, type PageRun } from './page-map.ts';

/**
 * Where a disk holds data: the base's extents without the pages that are the overlay's own, and of
 * those the ones with data. One walk over both, side by side.
 */
export async function* mergedExtents(
  base: AsyncIterable<Extent>,
  map: PageMap,
  offset: number,
  length: number,
): AsyncGenerator<Extent> {
  const end = offset + length;
  const runs = map.runs(Math.floor(offset / PAGE_BYTES), Math.ceil(end / PAGE_BYTES));
  let run = next(runs);
  let held: { offset: number; length: number } | undefined;
  /** Joins what touches; yields what is complete. */
  const add = (from: number, to: number): Extent | undefined => {
    const start = Math.max(from, offset);
    const stop = Math.min(to, end);
    if (start >= stop) return undefined;
    if (held !== undefined && held.offset + held.length === start) {
      held.length += stop - start;
      return undefined;
    }
    const complete = held;
    held = { offset: start, length: stop - start };
    return complete;
  };
  /** Up to where the overlay's own pages have been dealt with. */
  let reached = 0;
  for await (const extent of base) {
    const stop = extent.offset + extent.length;
    let at = Math.max(extent.offset, reached);
    while (run !== undefined && run.start < stop) {
      const before = run.start > at ? add(at, run.start) : undefined;
      if (before !== undefined) yield before;
      const own = run.isData ? add(run.start, run.end) : undefined;
      if (own !== undefined) yield own;
      reached = run.end;
      at = Math.max(at, reached);
      run = next(runs);
    }
    const rest = at < stop ? add(at, stop) : undefined;
    if (rest !== undefined) yield rest;
  }
  for (; run !== undefined; run = next(runs)) {
    const own = run.isData ? add(run.start, run.end) : undefined;
    if (own !== undefined) yield own;
  }
  if (held !== undefined) yield held;
}

function next(
  runs: Iterator<PageRun>,
): { start: number; end: number; isData: boolean } | undefined {
  const { value, done } = runs.next();
  if (done === true) return undefined;
  const { first, count, state } = value;
  return {
    start: first * PAGE_BYTES,
    end: (first + count) * PAGE_BYTES,
    isData: state === PAGE_STATES.data,
  };
}
