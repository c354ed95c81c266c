import { LRUCache } from 'lru-cache';
import {
  type BlockSource,
  checkRange,
  type Extent,
  extentsOf,
  type SectorSize,
  type SparseSource,
} from '../block-source.ts';
import { RestoreError, throwIfAborted } from '../errors.ts';

export interface CacheOptions {
  /** Bytes of `next` kept at the most. */
  readonly budgetBytes: number;
  /** Unit of caching; a power of two. */
  readonly lineBytes?: number;
}

/**
 * Keeps recently read lines of `next` in memory, least recently used out first. Concurrent misses
 * of one line are one read. A line that someone still holds a view of is dropped, never reused.
 */
export function cache(next: BlockSource, options: CacheOptions): SparseSource {
  return new Cache(next, options);
}

class Cache implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #next: BlockSource;
  readonly #lineBytes: number;
  readonly #lines: LRUCache<number, Uint8Array>;
  readonly #pending = new Map<number, Promise<Uint8Array>>();

  constructor(next: BlockSource, { budgetBytes, lineBytes = 64 * 1024 }: CacheOptions) {
    if (!Number.isInteger(Math.log2(lineBytes)) || budgetBytes < lineBytes) {
      throw new RestoreError('INVALID', 'a cache needs room for one line of a power of two', {
        where: {
          expected: `at least ${lineBytes} bytes`,
          found: budgetBytes,
        },
      });
    }
    this.#next = next;
    this.#lineBytes = lineBytes;
    this.#lines = new LRUCache({
      maxSize: budgetBytes,
      sizeCalculation: (line) => line.byteLength,
    });
    this.size = next.size;
    this.sectorSize = next.sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    throwIfAborted(signal);
    const end = offset + target.byteLength;
    const wanted: Promise<void>[] = [];
    for (let at = offset; at < end; ) {
      const lineStart = at - (at % this.#lineBytes);
      const length = Math.min(end, lineStart + this.#lineBytes) - at;
      wanted.push(this.#copy(target.subarray(at - offset, at - offset + length), at, lineStart));
      at += length;
    }
    await Promise.all(wanted);
    throwIfAborted(signal);
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    checkRange(this, offset, length);
    const lineStart = offset - (offset % this.#lineBytes);
    if (offset + length > lineStart + this.#lineBytes) return undefined;
    return this.#lines.get(lineStart)?.subarray(offset - lineStart, offset - lineStart + length);
  }

  extents(offset: number, length: number, signal?: AbortSignal): AsyncIterable<Extent> {
    return extentsOf(this.#next, offset, length, signal);
  }

  async close(): Promise<void> {
    this.#lines.clear();
    await this.#next.close();
  }

  async #copy(target: Uint8Array, at: number, lineStart: number): Promise<void> {
    const line = this.#lines.get(lineStart) ?? (await this.#fetch(lineStart));
    target.set(line.subarray(at - lineStart, at - lineStart + target.byteLength));
  }

  /** Not under any one caller's signal: others may be waiting for the same line. */
  #fetch(lineStart: number): Promise<Uint8Array> {
    const running = this.#pending.get(lineStart);
    if (running !== undefined) return running;
    const fetching = this.#read(lineStart).finally(() => this.#pending.delete(lineStart));
    this.#pending.set(lineStart, fetching);
    return fetching;
  }

  async #read(lineStart: number): Promise<Uint8Array> {
    const line = new Uint8Array(Math.min(this.#lineBytes, this.size - lineStart));
    await this.#next.readInto(line, lineStart);
    this.#lines.set(lineStart, line);
    return line;
  }
}
