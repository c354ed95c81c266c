/** Who is registered with a unit, and who holds it. SPC-4 section 5.13. */

/** Reservation types. SPC-4 section 6.15.3.4. */
const RESERVATION_TYPE = {
  writeExclusive: 1,
  exclusiveAccess: 3,
  writeExclusiveRegistrantsOnly: 5,
  exclusiveAccessRegistrantsOnly: 6,
  writeExclusiveAllRegistrants: 7,
  exclusiveAccessAllRegistrants: 8,
} as const;

export type ReservationType = (typeof RESERVATION_TYPE)[keyof typeof RESERVATION_TYPE];

const ALL_TYPES: ReadonlySet<number> = new Set(Object.values(RESERVATION_TYPE));
const REGISTRANTS_SHARE: ReadonlySet<number> = new Set([5, 6, 7, 8]);
const ALL_REGISTRANTS: ReadonlySet<number> = new Set([7, 8]);
const EXCLUSIVE_ACCESS: ReadonlySet<number> = new Set([3, 6, 8]);
const MAX_REGISTRATIONS = 256;

export function isReservationType(type: number): type is ReservationType {
  return ALL_TYPES.has(type);
}

export interface Reservation {
  readonly type: ReservationType;
  /** The port that reserved; with the "all registrants" types every registered port holds it. */
  readonly holder: string;
}

/** Ports that must learn of a change, by what happened to them. */
export interface Told {
  readonly released: readonly string[];
  readonly preempted: readonly string[];
}

const NOBODY: Told = { released: [], preempted: [] };

/**
 * Registrations by initiator port. They outlive sessions and unit resets, and end with the target:
 * nothing is kept over power loss (APTPL is refused).
 */
export class PersistentReservations {
  readonly #keys = new Map<string, bigint>();
  #reservation: Reservation | undefined;
  #generation = 0;

  get generation(): number {
    return this.#generation;
  }

  get reservation(): Reservation | undefined {
    return this.#reservation;
  }

  get registrations(): ReadonlyMap<string, bigint> {
    return this.#keys;
  }

  get full(): boolean {
    return this.#keys.size >= MAX_REGISTRATIONS;
  }

  keyOf(port: string): bigint | undefined {
    return this.#keys.get(port);
  }

  isHolder(port: string): boolean {
    const held = this.#reservation;
    if (held === undefined) return false;
    return ALL_REGISTRANTS.has(held.type) ? this.#keys.has(port) : held.holder === port;
  }

  /** The key that READ RESERVATION shows: none when all registrants hold it. */
  get holderKey(): bigint {
    const held = this.#reservation;
    if (held === undefined || ALL_REGISTRANTS.has(held.type)) return 0n;
    return this.#keys.get(held.holder) ?? 0n;
  }

  /** Whether a port may do what changes (`write`) or only reads the medium. Table 51 of SPC-4. */
  allows(port: string, writes: boolean): boolean {
    const held = this.#reservation;
    if (held === undefined || this.isHolder(port)) return true;
    if (REGISTRANTS_SHARE.has(held.type) && this.#keys.has(port)) return true;
    return !writes && !EXCLUSIVE_ACCESS.has(held.type);
  }

  /** Registers `port`, or changes its key. Key 0 takes the registration back. */
  register(port: string, key: bigint): Told {
    const known = this.#keys.has(port);
    if (key === 0n && !known) return NOBODY;
    this.#generation += 1;
    if (key === 0n) return this.#unregister(port);
    this.#keys.set(port, key);
    return NOBODY;
  }

  reserve(port: string, type: ReservationType): void {
    this.#reservation = { type, holder: port };
  }

  /** Only for a holder. */
  release(port: string): Told {
    const held = this.#reservation;
    this.#reservation = undefined;
    if (held === undefined || !REGISTRANTS_SHARE.has(held.type)) return NOBODY;
    return { released: this.#others(port), preempted: [] };
  }

  clear(port: string): Told {
    const preempted = this.#others(port);
    this.#generation += 1;
    this.#keys.clear();
    this.#reservation = undefined;
    return { released: [], preempted };
  }

  /** Whether PREEMPT of `key` takes the reservation over, beside registrations. */
  takesOver(key: bigint): boolean {
    const held = this.#reservation;
    if (held === undefined) return false;
    return ALL_REGISTRANTS.has(held.type) ? key === 0n : this.holderKey === key;
  }

  hasKey(key: bigint): boolean {
    return [...this.#keys.values()].includes(key);
  }

  /**
   * Takes the registrations with `key` away, all others' when it is 0, and the reservation with
   * them when it is theirs. SPC-4 section 5.13.11.4.
   */
  preempt(port: string, key: bigint, type: ReservationType): Told {
    const held = this.#reservation;
    const takesOver = this.takesOver(key);
    this.#generation += 1;
    const preempted = this.#others(port).filter(
      (other) => key === 0n || this.#keys.get(other) === key,
    );
    for (const other of preempted) this.#keys.delete(other);
    if (!takesOver || held === undefined) return { released: [], preempted };
    this.#reservation = { type, holder: port };
    const released = held.type === type ? [] : this.#others(port);
    return { released, preempted };
  }

  #unregister(port: string): Told {
    const wasHolder = this.isHolder(port);
    this.#keys.delete(port);
    const held = this.#reservation;
    if (!wasHolder || held === undefined) return NOBODY;
    // The "all registrants" types end with their last holder.
    if (ALL_REGISTRANTS.has(held.type) && this.#keys.size > 0) return NOBODY;
    this.#reservation = undefined;
    if (!REGISTRANTS_SHARE.has(held.type)) return NOBODY;
    return { released: [...this.#keys.keys()], preempted: [] };
  }

  #others(port: string): readonly string[] {
    return [...this.#keys.keys()].filter((other) => other !== port);
  }
}
