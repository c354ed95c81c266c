import { RestoreError } from '../../core/index.ts';

/** How long, and for how much, the file system's last answer is good. */
const TRUST_MS = 1_000;
const TRUST_BYTES = 32 * 1024 * 1024;

export interface RoomLimits {
  /** Bytes of data that the overlay may hold. */
  readonly sizeLimitBytes: number;
  /** Bytes that stay free on the file system, for everybody else. */
  readonly freeSpaceFloorBytes: number;
}

/** Says whether an overlay may grow. The file system is asked now and then, not at every write. */
export class Room {
  readonly #limits: RoomLimits;
  readonly #freeBytes: () => number;
  readonly #object: string;
  #allowanceBytes = 0;
  #validUntilMs = 0;

  constructor(limits: RoomLimits, freeBytes: () => number, object: string) {
    this.#limits = limits;
    this.#freeBytes = freeBytes;
    this.#object = object;
  }

  /**
   * Takes room for `newBytes` more than the `usedBytes` of data there are.
   *
   * @throws RestoreError `NO_SPACE`.
   */
  take(newBytes: number, usedBytes: number): void {
    if (newBytes === 0) return;
    const { sizeLimitBytes } = this.#limits;
    if (usedBytes + newBytes > sizeLimitBytes) {
      throw new RestoreError('NO_SPACE', 'the overlay has reached its size limit', {
        where: { object: this.#object, expected: `at most ${sizeLimitBytes} bytes of data` },
        hint: 'Discard what is not needed, commit or export it, or make an overlay with a larger limit.',
      });
    }
    const nowMs = performance.now();
    if (nowMs > this.#validUntilMs || newBytes > this.#allowanceBytes) this.#ask(newBytes, nowMs);
    this.#allowanceBytes -= newBytes;
  }

  #ask(newBytes: number, nowMs: number): void {
    const { freeSpaceFloorBytes } = this.#limits;
    const freeBytes = this.#freeBytes();
    const spareBytes = freeBytes - freeSpaceFloorBytes;
    if (spareBytes < newBytes) {
      throw new RestoreError('NO_SPACE', 'the file system of the overlay is down to its floor', {
        where: {
          object: this.#object,
          expected: `at least ${freeSpaceFloorBytes} bytes left free`,
          found: `${freeBytes} bytes free`,
        },
        hint: 'Free space on that file system; reads go on meanwhile.',
      });
    }
    // The nearer the floor, the shorter the trust: others write there too.
    this.#allowanceBytes = Math.max(newBytes, Math.min(TRUST_BYTES, spareBytes / 4));
    this.#validUntilMs = nowMs + TRUST_MS;
  }
}
