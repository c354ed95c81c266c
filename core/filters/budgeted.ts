import {
  type BlockSource,
  type Extent,
  extentsOf,
  type SectorSize,
  type SparseSource,
} from '../block-source.ts';
import type { Budget } from '../budget.ts';

/** Charges every read of `next` to `budget`. */
export function budgeted(next: BlockSource, budget: Budget): SparseSource {
  return new Budgeted(next, budget);
}

class Budgeted implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #next: BlockSource;
  readonly #budget: Budget;

  constructor(next: BlockSource, budget: Budget) {
    this.#next = next;
    this.#budget = budget;
    this.size = next.size;
    this.sectorSize = next.sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    this.#budget.spendRead(target.byteLength);
    await this.#next.readInto(target, offset, signal);
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    this.#budget.spendRead(length);
    return this.#next.peek(offset, length);
  }

  extents(offset: number, length: number, signal?: AbortSignal): AsyncIterable<Extent> {
    return extentsOf(this.#next, offset, length, signal);
  }

  close(): Promise<void> {
    return this.#next.close();
  }
}
