import { type Budget, RestoreError } from '../../../../../core/index.ts';
import type { JournalFile } from '../journal-file.ts';

/**
 * Blocks that a replay writes: changed ones, and fresh ones for what did not exist. Fresh ones lie
 * where the journal lies, the one place on the volume that certainly no file uses, and that nobody
 * reads any more once it is replayed.
 */
export class Scratch {
  readonly blocks = new Map<number, Uint8Array>();
  readonly blockSize: number;
  readonly #file: JournalFile;
  readonly #budget: Budget;
  #used = 0;

  constructor(file: JournalFile, budget: Budget) {
    this.#file = file;
    this.#budget = budget;
    this.blockSize = file.blockSize;
  }

  put(block: number, content: Uint8Array): void {
    if (!this.blocks.has(block)) this.#budget.hold(this.blockSize);
    this.blocks.set(block, content);
  }

  /**
   * A block of zeros that no file uses.
   *
   * @throws RestoreError `UNSUPPORTED` when the journal is too small to lend more.
   */
  fresh(): { readonly block: number; readonly content: Uint8Array } {
    if (this.#used >= this.#file.length) {
      throw new RestoreError(
        'UNSUPPORTED',
        'the fast commits need more blocks than the journal has',
        {
          where: { expected: `at most ${this.#file.length}` },
        },
      );
    }
    const block = this.#file.offsetOf(this.#used) / this.blockSize;
    this.#used += 1;
    const content = new Uint8Array(this.blockSize);
    this.put(block, content);
    return { block, content };
  }
}
