import { type Budget, RestoreError, type SparseSource } from '../../../../core/index.ts';

/** A stretch of the journal that lies in one piece, in blocks. */
export interface JournalRun {
  /** Its first block, counted from the journal's beginning. */
  readonly first: number;
  readonly count: number;
  /** Where that lies on the volume. */
  readonly block: number;
}

/** The journal's blocks, wherever they lie on the volume. */
export class JournalFile {
  readonly blockSize: number;
  /** Blocks that it has. */
  readonly length: number;
  readonly #volume: SparseSource;
  readonly #budget: Budget;
  readonly #runs: readonly JournalRun[];

  /** @param runs ascending, without gaps, inside the volume. */
  constructor(
    volume: SparseSource,
    budget: Budget,
    blockSize: number,
    runs: readonly JournalRun[],
  ) {
    this.#volume = volume;
    this.#budget = budget;
    this.#runs = runs;
    this.blockSize = blockSize;
    this.length = runs.reduce((sum, { count }) => sum + count, 0);
  }

  /**
   * @returns a view that must not be written to.
   * @throws RestoreError `CORRUPT` when the journal has no such block.
   */
  async read(index: number): Promise<Uint8Array> {
    this.#budget.checkTime();
    const offset = this.offsetOf(index);
    const view = this.#volume.peek(offset, this.blockSize);
    if (view !== undefined) return view;
    const block = new Uint8Array(this.blockSize);
    await this.#volume.readInto(block, offset);
    return block;
  }

  /** Where the block lies on the volume, in bytes. */
  offsetOf(index: number): number {
    const run = this.#runs[this.#runOf(index)];
    if (run === undefined || index < run.first) {
      throw new RestoreError('CORRUPT', 'the journal points behind its end', {
        where: { structure: 'journal', expected: `below ${this.length}`, found: index },
      });
    }
    return (run.block + index - run.first) * this.blockSize;
  }

  /** True when the volume's block `block` belongs to the journal. */
  holds(block: number): boolean {
    return this.#runs.some((run) => block >= run.block && block < run.block + run.count);
  }

  /** Index of the run that holds the block, by halving. */
  #runOf(index: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const run = this.#runs[middle] as JournalRun;
      if (run.first + run.count <= index) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
