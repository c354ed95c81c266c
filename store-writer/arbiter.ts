import {
  type BlockReference,
  ID_BYTES,
  idKey,
  keyOf,
  type PageEntry,
} from '../store-reader/index.ts';
import type { DedupIndex } from './dedup-index.ts';
import type { EncodePool } from './encode-pool.ts';
import { BLOCK_KINDS, type HashedTask } from './encoder.ts';
import { FreshBlocks } from './fresh-blocks.ts';

/** A run of blocks to settle. */
export interface BlockRun {
  readonly disk: number;
  readonly offset: number;
  readonly length: number;
  /** The previous point's entry for each block of the run, as far as it can be relied on. */
  readonly previous: readonly PageEntry[];
}

export interface SettledRun {
  readonly entries: readonly PageEntry[];
  readonly kinds: Uint8Array;
}

/** Bytes by what became of them. */
export interface RunCounts {
  readBytes: number;
  zeroBytes: number;
  deduplicatedBytes: number;
  newBytes: number;
}

/**
 * Decides, for every block that is read, whether it is stored already: in the previous point at the
 * same place, by this capture a moment ago, or anywhere in the repository. Only the rest is stored.
 */
export class BlockArbiter {
  readonly fresh: FreshBlocks = new FreshBlocks();
  readonly counts: RunCounts = { readBytes: 0, zeroBytes: 0, deduplicatedBytes: 0, newBytes: 0 };
  readonly #pool: EncodePool;
  readonly #index: DedupIndex;
  readonly #packs: ReadonlySet<string>;
  readonly #blockSize: number;
  /** Blocks being stored right now; a twin waits for the same place. */
  readonly #underWay = new Map<string, PromiseWithResolvers<BlockReference>>();

  /** @param packs the packs that are there; an entry in any other is not believed. */
  constructor(pool: EncodePool, index: DedupIndex, packs: ReadonlySet<string>, blockSize: number) {
    this.#pool = pool;
    this.#index = index;
    this.#packs = packs;
    this.#blockSize = blockSize;
  }

  /** Waits for room, then settles the run in the background. */
  async start(run: BlockRun): Promise<{ settled: Promise<SettledRun> }> {
    const { disk, offset, length } = run;
    const previous = this.#previousIds(run.previous);
    const task =
      previous === undefined ? { disk, offset, length } : { disk, offset, length, previous };
    const { hashed } = await this.#pool.start(task);
    const settled = hashed.then((result) => this.#settle(run, result));
    settled.catch(() => undefined);
    return { settled };
  }

  async #settle(run: BlockRun, { number, kinds, ids }: HashedTask): Promise<SettledRun> {
    const entries = new Array<PageEntry>(kinds.length);
    const wanted = new Uint8Array(kinds.length);
    const twins: Promise<void>[] = [];
    kinds.forEach((kind, slot) => {
      const bytes = Math.min(this.#blockSize, run.length - slot * this.#blockSize);
      this.counts.readBytes += bytes;
      if (kind === BLOCK_KINDS.zero) {
        this.counts.zeroBytes += bytes;
        return;
      }
      if (kind === BLOCK_KINDS.unchanged) {
        this.counts.deduplicatedBytes += bytes;
        entries[slot] = run.previous[slot];
        return;
      }
      const id = ids.subarray(slot * ID_BYTES, (slot + 1) * ID_BYTES);
      const known = this.#find(id);
      if (known === undefined) {
        wanted[slot] = 1;
        this.counts.newBytes += bytes;
        this.#announce(id);
        return;
      }
      this.counts.deduplicatedBytes += bytes;
      if (known instanceof Promise) {
        twins.push(
          known.then((reference) => {
            entries[slot] = reference;
          }),
        );
      } else {
        entries[slot] = known;
      }
    });
    // Awaited last, but owned from the start: a failure elsewhere must not go unheard.
    const allTwins = Promise.all(twins);
    allTwins.catch(() => undefined);
    await this.#store(number, wanted, ids, entries);
    await allTwins;
    return { entries, kinds };
  }

  async #store(
    number: number,
    wanted: Uint8Array,
    ids: Uint8Array,
    entries: PageEntry[],
  ): Promise<void> {
    try {
      for (const { slot, reference } of await this.#pool.store(number, wanted)) {
        entries[slot] = reference;
        this.fresh.add(reference);
        const key = keyOf(reference);
        this.#underWay.get(key)?.resolve(reference);
        this.#underWay.delete(key);
      }
    } catch (error) {
      wanted.forEach((is, slot) => {
        if (is !== 1) return;
        const key = idKey(ids.subarray(slot * ID_BYTES, (slot + 1) * ID_BYTES));
        this.#underWay.get(key)?.reject(error);
      });
      throw error;
    }
  }

  #find(id: Uint8Array): BlockReference | Promise<BlockReference> | undefined {
    const key = idKey(id);
    const fresh = this.#underWay.get(key)?.promise ?? this.fresh.get(key, id);
    if (fresh !== undefined) return fresh;
    const published = this.#index.find(id);
    return published !== undefined && this.#packs.has(published.pack) ? published : undefined;
  }

  #announce(id: Uint8Array): void {
    const deferred = Promise.withResolvers<BlockReference>();
    deferred.promise.catch(() => undefined);
    this.#underWay.set(idKey(id), deferred);
  }

  #previousIds(previous: readonly PageEntry[]): Uint8Array | undefined {
    if (previous.every((entry) => entry === undefined)) return undefined;
    const ids = new Uint8Array(previous.length * ID_BYTES);
    previous.forEach((entry, slot) => {
      if (entry !== undefined && this.#packs.has(entry.pack)) ids.set(entry.id, slot * ID_BYTES);
    });
    return ids;
  }
}
