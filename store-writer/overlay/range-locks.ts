type Mode = 'read' | 'write';

interface Held {
  readonly start: number;
  readonly end: number;
  readonly mode: Mode;
  readonly released: Promise<void>;
}

/**
 * Keeps operations that take their time apart: writes from everything that overlaps them, reads from
 * writes. First come, first served, so nobody waits for someone who came later. What is done within
 * one turn of the event loop needs no lock, only {@link RangeLocks.isFree}.
 */
export class RangeLocks {
  readonly #held = new Set<Held>();

  /** Whether `[start, end)` can be used at once. */
  isFree(start: number, end: number, mode: Mode): boolean {
    if (this.#held.size === 0) return true;
    for (const other of this.#held) if (conflicts(other, start, end, mode)) return false;
    return true;
  }

  /** Waits for its turn. @returns what gives the range back. */
  async acquire(start: number, end: number, mode: Mode): Promise<() => void> {
    const before: Promise<void>[] = [];
    for (const other of this.#held) {
      if (conflicts(other, start, end, mode)) before.push(other.released);
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const mine: Held = { start, end, mode, released: promise };
    this.#held.add(mine);
    if (before.length > 0) await Promise.all(before);
    return () => {
      this.#held.delete(mine);
      resolve();
    };
  }

  /** Waits until all that is held now has been given back. */
  async drain(): Promise<void> {
    await Promise.all([...this.#held].map(({ released }) => released));
  }
}

function conflicts(other: Held, start: number, end: number, mode: Mode): boolean {
  if (other.end <= start || other.start >= end) return false;
  return mode === 'write' || other.mode === 'write';
}
