import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type BlockSource, checkRange, type SectorSize, throwIfAborted } from '../../core/index.ts';

/**
 * A disk whose blocks all lie decoded in memory, each in a buffer of its own, as in a warm block
 * cache: `peek` gives what lies in one block, never what spans two.
 */
export class MemoryBlocks implements BlockSource {
  readonly size: number;
  readonly sectorSize: SectorSize = 512;
  readonly #blocks: readonly Uint8Array[];
  readonly #blockBytes: number;

  /** Reads the whole file at `path`, block by block. */
  constructor(path: string, blockBytes: number) {
    const file = openSync(path, 'r');
    this.size = fstatSync(file).size;
    this.#blockBytes = blockBytes;
    this.#blocks = Array.from({ length: Math.ceil(this.size / blockBytes) }, (_, index) => {
      const start = index * blockBytes;
      const block = Buffer.allocUnsafeSlow(Math.min(blockBytes, this.size - start));
      if (readSync(file, block, 0, block.length, start) !== block.length) {
        throw new Error(`${path} is shorter than it was`);
      }
      return block;
    });
    closeSync(file);
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    checkRange(this, offset, length);
    const start = offset % this.#blockBytes;
    if (start + length > this.#blockBytes) return undefined;
    return this.#blocks[(offset - start) / this.#blockBytes]?.subarray(start, start + length);
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    checkRange(this, offset, target.length);
    for (let done = 0; done < target.length; ) {
      const left = this.#blockBytes - ((offset + done) % this.#blockBytes);
      const length = Math.min(left, target.length - done);
      target.set(this.peek(offset + done, length) ?? new Uint8Array(0), done);
      done += length;
    }
  }

  async close(): Promise<void> {}
}
