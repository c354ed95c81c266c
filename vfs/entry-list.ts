import { PackedEntries } from './packed-entries.ts';
import type { TreeEntry } from './place.ts';

/** Entries kept as they came: more than that are packed. */
const PLAIN_MAX = 32_768;
/** Entries that are taken out of a packed list at once. */
const PART_ENTRIES = 8192;

/** Entries of one directory, of which there may be millions. */
export class EntryList {
  #plain: TreeEntry[] = [];
  #packed: PackedEntries | undefined;

  get length(): number {
    return this.#packed?.length ?? this.#plain.length;
  }

  add(entry: TreeEntry): void {
    if (this.#packed !== undefined) {
      this.#packed.add(entry);
      return;
    }
    this.#plain.push(entry);
    if (this.#plain.length <= PLAIN_MAX) return;
    this.#packed = new PackedEntries();
    for (const each of this.#plain) this.#packed.add(each);
    this.#plain = [];
  }

  /** By name, by code units: the same everywhere. */
  sort(): void {
    if (this.#packed === undefined) this.#plain.sort(byName);
    else this.#packed.sort();
  }

  at(index: number): TreeEntry {
    return this.#packed?.at(index) ?? (this.#plain[index] as TreeEntry);
  }

  /** All in their order, in parts; one part when there are not many, and when there are none. */
  *parts(): Generator<readonly TreeEntry[]> {
    const packed = this.#packed;
    if (packed === undefined) {
      yield this.#plain;
      return;
    }
    for (let from = 0; from < packed.length; from += PART_ENTRIES) {
      const part: TreeEntry[] = [];
      const end = Math.min(packed.length, from + PART_ENTRIES);
      for (let index = from; index < end; index += 1) part.push(packed.at(index));
      yield part;
    }
  }
}

function byName(a: TreeEntry, b: TreeEntry): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
