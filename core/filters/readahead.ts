import {
  type BlockSource,
  checkRange,
  type Extent,
  extentsOf,
  type SectorSize,
  type SparseSource,
} from '../block-source.ts';
import { throwIfAborted } from '../errors.ts';

export interface ReadaheadOptions {
  /** The most that is fetched ahead of a sequential reader, in bytes. */
  readonly windowBytes?: number;
}

/** Sequential reads after which a reader is taken for a stream. */
const STREAM_AFTER = 2;

/**
 * Fetches the next window while a sequential reader works through the present one. Random readers
 * pass through untouched. A failed fetch is forgotten and met again by the read that needs it.
 */
export function readahead(next: BlockSource, options: ReadaheadOptions = {}): SparseSource {
  return new Readahead(next, options.windowBytes ?? 1024 * 1024);
}

interface Window {
  readonly start: number;
  readonly end: number;
  /** `undefined` when the fetch failed. */
  readonly data: Promise<Uint8Array | undefined>;
}

class Readahead implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #next: BlockSource;
  readonly #windowBytes: number;
  #windows: Window[] = [];
  #expected = -1;
  #streak = 0;

  constructor(next: BlockSource, windowBytes: number) {
    this.#next = next;
    this.#windowBytes = windowBytes;
    this.size = next.size;
    this.sectorSize = next.sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    throwIfAborted(signal);
    const end = offset + target.byteLength;
    const windows = this.#windows;
    this.#note(offset, end);
    let at = offset;
    for (const window of windows) {
      if (at < window.start || at >= window.end || at >= end) continue;
      const data = await window.data;
      if (data === undefined) break;
      const to = Math.min(end, window.end);
      target.set(data.subarray(at - window.start, to - window.start), at - offset);
      at = to;
    }
    throwIfAborted(signal);
    if (at < end) await this.#next.readInto(target.subarray(at - offset), at, signal);
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    return this.#next.peek(offset, length);
  }

  extents(offset: number, length: number, signal?: AbortSignal): AsyncIterable<Extent> {
    return extentsOf(this.#next, offset, length, signal);
  }

  async close(): Promise<void> {
    const windows = this.#windows;
    this.#windows = [];
    await Promise.all(windows.map((window) => window.data));
    await this.#next.close();
  }

  #note(offset: number, end: number): void {
    this.#streak = offset === this.#expected ? this.#streak + 1 : 0;
    this.#expected = end;
    if (this.#streak < STREAM_AFTER) {
      if (this.#streak === 0) this.#windows = [];
      return;
    }
    this.#windows = this.#windows.filter((window) => window.end > offset);
    const fetchedTo = this.#windows.at(-1)?.end ?? end;
    if (fetchedTo - end <= this.#windowBytes / 2) this.#fetch(fetchedTo);
  }

  #fetch(start: number): void {
    const end = Math.min(this.size, start + this.#windowBytes);
    if (end <= start) return;
    const buffer = new Uint8Array(end - start);
    const data = this.#next.readInto(buffer, start).then(
      () => buffer,
      () => undefined,
    );
    this.#windows.push({ start, end, data });
  }
}
