import type { NameEntry } from './index-node.ts';
import { NAMESPACE } from './layout.ts';

/** A name that is shown, with the short one of the same file. */
export interface PairedName {
  readonly entry: NameEntry;
  readonly shortName?: string;
}

/**
 * Joins the long and the short name that one file has in one directory: two entries there, which may
 * be far apart. Long names without their short one yet wait; at the end they are shown without, and
 * short names that stayed alone as names of their own, so that no file is missing.
 */
export class NamePairs {
  readonly #long = new Map<number, NameEntry>();
  readonly #short = new Map<number, NameEntry>();

  add(entries: readonly NameEntry[]): PairedName[] {
    const ready: PairedName[] = [];
    for (const entry of entries) {
      if (entry.namespace === NAMESPACE.DOS) this.#addShort(entry, ready);
      else if (entry.namespace === NAMESPACE.WINDOWS) this.#addLong(entry, ready);
      else ready.push({ entry });
    }
    return ready;
  }

  rest(): PairedName[] {
    const left = [...this.#long.values(), ...this.#short.values()];
    this.#long.clear();
    this.#short.clear();
    return left.map((entry) => ({ entry }));
  }

  #addLong(entry: NameEntry, ready: PairedName[]): void {
    const short = this.#short.get(entry.number);
    if (short !== undefined && short.sequence === entry.sequence) {
      this.#short.delete(entry.number);
      ready.push({ entry, shortName: short.name });
    } else if (this.#long.has(entry.number)) {
      ready.push({ entry });
    } else {
      this.#long.set(entry.number, entry);
    }
  }

  #addShort(short: NameEntry, ready: PairedName[]): void {
    const entry = this.#long.get(short.number);
    if (entry !== undefined && short.sequence === entry.sequence) {
      this.#long.delete(short.number);
      ready.push({ entry, shortName: short.name });
    } else if (this.#short.has(short.number)) {
      ready.push({ entry: short });
    } else {
      this.#short.set(short.number, short);
    }
  }
}
