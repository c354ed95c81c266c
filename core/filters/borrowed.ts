import {
  type BlockSource,
  type Extent,
  extentsOf,
  type SectorSize,
  type SparseSource,
} from '../block-source.ts';

/**
 * The same bytes for one more user: closing it leaves `next` open, which belongs to someone else.
 *
 * @param sectorSize what the user goes by, where that is not `next`'s own.
 */
export function borrowed(
  next: BlockSource,
  sectorSize: SectorSize = next.sectorSize,
): SparseSource {
  return new Borrowed(next, sectorSize);
}

class Borrowed implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #next: BlockSource;

  constructor(next: BlockSource, sectorSize: SectorSize) {
    this.#next = next;
    this.size = next.size;
    this.sectorSize = sectorSize;
  }

  readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    return this.#next.readInto(target, offset, signal);
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    return this.#next.peek(offset, length);
  }

  extents(offset: number, length: number, signal?: AbortSignal): AsyncIterable<Extent> {
    return extentsOf(this.#next, offset, length, signal);
  }

  async close(): Promise<void> {}
}
