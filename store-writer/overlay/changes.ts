import type { PageRun, PageState } from './page-map.ts';

/** Changes of the map that storage does not know yet, in the order in which they were made. */
export class PendingChanges {
  #runs: PageRun[] = [];
  #beingWritten = 0;

  /** Those under way to storage included: room must be kept for all. */
  get count(): number {
    return this.#runs.length + this.#beingWritten;
  }

  add(first: number, count: number, state: PageState): void {
    const last = this.#runs.at(-1);
    if (last?.state === state && last.first + last.count === first) {
      this.#runs[this.#runs.length - 1] = { first: last.first, count: last.count + count, state };
    } else {
      this.#runs.push({ first, count, state });
    }
  }

  /** Takes all, to be written; {@link written} or {@link putBack} must follow. */
  take(): readonly PageRun[] {
    const taken = this.#runs;
    this.#runs = [];
    this.#beingWritten = taken.length;
    return taken;
  }

  written(): void {
    this.#beingWritten = 0;
  }

  putBack(runs: readonly PageRun[]): void {
    this.#runs = [...runs, ...this.#runs];
    this.#beingWritten = 0;
  }
}
