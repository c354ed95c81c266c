import type { Extent } from './block-source.ts';

/** A set of bytes as ranges that ascend and do not touch. Immutable. */
export class Ranges {
  static readonly none = new Ranges([], []);
  readonly #starts: readonly number[];
  readonly #ends: readonly number[];

  private constructor(starts: readonly number[], ends: readonly number[]) {
    this.#starts = starts;
    this.#ends = ends;
  }

  /** @param extents in any order, overlapping or not. */
  static of(extents: Iterable<Extent>): Ranges {
    const sorted = [...extents]
      .filter(({ length }) => length > 0)
      .sort((a, b) => a.offset - b.offset);
    const starts: number[] = [];
    const ends: number[] = [];
    for (const { offset, length } of sorted) {
      const last = ends.length - 1;
      if (last >= 0 && offset <= (ends[last] as number)) {
        ends[last] = Math.max(ends[last] as number, offset + length);
      } else {
        starts.push(offset);
        ends.push(offset + length);
      }
    }
    return new Ranges(starts, ends);
  }

  get isEmpty(): boolean {
    return this.#starts.length === 0;
  }

  get byteCount(): number {
    return this.#starts.reduce(
      (sum, start, index) => sum + (this.#ends[index] as number) - start,
      0,
    );
  }

  /** True when a byte of `[offset, offset + length)` is in the set. */
  touches(offset: number, length: number): boolean {
    const index = this.#firstEndingAfter(offset);
    return (
      length > 0 && index < this.#starts.length && (this.#starts[index] as number) < offset + length
    );
  }

  /** What of `[offset, offset + length)` is in the set. */
  *within(offset: number, length: number): Generator<Extent> {
    const end = offset + length;
    for (let index = this.#firstEndingAfter(offset); index < this.#starts.length; index += 1) {
      const start = Math.max(offset, this.#starts[index] as number);
      const stop = Math.min(end, this.#ends[index] as number);
      if (start >= stop) return;
      yield { offset: start, length: stop - start };
    }
  }

  and(others: Iterable<Extent>): Ranges {
    return Ranges.of([...this, ...others]);
  }

  without(others: Ranges): Ranges {
    const left: Extent[] = [];
    for (const { offset, length } of this) {
      const end = offset + length;
      let at = offset;
      for (const hole of others.within(offset, length)) {
        if (hole.offset > at) left.push({ offset: at, length: hole.offset - at });
        at = hole.offset + hole.length;
      }
      if (at < end) left.push({ offset: at, length: end - at });
    }
    return Ranges.of(left);
  }

  *[Symbol.iterator](): Generator<Extent> {
    for (const [index, offset] of this.#starts.entries()) {
      yield { offset, length: (this.#ends[index] as number) - offset };
    }
  }

  #firstEndingAfter(offset: number): number {
    let low = 0;
    let high = this.#ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] as number) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
