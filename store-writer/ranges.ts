import { type Extent, RestoreError } from '../core/index.ts';

/**
 * Ranges asked in ascending order whether they touch a given one, from a stream of ascending
 * extents: nothing is kept but the one in hand.
 */
export class ExtentCursor {
  readonly #iterator: AsyncIterator<Extent>;
  #current: Extent | undefined;
  #done = false;

  constructor(extents: AsyncIterable<Extent>) {
    this.#iterator = extents[Symbol.asyncIterator]();
  }

  /** Whether any extent reaches into `[start, end)`. Starts must not go down between calls. */
  async touches(start: number, end: number): Promise<boolean> {
    while (!this.#done && (this.#current === undefined || endOf(this.#current) <= start)) {
      const next = await this.#iterator.next();
      if (next.done === true) this.#done = true;
      else this.#current = next.value;
    }
    const { offset } = this.#current ?? { offset: Number.POSITIVE_INFINITY };
    return !this.#done && offset < end;
  }
}

/** Sorted, merged ranges with a fast test. */
export class RangeSet {
  readonly #ranges: readonly Extent[];

  /** @throws RestoreError `INVALID` for a range that is not inside `[0, size)`. */
  constructor(ranges: readonly Extent[], size: number) {
    const merged: { offset: number; length: number }[] = [];
    for (const { offset, length } of ranges.toSorted((a, b) => a.offset - b.offset)) {
      if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
        throw new RestoreError('INVALID', 'a changed range is not inside the disk', {
          where: { offset, expected: `inside 0..${size}`, found: `${length} bytes` },
        });
      }
      const last = merged.at(-1);
      if (last !== undefined && last.offset + last.length >= offset) {
        last.length = Math.max(last.length, offset + length - last.offset);
      } else if (length > 0) {
        merged.push({ offset, length });
      }
    }
    this.#ranges = merged;
  }

  get bytes(): number {
    return this.#ranges.reduce((sum, { length }) => sum + length, 0);
  }

  touches(start: number, end: number): boolean {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (endOf(this.#ranges[middle] as Extent) <= start) low = middle + 1;
      else high = middle;
    }
    return (this.#ranges[low]?.offset ?? Number.POSITIVE_INFINITY) < end;
  }
}

function endOf({ offset, length }: Extent): number {
  return offset + length;
}
