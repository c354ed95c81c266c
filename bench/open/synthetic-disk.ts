import { checkRange, type Extent, type SparseSource, throwIfAborted } from '../../core/index.ts';
import { randomBytes } from '../../test/fixtures/random.ts';

const MIB = 1024 * 1024;
const BLOCK_BYTES = 64 * 1024;

/** A sparse disk of any size whose data, some extents of 1 MiB spread evenly, is made on demand. */
export class SyntheticDisk implements SparseSource {
  readonly size: number;
  readonly sectorSize = 512;
  readonly extentList: readonly Extent[];
  /** How often a block has been rewritten, by block number. */
  readonly #versions = new Map<number, number>();

  constructor(sizeBytes: number, extentCount: number) {
    this.size = sizeBytes;
    const step = Math.floor(sizeBytes / extentCount / MIB) * MIB;
    this.extentList = Array.from({ length: extentCount }, (_, number) => ({
      offset: number * step,
      length: MIB,
    }));
  }

  /** Gives a block new content. @returns its range. */
  rewrite(offset: number): Extent {
    const block = Math.floor(offset / BLOCK_BYTES);
    this.#versions.set(block, (this.#versions.get(block) ?? 0) + 1);
    return { offset: block * BLOCK_BYTES, length: BLOCK_BYTES };
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    checkRange(this, offset, target.byteLength);
    for (let done = 0; done < target.byteLength; ) {
      const block = Math.floor((offset + done) / BLOCK_BYTES);
      const within = (offset + done) % BLOCK_BYTES;
      const length = Math.min(target.byteLength - done, BLOCK_BYTES - within);
      target.set(this.#block(block).subarray(within, within + length), done);
      done += length;
    }
  }

  peek(): undefined {
    return undefined;
  }

  async *extents(offset: number, length: number): AsyncGenerator<Extent> {
    for (const extent of this.extentList) {
      const from = Math.max(offset, extent.offset);
      const to = Math.min(offset + length, extent.offset + extent.length);
      if (from < to) yield { offset: from, length: to - from };
    }
  }

  async close(): Promise<void> {}

  #block(block: number): Uint8Array {
    const at = block * BLOCK_BYTES;
    const isData = this.extentList.some(
      ({ offset, length }) => at >= offset && at < offset + length,
    );
    if (!isData) return new Uint8Array(BLOCK_BYTES);
    return randomBytes(BLOCK_BYTES, block * 1009 + (this.#versions.get(block) ?? 0));
  }
}
