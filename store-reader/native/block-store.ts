import { LRUCache } from 'lru-cache';
import { RestoreError } from '../../core/index.ts';
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

/** Blocks in one message to a decoder: enough to pay for the message, few enough to share out. */
const BATCH_BLOCKS = 4;

/**
 * The blocks of a repository by reference: proved, decoded, and cached by id, so that one block in
 * memory serves every disk and every restore point that shares it. Concurrent misses of one block
 * are one fetch. A cached block is dropped, never written over: a view of it stays true for as long
 * as anyone holds it.
 */
export class BlockStore {
  readonly #decoder: BlockDecoder;
  readonly #blocks: LRUCache<string, Uint8Array>;
  readonly #pages: LRUCache<string, Page>;
  readonly #pending = new Map<string, Promise<DecodeResult>>();

  constructor(decoder: BlockDecoder, options: BlockStoreOptions) {
    this.#decoder = decoder;
    this.#blocks = new LRUCache({
      maxSize: Math.max(1, options.cacheBytes),
      sizeCalculation: (block) => block.byteLength,
    });
    this.#pages = new LRUCache({
      maxSize: Math.max(1, options.pageCacheBytes),
      sizeCalculation: (page) => page.sizeBytes,
    });
  }

  /** A cached block, at once. */
  peek(reference: BlockReference): Uint8Array | undefined {
    return this.#blocks.get(keyOf(reference));
  }

  /** A cached page, at once. */
  peekPage(reference: BlockReference): Page | undefined {
    return this.#pages.get(keyOf(reference));
  }

  /**
   * Fetches blocks, each to exactly `plainBytes`. One promise a request, in order; a promise
   * rejects with the block's own error and leaves the others alone.
   */
  fetch(
    wanted: readonly { reference: BlockReference; plainBytes: number }[],
  ): Promise<Uint8Array>[] {
    const missing: DecodeRequest[] = [];
    const promises = wanted.map(({ reference, plainBytes }) => {
      const cached = this.peek(reference);
      if (cached !== undefined) return Promise.resolve(cached);
      return this.#join(reference, plainBytes, missing).then(unwrap);
    });
    this.#start(missing, (request, result) => {
      if (result instanceof Uint8Array) this.#blocks.set(keyOf(request.reference), result);
    });
    return promises;
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
    const running = this.#pending.get(key);
    if (running !== undefined) return unwrap(await running);
    const request = { reference, plainBytes: PAGE_BYTES_MAX, isPage: true };
    const promise = this.#decoder.decode([request]).then(([result]) => result as DecodeResult);
    this.#pending.set(key, promise);
    try {
      return unwrap(await promise);
    } finally {
      this.#pending.delete(key);
    }
  }

  #join(
    reference: BlockReference,
    plainBytes: number,
    missing: DecodeRequest[],
  ): Promise<DecodeResult> {
    const key = keyOf(reference);
    const running = this.#pending.get(key);
    if (running !== undefined) return running;
    const { promise, resolve } = Promise.withResolvers<DecodeResult>();
    this.#pending.set(key, promise);
    this.#resolvers.set(key, resolve);
    missing.push({ reference, plainBytes, isPage: false });
    return promise;
  }

  readonly #resolvers = new Map<string, (result: DecodeResult) => void>();

  #start(
    missing: readonly DecodeRequest[],
    keep: (request: DecodeRequest, result: DecodeResult) => void,
  ): void {
    if (missing.length === 0) return;
    for (const batch of batchRequests(missing, BATCH_BLOCKS)) {
      void this.#decoder.decode(batch).then((results) => {
        batch.forEach((request, index) => {
          const result = results[index] as DecodeResult;
          const key = keyOf(request.reference);
          keep(request, result);
          this.#pending.delete(key);
          this.#resolvers.get(key)?.(result);
          this.#resolvers.delete(key);
        });
      });
    }
  }
}

function unwrap(result: DecodeResult): Uint8Array {
  if (result instanceof Uint8Array) return result;
  throw result;
}
