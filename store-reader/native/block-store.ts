import { LRUCache } from 'lru-cache';
import { RestoreError } from '../../core/index.ts';
import { BlockCache } from './block-cache.ts';
import {
  type BlockDecoder,
  batchRequests,
  type DecodeRequest,
  type DecodeResult,
} from './decoder.ts';
import { type BlockReference, keyOf, PAGE_BYTES_MAX } from './format.ts';
import { Page } from './page.ts';

export interface BlockStoreOptions {
  /** Decoded blocks kept in memory, in bytes. */
  readonly cacheBytes: number;
  /** Decoded index pages kept in memory, in bytes. */
  readonly pageCacheBytes: number;
}

/** A block that is wanted. */
export interface WantedBlock {
  readonly reference: BlockReference;
  /** Its exact length. */
  readonly plainBytes: number;
}

/** Bytes of one block, and where they are wanted. */
export interface BlockPart extends WantedBlock {
  /** Where they begin in the block. */
  readonly within: number;
  readonly target: Uint8Array;
}

/** The first part, in order, that could not be read. */
export interface FailedPart {
  readonly part: number;
  readonly error: RestoreError;
}

/** One read that waits for blocks. */
interface PendingRead {
  left: number;
  failed: FailedPart | undefined;
  readonly resolve: (failed: FailedPart | undefined) => void;
}

type Waiter = (result: DecodeResult) => void;

interface PendingBlock {
  /** As the decoder was asked for it. */
  readonly reference: BlockReference;
  readonly waiters: Waiter[];
}

/**
 * The blocks of a repository by reference: proved, decoded, and cached by id, so that one block in
 * memory serves every disk and every restore point that shares it. Concurrent misses of one block
 * are one fetch.
 *
 * A view of a cached block stays true for as long as anyone holds it.
 */
export class BlockStore {
  readonly #decoder: BlockDecoder;
  readonly #blocks: BlockCache;
  readonly #pages: LRUCache<string, Page>;
  readonly #pendingPages = new Map<string, Promise<DecodeResult>>();
  readonly #pending = new Map<string, PendingBlock>();

