import {
  type BlockSource,
  checkRange,
  type Extent,
  extentsOf,
  type SectorSize,
  type SparseSource,
} from '../block-source.ts';

/**
 * The bytes `[start, start + size)` of `next` as a source of its own: a partition of a disk, a
 * file's extent. Closing the slice closes `next`.
 *
 * @throws RestoreError `INVALID` when the range is not inside `next`.
 */
export function slice(next: BlockSource, start: number, size: number): SparseSource {
  checkRange(next, start, size);
  return new Slice(next, start, size);
}

class Slice implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #next: BlockSource;
  readonly #start: number;

  constructor(next: BlockSource, start: number, size: number) {
    this.#next = next;
    this.#start = start;
    this.size = size;
    this.sectorSize = next.sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    await this.#next.readInto(target, this.#start + offset, signal);
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    checkRange(this, offset, length);
    return this.#next.peek(this.#start + offset, length);
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    for await (const extent of extentsOf(this.#next, this.#start + offset, length, signal)) {
      yield { offset: extent.offset - this.#start, length: extent.length };
    }
  }

  close(): Promise<void> {
    return this.#next.close();
  }
}
