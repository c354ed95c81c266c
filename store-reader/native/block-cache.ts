import { LRUCache } from 'lru-cache';

const MIB = 1024 * 1024;
/** A block read this often is likely to be read again: from then on it is shown where it lies. */
const READS_BEFORE_VIEWS = 2;
/** What the borrowed share of a cache is, and the most that it needs to be. */
const BORROWED_SHARE = 1 / 4;
const BORROWED_BYTES_MAX = 32 * MIB;
/** A small cache is shared half and half up to this. */
const BORROWED_BYTES_SMALL = 4 * MIB;

interface BorrowedBlock {
  readonly bytes: Uint8Array;
  reads: number;
}

/**
 * Decoded blocks by key, within a budget.
 *
 * A new block is *borrowed*: it stays in the memory that it was decoded into, is only ever copied
 * from, and gives that memory back when it goes, for the next block. Making and collecting memory for
 * each would cost more than half of what decoding does. A block that is wanted often becomes *owned*:
 * a copy in memory of its own, which may be shown, and which is dropped in the end and never written
 * over. So is one that leaves the borrowed share while there is room for it, and one that comes back
 * after it has left (2Q of Johnson and Shasha): reading once through a disk does not drive out what is
 * read again and again.
 */
export class BlockCache {
  readonly #owned: LRUCache<string, Uint8Array>;
  readonly #borrowed: LRUCache<string, BorrowedBlock> | undefined;
  /** Sizes of blocks that have left: as many as the cache itself could hold. */
  readonly #left: LRUCache<string, number>;
  readonly #release: ((bytes: Uint8Array) => void) | undefined;

  /** @param release gives back a borrowed block's memory; absent where blocks have their own. */
  constructor(budgetBytes: number, release: ((bytes: Uint8Array) => void) | undefined) {
    this.#release = release;
    const borrowedBytes = release === undefined ? 0 : borrowedShare(budgetBytes);
    this.#left = new LRUCache({
      maxSize: Math.max(1, budgetBytes),
      sizeCalculation: (sizeBytes) => sizeBytes,
    });
    this.#owned = new LRUCache({
      maxSize: Math.max(1, budgetBytes - borrowedBytes),
      sizeCalculation: (bytes) => bytes.byteLength,
    });
    if (release === undefined) return;
    this.#borrowed = new LRUCache({
      maxSize: Math.max(1, borrowedBytes),
      sizeCalculation: ({ bytes }) => bytes.byteLength,
      dispose: ({ bytes }, key, reason) => {
        if (reason === 'evict') this.#leaves(key, bytes);
        release(bytes);
      },
    });
  }

  /** A block to copy from at once, and no longer. */
  get(key: string): Uint8Array | undefined {
    const owned = this.#owned.get(key);
    if (owned !== undefined) return owned;
    const borrowed = this.#borrowed?.get(key);
    if (borrowed !== undefined) borrowed.reads += 1;
    return borrowed?.bytes;
  }

  has(key: string): boolean {
    return this.#owned.has(key) || this.#borrowed?.has(key) === true;
  }

  /** A view that may be held; of a block that is seldom read, nothing. */
  view(key: string): Uint8Array | undefined {
    const owned = this.#owned.get(key);
    if (owned !== undefined) return owned;
    const borrowed = this.#borrowed?.get(key);
    if (borrowed === undefined || borrowed.reads < READS_BEFORE_VIEWS) return undefined;
    const copy = new Uint8Array(borrowed.bytes);
    this.#owned.set(key, copy);
    this.#borrowed?.delete(key);
    return copy;
  }

  /** Takes a block over, which has been copied from `reads` times. */
  add(key: string, bytes: Uint8Array, reads: number): void {
    if (this.#borrowed === undefined) {
      this.#owned.set(key, bytes);
    } else if (this.#left.has(key)) {
      this.#left.delete(key);
      this.#owned.set(key, new Uint8Array(bytes));
      this.#release?.(bytes);
    } else {
      this.#borrowed.set(key, { bytes, reads });
      // One that is longer than all there is for it is not kept.
      if (!this.#borrowed.has(key)) this.#release?.(bytes);
    }
  }

  clear(): void {
    this.#owned.clear();
    this.#borrowed?.clear();
    this.#left.clear();
  }

  #leaves(key: string, bytes: Uint8Array): void {
    const hasRoom = this.#owned.calculatedSize + bytes.byteLength <= this.#owned.maxSize;
    if (hasRoom) this.#owned.set(key, new Uint8Array(bytes));
    else this.#left.set(key, bytes.byteLength);
  }
}

function borrowedShare(budgetBytes: number): number {
  const small = Math.min(budgetBytes / 2, BORROWED_BYTES_SMALL);
  return Math.floor(Math.min(BORROWED_BYTES_MAX, Math.max(budgetBytes * BORROWED_SHARE, small)));
}