  constructor(decoder: BlockDecoder, options: BlockStoreOptions) {
    this.#decoder = decoder;
    const release = decoder.release?.bind(decoder);
    this.#blocks = new BlockCache(options.cacheBytes, release);
    this.#pages = new LRUCache({
      maxSize: Math.max(1, options.pageCacheBytes),
      sizeCalculation: (page) => page.sizeBytes,
    });
  }

  /** A view of a cached block, at once; of one that is seldom read, nothing. */
  peek(reference: BlockReference): Uint8Array | undefined {
    return this.#blocks.view(keyOf(reference));
  }

  /** A cached page, at once. */
  peekPage(reference: BlockReference): Page | undefined {
    return this.#pages.get(keyOf(reference));
  }

  /**
   * Reads parts of blocks to where they are wanted. Nothing is written to a target afterwards.
   *
   * @returns the first part that failed, if any did; the others are read even so.
   */
  read(parts: readonly BlockPart[]): Promise<FailedPart | undefined> {
    const { promise, resolve } = Promise.withResolvers<FailedPart | undefined>();
    const read: PendingRead = { left: parts.length, failed: undefined, resolve };
    const missing: DecodeRequest[] = [];
    parts.forEach((part, index) => {
      const cached = this.#blocks.get(keyOf(part.reference));
      if (cached === undefined) {
        this.#join(part, missing, (result) => finishPart(read, parts, index, result), part);
      } else {
        finishPart(read, parts, index, cached);
      }
    });
    if (parts.length === 0) resolve(undefined);
    this.#start(missing, false);
    return promise;
  }

  /** Fetches blocks into the cache. A failure is met again, and reported, by whoever needs the block. */
  prefetch(wanted: readonly WantedBlock[]): void {
    if (this.#decoder.isInline) return;
    const missing: DecodeRequest[] = [];
    for (const block of wanted) {
      if (!this.#blocks.has(keyOf(block.reference))) this.#join(block, missing, undefined);
    }
    this.#start(missing, true);
  }

  /**
   * A page of a block map.
   *
   * @throws RestoreError `CORRUPT`, `NOT_FOUND`, `IO`.
   */
  async page(reference: BlockReference, level: number): Promise<Page> {
    const page = this.peekPage(reference) ?? (await this.#loadPage(reference));
    if (page.level === level) return page;
    throw new RestoreError('CORRUPT', 'an index page is of another level', {
      where: {
        object: `pack ${reference.pack}`,
        offset: reference.offset,
        expected: level,
        found: page.level,
      },
    });
  }

  async close(): Promise<void> {
    this.#blocks.clear();
    this.#pages.clear();
    await this.#decoder.close();
  }

  async #loadPage(reference: BlockReference): Promise<Page> {
    const data = await this.pageBytes(reference);
    const page = Page.decode(data);
    this.#pages.set(keyOf(reference), page);
    return page;
  }

  /** The bytes of a stored page of any kind, proved by its id and not cached. */
  async pageBytes(reference: BlockReference): Promise<Uint8Array> {
    const key = keyOf(reference);
    const running = this.#pendingPages.get(key);
    if (running !== undefined) return unwrap(await running);
    const request = { reference, plainBytes: PAGE_BYTES_MAX, isPage: true };
    const promise = this.#decoder.decode([request]).then(([result]) => result as DecodeResult);
    this.#pendingPages.set(key, promise);
    try {
      return unwrap(await promise);
    } finally {
      this.#pendingPages.delete(key);
    }
  }

  #join(
    block: WantedBlock,
    missing: DecodeRequest[],
    waiter: Waiter | undefined,
    part?: BlockPart,
  ): void {
    const { reference, plainBytes } = block;
    const key = keyOf(reference);
    const running = this.#pending.get(key);
    if (running === undefined) {
      this.#pending.set(key, { reference, waiters: waiter === undefined ? [] : [waiter] });
      missing.push({ reference, plainBytes, isPage: false, ...this.#placeFor(part) });
    } else if (waiter !== undefined) {
      if (running.waiters.length === 0) this.#decoder.hasten?.(running.reference);
      running.waiters.push(waiter);
    }
  }

  #start(missing: readonly DecodeRequest[], isAhead: boolean): void {
    if (missing.length === 0) return;
    for (const batch of batchRequests(missing, this.#decoder.batchBlocks)) {
      void this.#decoder.decode(batch, isAhead).then((results) => {
        batch.forEach((request, index) => this.#arrived(request, results[index] as DecodeResult));
      });
    }
  }

  /** Copies a block to all who wait for it, before its memory can be given to another. */
  #arrived({ reference, into }: DecodeRequest, result: DecodeResult): void {
    const key = keyOf(reference);
    const waiters = this.#pending.get(key)?.waiters ?? [];
    this.#pending.delete(key);
    for (const waiter of waiters) waiter(result);
    // What was decoded to where it was wanted belongs to whoever wanted it.
    if (result instanceof Uint8Array && into === undefined) {
      this.#blocks.add(key, result, waiters.length);
    }
  }

  /**
   * A block that is wanted whole is decoded to where it is wanted, and not kept: whoever reads whole
   * blocks copies a file, and does not come back for them.
   */
  #placeFor(part: BlockPart | undefined): Pick<DecodeRequest, 'into'> {
    const isWhole = part?.within === 0 && part.target.byteLength === part.plainBytes;
    return isWhole && this.#decoder.isInline ? { into: part.target } : {};
  }
}

function finishPart(
  read: PendingRead,
  parts: readonly BlockPart[],
  index: number,
  result: DecodeResult,
): void {
  const { within, target } = parts[index] as BlockPart;
  if (result instanceof Uint8Array) {
    if (!isSameMemory(result, target)) {
      target.set(result.subarray(within, within + target.byteLength));
    }
  } else if (read.failed === undefined || index < read.failed.part) {
    read.failed = { part: index, error: result };
  }
  read.left -= 1;
  if (read.left === 0) read.resolve(read.failed);
}

function isSameMemory(one: Uint8Array, other: Uint8Array): boolean {
  return one.buffer === other.buffer && one.byteOffset === other.byteOffset;
}

function unwrap(result: DecodeResult): Uint8Array {
  if (result instanceof Uint8Array) return result;
  throw result;
}
