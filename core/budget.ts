import { RestoreError } from './errors.ts';

export interface BudgetLimits {
  /** Bytes that one call may read from the volume. */
  readonly readBytes: number;
  /** Wall-clock time of one call, in milliseconds. */
  readonly timeMs: number;
  /** Bytes that one call may hold at once in tables and buffers. */
  readonly memoryBytes: number;
}

const BUDGET_DEFAULT: BudgetLimits = {
  readBytes: 4 * 1024 ** 3,
  timeMs: 10_000,
  memoryBytes: 256 * 1024 ** 2,
};

/**
 * What one call on hostile bytes may use. Loops over disk data have bounds of their own; this is
 * what holds when a million small, valid steps add up. `renew` begins the next call.
 */
export class Budget {
  readonly limits: BudgetLimits;
  #readBytes = 0;
  #heldBytes = 0;
  #deadlineMs: number;

  constructor(limits: Partial<BudgetLimits> = {}) {
    this.limits = { ...BUDGET_DEFAULT, ...limits };
    this.#deadlineMs = performance.now() + this.limits.timeMs;
  }

  /** Begins a new call: nothing read, the clock at its start. What is held stays held. */
  renew(): void {
    this.#readBytes = 0;
    this.#deadlineMs = performance.now() + this.limits.timeMs;
  }

  /** @throws RestoreError `LIMIT` when the reads or the time are used up. */
  spendRead(byteCount: number): void {
    this.#readBytes += byteCount;
    if (this.#readBytes > this.limits.readBytes) {
      throw exceeded('reads', `${this.limits.readBytes} bytes`);
    }
    this.checkTime();
  }

  /**
   * Call now and then in loops that work without reading.
   *
   * @throws RestoreError `LIMIT` when the time is used up.
   */
  checkTime(): void {
    if (performance.now() > this.#deadlineMs) throw exceeded('time', `${this.limits.timeMs} ms`);
  }

  /**
   * Before allocating by a size that the volume states.
   *
   * @throws RestoreError `LIMIT` when the memory is used up.
   */
  hold(byteCount: number): void {
    if (this.#heldBytes + byteCount > this.limits.memoryBytes) {
      throw exceeded('memory', `${this.limits.memoryBytes} bytes`);
    }
    this.#heldBytes += byteCount;
  }

  release(byteCount: number): void {
    this.#heldBytes -= byteCount;
  }
}

function exceeded(what: string, expected: string): RestoreError {
  return new RestoreError('LIMIT', `a call used up its ${what}`, {
    where: { expected: `at most ${expected}` },
    hint: 'The volume is damaged or hostile, or far larger than usual. Export the disk instead, or raise the limit.',
  });
}
