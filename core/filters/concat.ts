import {
  type BlockSource,
  checkRange,
  type Extent,
  extentsOf,
  type SectorSize,
  type SparseSource,
} from '../block-source.ts';
import { RestoreError } from '../errors.ts';

/**
 * Sources end to end as one: the extents of a split image, the segments of a logical volume.
 * Closing it closes them all.
 *
 * @throws RestoreError `INVALID` without sources, or when their sector sizes differ.
 */
export function concat(sources: readonly BlockSource[]): SparseSource {
  return new Concat(sources);
}

interface Part {
  readonly source: BlockSource;
  readonly start: number;
  readonly end: number;
}

/** One part's share of a read: where in the part, and which piece of the target. */
interface Piece {
  readonly part: Part;
  readonly offset: number;
  readonly from: number;
  readonly length: number;
}

class Concat implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #parts: readonly Part[];

  constructor(sources: readonly BlockSource[]) {
    const [first] = sources;
    if (first === undefined) throw new RestoreError('INVALID', 'nothing to put end to end');
    let start = 0;
    const parts: Part[] = [];
    for (const source of sources) {
      if (source.sectorSize !== first.sectorSize) {
        throw new RestoreError('INVALID', 'the parts of a disk differ in sector size', {
          where: { expected: first.sectorSize, found: source.sectorSize },
        });
      }
      parts.push({ source, start, end: start + source.size });
      start += source.size;
    }
    this.#parts = parts;
    this.size = start;
    this.sectorSize = first.sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    for (const piece of this.#pieces(offset, target.byteLength)) {
      const share = target.subarray(piece.from, piece.from + piece.length);
      await piece.part.source.readInto(share, piece.offset, signal);
    }
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    checkRange(this, offset, length);
    const [piece] = this.#pieces(offset, length);
    if (piece === undefined || piece.length !== length) return undefined;
    return piece.part.source.peek(piece.offset, length);
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    for (const { part, offset: at, length: share } of this.#pieces(offset, length)) {
      for await (const extent of extentsOf(part.source, at, share, signal)) {
        yield { offset: part.start + extent.offset, length: extent.length };
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#parts.map((part) => part.source.close()));
  }

  *#pieces(offset: number, length: number): Generator<Piece> {
    const end = offset + length;
    for (let index = this.#partAt(offset); index < this.#parts.length; index += 1) {
      const part = this.#parts[index] as Part;
      const from = Math.max(offset, part.start);
      if (from >= end) return;
      const to = Math.min(end, part.end);
      if (to > from)
        yield {
          part,
          offset: from - part.start,
          from: from - offset,
          length: to - from,
        };
    }
  }

  /** The index of the part that holds `offset`, by halving. */
  #partAt(offset: number): number {
    let low = 0;
    let high = this.#parts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#parts[middle] as Part).end <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
