import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type BlockDevice, checkRange, type SectorSize, throwIfAborted } from '../../core/index.ts';

/**
 * A disk whose blocks all lie decoded in memory, each in a buffer of its own, as in a warm block
 * cache: `peek` gives what lies in one block, never what spans two. Writable, as an overlay that keeps
 * all in memory: what `peek` gave is then shown as it was only until the next write.
 */
export class MemoryBlocks implements BlockDevice {
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

  async writeFrom(data: Uint8Array, offset: number): Promise<void> {
    checkRange(this, offset, data.length);
    for (let done = 0; done < data.length; ) {
      const start = (offset + done) % this.#blockBytes;
      const length = Math.min(this.#blockBytes - start, data.length - done);
      const block = this.#blocks[Math.floor((offset + done) / this.#blockBytes)];
      block?.set(length === data.length ? data : data.subarray(done, done + length), start);
      done += length;
    }
  }

  /** Memory is as durable as the page cache that it stands beside. */
  async flush(): Promise<void> {}

  async discard(offset: number, length: number): Promise<void> {
    await this.writeFrom(new Uint8Array(length), offset);
  }

  async close(): Promise<void> {}
}
