import {
  checkRange,
  type Extent,
  RestoreError,
  type SectorSize,
  type SparseSource,
  throwIfAborted,
  zeroView,
} from '../../core/index.ts';
import type { BlockPart, BlockStore, FailedPart, WantedBlock } from './block-store.ts';
import { type BlockReference, FANOUT, treeLevels } from './format.ts';
import type { Page, PageEntry } from './page.ts';

/** Prefetch this far ahead of a sequential reader, and start after this many reads in a row. */
const READAHEAD_BYTES = 2 * 1024 * 1024;
const STREAM_AFTER = 2;

export interface NativeDiskOptions {
  readonly sizeBytes: number;
  readonly sectorSize: SectorSize;
  readonly blockSize: number;
  /** Top of the block map; absent for a disk of zeros. */
  readonly root: BlockReference | undefined;
  /** For messages: the disk's address. */
  readonly address: string;
}

/** One disk of one restore point, assembled from the store on demand. Opening it reads nothing. */
export class NativeDisk implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly blockSize: number;
  readonly levels: number;
  readonly root: BlockReference | undefined;
  readonly #blocks: BlockStore;
  readonly #address: string;
  /** The leaf read last: most reads are near the one before. */
  #recent: { readonly index: number; readonly page: Page } | undefined;
  #streamAt = -1;
  #streak = 0;
  #prefetchedTo = 0;

  constructor(blocks: BlockStore, options: NativeDiskOptions) {
    this.#blocks = blocks;
    this.#address = options.address;
    this.size = options.sizeBytes;
    this.sectorSize = options.sectorSize;
    this.blockSize = options.blockSize;
    this.levels = treeLevels(options.sizeBytes, options.blockSize);
    this.root = options.root;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    throwIfAborted(signal);
    const end = offset + target.byteLength;
    const parts: BlockPart[] = [];
    for (let at = offset; at < end; ) {
      const block = Math.floor(at / this.blockSize);
      const within = at - block * this.blockSize;
      const length = Math.min(end - at, this.blockSize - within);
      const piece = target.subarray(at - offset, at - offset + length);
      const known = this.#entry(block);
      const reference = known === 'unknown' ? await this.#loadEntry(block) : known;
      if (reference === undefined) piece.fill(0);
      else parts.push({ reference, plainBytes: this.#plainBytes(block), within, target: piece });
      at += length;
    }
    const reading = parts.length === 0 ? undefined : this.#blocks.read(parts);
    this.#noteStream(offset, end);
    const failed = await reading;
    if (failed !== undefined) throw this.#failedPart(failed, parts, target, offset);
    throwIfAborted(signal);
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    checkRange(this, offset, length);
    const block = Math.floor(offset / this.blockSize);
    const within = offset - block * this.blockSize;
    if (within + length > this.blockSize) return undefined;
    const entry = length === 0 ? undefined : this.#entry(block);
    if (entry === 'unknown') return undefined;
    if (entry === undefined) return zeroView(length);
    return this.#blocks.peek(entry)?.subarray(within, within + length);
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    const end = offset + length;
    let run: { offset: number; length: number } | undefined;
    for await (const block of this.storedBlocks(offset, end, signal)) {
      const from = Math.max(offset, block * this.blockSize);
      const to = Math.min(end, (block + 1) * this.blockSize);
      if (run !== undefined && run.offset + run.length === from) {
        run.length += to - from;
        continue;
      }
      if (run !== undefined) yield run;
      run = { offset: from, length: to - from };
    }
    if (run !== undefined) yield run;
  }

  /** Numbers of the blocks that are stored (not zero) and touch `[offset, end)`, ascending. */
  async *storedBlocks(offset: number, end: number, signal?: AbortSignal): AsyncGenerator<number> {
    if (end <= offset || this.root === undefined) return;
    const first = Math.floor(offset / this.blockSize);
    const last = Math.floor((end - 1) / this.blockSize);
    const root = await this.page(this.root, this.levels - 1);
    yield* this.#walk(root, this.levels - 1, 0, first, last, signal);
  }

  /** Closing a disk leaves the repository open; its blocks stay in the shared cache. */
  async close(): Promise<void> {
    this.#recent = undefined;
  }

  /** A block's entry: `undefined` for zeros. For comparing and copying block maps. */
  async blockEntry(block: number): Promise<PageEntry> {
    const entry = this.#entry(block);
    return entry === 'unknown' ? await this.#loadEntry(block) : entry;
  }

  /**
   * The page number `index` of `level` (0 for leaves), or `undefined` where all below it is zeros.
   *
   * @throws RestoreError `CORRUPT`, `NOT_FOUND`, `IO`.
   */
  async pageAt(
    level: number,
    index: number,
  ): Promise<{ page: Page; reference: BlockReference } | undefined> {
    let reference = this.root;
    for (let at = this.levels - 1; ; at -= 1) {
      if (reference === undefined) return undefined;
      const page = await this.page(reference, at);
      if (at === level) return { page, reference };
      reference = page.entry(Math.floor(index / FANOUT ** (at - 1 - level)) % FANOUT);
    }
  }

  /**
   * A page of this disk's map by its reference.
   *
   * @throws RestoreError `CORRUPT`, `IO`, naming the disk.
   */
  async page(reference: BlockReference, level: number): Promise<Page> {
    try {
      return await this.#blocks.page(reference, level);
    } catch (error) {
      throw this.#inContext(error, 'an index page of this disk cannot be read');
    }
  }

  async *#walk(
    page: Page,
    level: number,
    index: number,
    first: number,
    last: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<number> {
    throwIfAborted(signal);
    const span = FANOUT ** level;
    for (let slot = 0; slot < page.count; slot += 1) {
      const start = (index * FANOUT + slot) * span;
      if (start > last || start + span - 1 < first) continue;
      const entry = page.entry(slot);
      if (entry === undefined) continue;
      if (level === 0) {
        yield start;
      } else {
        const child = await this.page(entry, level - 1);
        yield* this.#walk(child, level - 1, index * FANOUT + slot, first, last, signal);
      }
    }
  }

  /** The entry of a block without a promise, or `unknown` when its leaf is not in memory. */
  #entry(block: number): PageEntry | 'unknown' {
    const leafIndex = Math.floor(block / FANOUT);
    if (this.#recent?.index === leafIndex) return this.#recent.page.entry(block % FANOUT);
    let reference = this.root;
    for (let level = this.levels - 1; ; level -= 1) {
      if (reference === undefined) return undefined;
      const page = this.#blocks.peekPage(reference);
      if (page === undefined) return 'unknown';
      if (level === 0) {
        this.#recent = { index: leafIndex, page };
        return page.entry(block % FANOUT);
      }
      reference = page.entry(Math.floor(block / FANOUT ** level) % FANOUT);
    }
  }

  async #loadEntry(block: number): Promise<PageEntry> {
    const leafIndex = Math.floor(block / FANOUT);
    const found = await this.pageAt(0, leafIndex);
    if (found === undefined) return undefined;
    this.#recent = { index: leafIndex, page: found.page };
    return found.page.entry(block % FANOUT);
  }

  #failedPart(
    { part, error }: FailedPart,
    parts: readonly BlockPart[],
    target: Uint8Array,
    offset: number,
  ): RestoreError {
    const before = (parts[part]?.target.byteOffset ?? target.byteOffset) - target.byteOffset;
    return this.#inContext(error, 'a block of this disk cannot be read', offset + before);
  }

  #plainBytes(block: number): number {
    return Math.min(this.blockSize, this.size - block * this.blockSize);
  }

  /** Fetches ahead of a reader that goes straight through, into the shared cache. */
  #noteStream(offset: number, end: number): void {
    this.#streak = offset === this.#streamAt ? this.#streak + 1 : 0;
    this.#streamAt = end;
    if (this.#streak < STREAM_AFTER) {
      this.#prefetchedTo = end;
      return;
    }
    const from = Math.max(end, this.#prefetchedTo);
    if (from - end > READAHEAD_BYTES / 2) return;
    const to = Math.min(this.size, end + READAHEAD_BYTES);
    this.#prefetchedTo = to;
    this.#prefetch(from, to);
  }

  #prefetch(from: number, to: number): void {
    const wanted: WantedBlock[] = [];
    for (let block = Math.ceil(from / this.blockSize); block * this.blockSize < to; block += 1) {
      const entry = this.#entry(block);
      if (entry === 'unknown') {
        // The leaf at least will be at hand; its failure is met again by the read that needs it.
        this.#loadEntry(block).catch(() => undefined);
        break;
      }
      if (entry !== undefined) {
        wanted.push({ reference: entry, plainBytes: this.#plainBytes(block) });
      }
    }
    this.#blocks.prefetch(wanted);
  }

  #inContext(cause: unknown, message: string, offset?: number): RestoreError {
    if (!(cause instanceof RestoreError)) return new RestoreError('IO', message, { cause });
    // A missing pack is damage of this disk, not a disk that does not exist.
    const code = cause.code === 'NOT_FOUND' ? 'CORRUPT' : cause.code;
    return new RestoreError(code, `${message}: ${cause.message}`, {
      where: { object: this.#address, ...(offset === undefined ? {} : { offset }) },
      hint: cause.hint ?? 'Run `rehydrate verify` to see what else is affected.',
      cause,
    });
  }
}
