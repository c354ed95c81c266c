const LAST = 0x40;
const ORDINAL = 0x3f;
const UNITS_PER_ENTRY = 13;
const ENTRIES_MAX = 20;
const UNITS_MAX = 255;
const CHECKSUM_AT = 13;
/** LDIR_Name1, LDIR_Name2, LDIR_Name3: byte offset and count of units. */
const PIECES = [
  [1, 5],
  [14, 6],
  [28, 2],
] as const;

/**
 * Puts a long name together from the entries before a short one ("FAT Long Directory Entries"): they
 * come last piece first, numbered down to 1, each with the checksum of the short name. What does not
 * fit that is an orphan, and the short name holds.
 */
export class LongName {
  readonly #units = new Uint16Array(ENTRIES_MAX * UNITS_PER_ENTRY);
  #entryCount = 0;
  /** The number that comes next; 0 when the name is whole. */
  #awaited = -1;
  #checksum = 0;

  /** Forgets what was gathered. */
  clear(): void {
    this.#awaited = -1;
  }

  /** Takes the long entry at `at`. */
  add(view: DataView, at: number): void {
    const order = view.getUint8(at);
    const checksum = view.getUint8(at + CHECKSUM_AT);
    const ordinal = order & ORDINAL;
    if ((order & LAST) !== 0 && ordinal >= 1 && ordinal <= ENTRIES_MAX) {
      this.#entryCount = ordinal;
      this.#checksum = checksum;
    } else if (ordinal === 0 || ordinal !== this.#awaited || checksum !== this.#checksum) {
      this.clear();
      return;
    }
    this.#awaited = ordinal - 1;
    let to = (ordinal - 1) * UNITS_PER_ENTRY;
    for (const [offset, count] of PIECES) {
      for (let index = 0; index < count; index += 1) {
        this.#units[to] = view.getUint16(at + offset + index * 2, true);
        to += 1;
      }
    }
  }

  /** The name when it is whole and belongs to a short name of that checksum; forgets it. */
  take(checksum: number): string | undefined {
    const isWhole = this.#awaited === 0 && this.#checksum === checksum;
    this.clear();
    if (!isWhole) return undefined;
    const stored = this.#units.subarray(0, this.#entryCount * UNITS_PER_ENTRY);
    const end = stored.indexOf(0);
    const units = end < 0 ? stored : stored.subarray(0, end);
    if (units.length === 0 || units.length > UNITS_MAX) return undefined;
    const name = String.fromCharCode(...units);
    return name === '.' || name === '..' ? undefined : name;
  }
}
