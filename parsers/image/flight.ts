/** Reads under way at once by one call. More would only queue in the thread pool. */
const IN_FLIGHT_COUNT = 8;

/** A bounded set of reads that belong to one call and end with it. */
export class Flight {
  readonly #running = new Set<Promise<void>>();
  #failed = false;
  #error: unknown;

  /** Takes a read in, waiting while too many are under way. Throws early once one has failed. */
  async add(read: Promise<void> | undefined): Promise<void> {
    if (read === undefined) return;
    const tracked: Promise<void> = read
      .catch((error: unknown) => {
        if (!this.#failed) this.#error = error;
        this.#failed = true;
      })
      .finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
    if (this.#running.size >= IN_FLIGHT_COUNT) await Promise.race(this.#running);
    this.throwFirst();
  }

  /** Resolves when none is under way. Never throws. */
  async landed(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** Throws what the first failed read threw. */
  throwFirst(): void {
    if (this.#failed) throw this.#error;
  }
}
