/**
 * Slows down guessing. After a few failures from one address against one target, each further
 * attempt from there waits *before* it is judged, so that hanging up early gains nothing. Others
 * never wait.
 */

const FREE_FAILURES = 3;
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 4_000;
/** An attempt that would queue longer than this is turned away unjudged. */
const LONGEST_QUEUE_MS = 8_000;
const FORGET_AFTER_MS = 120_000;
const MAX_ENTRIES = 4_096;

interface Entry {
  failures: number;
  lastAtMs: number;
  /** When the next attempt may be judged. */
  nextAtMs: number;
}

export class LoginThrottle {
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /**
   * Books a turn for an attempt.
   *
   * @returns how long it must wait in milliseconds, or `undefined` when too many wait already.
   */
  admit(address: string, target: string): number | undefined {
    const entry = this.#entries.get(keyOf(address, target));
    const now = this.#now();
    if (entry === undefined || entry.failures < FREE_FAILURES) return 0;
    if (now - entry.lastAtMs > FORGET_AFTER_MS) {
      this.#entries.delete(keyOf(address, target));
      return 0;
    }
    const turnMs = Math.max(now, entry.nextAtMs);
    if (turnMs - now > LONGEST_QUEUE_MS) return undefined;
    const doublings = Math.min(entry.failures - FREE_FAILURES, 16);
    const delayMs = Math.min(FIRST_DELAY_MS * 2 ** doublings, LONGEST_DELAY_MS);
    entry.nextAtMs = turnMs + delayMs;
    return entry.nextAtMs - now;
  }

  failed(address: string, target: string): void {
    const key = keyOf(address, target);
    const before = this.#entries.get(key);
    const now = this.#now();
    this.#entries.delete(key);
    this.#entries.set(key, {
      failures: (before?.failures ?? 0) + 1,
      lastAtMs: now,
      nextAtMs: before?.nextAtMs ?? now,
    });
    if (this.#entries.size <= MAX_ENTRIES) return;
    const oldest = this.#entries.keys().next().value;
    if (oldest !== undefined) this.#entries.delete(oldest);
  }

  succeeded(address: string, target: string): void {
    this.#entries.delete(keyOf(address, target));
  }
}

/** One IPv6 subscriber has a whole /64; count it as one address. */
function keyOf(address: string, target: string): string {
  const source = address.includes(':') ? address.split(':').slice(0, 4).join(':') : address;
  return `${source} ${target}`;
}
