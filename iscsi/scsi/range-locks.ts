/** One operation on a range of the medium, from its arrival to its end. */
export interface RangeLock {
  readonly startBytes: number;
  readonly endBytes: number;
}

interface Entry extends RangeLock {
  /** Earlier operations on a part of the range that have not ended. */
  blockers: number;
  readonly waiters: Entry[];
  granted: () => void;
}

/**
 * Lets changes of overlapping ranges happen one after the other, in the order in which they came;
 * others never wait. So COMPARE AND WRITE is atomic against every other change, and a write that a
 * lost session left behind cannot land on top of a newer one.
 *
 * One operation holds one range at a time, so nothing can wait in a circle. The list is as long as
 * the commands under way are many.
 */
export class RangeLocks {
  readonly #entries = new Set<Entry>();
  #idle: (() => void)[] = [];

  /** Asks for a range. `ready` is `undefined` when it is held at once. */
  take(startBytes: number, lengthBytes: number): { lock: RangeLock; ready?: Promise<void> } {
    const endBytes = startBytes + lengthBytes;
    const entry: Entry = { startBytes, endBytes, blockers: 0, waiters: [], granted: () => {} };
    for (const other of this.#entries) {
      if (other.startBytes >= endBytes || startBytes >= other.endBytes) continue;
      other.waiters.push(entry);
      entry.blockers += 1;
    }
    this.#entries.add(entry);
    if (entry.blockers === 0) return { lock: entry };
    const ready = new Promise<void>((resolve) => {
      entry.granted = resolve;
    });
    return { lock: entry, ready };
  }

  release(lock: RangeLock): void {
    const entry = lock as Entry;
    this.#entries.delete(entry);
    for (const waiter of entry.waiters) {
      waiter.blockers -= 1;
      if (waiter.blockers === 0) waiter.granted();
    }
    if (this.#entries.size > 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }

  /** Resolves when no range is held. */
  async whenIdle(): Promise<void> {
    if (this.#entries.size === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }
}
