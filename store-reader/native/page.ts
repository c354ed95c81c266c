import { layout, RestoreError } from '../../core/index.ts';
import {
  type BlockReference,
  ENTRY_BYTES,
  FANOUT,
  FLAG_ZERO,
  ID_BYTES,
  isZeroEntry,
  PACK_ID_BYTES,
} from './format.ts';

const MAGIC = 0x4750_4852; // 'RHPG'
const HEADER_BYTES = 16;

const Header = {
  magic: layout.u32le(0),
  level: layout.u8(4),
  entryCount: layout.u16le(6),
  packCount: layout.u16le(8),
} as const;

const Entry = {
  id: layout.bytes(0, ID_BYTES),
  packNumber: layout.u32le(32),
  offset: layout.u32le(36),
  lengthAndFlags: layout.u32le(40),
} as const;

/** A slot of a page: a stored block or subtree, or `undefined` for one that is all zeros. */
export type PageEntry = BlockReference | undefined;

/**
 * A decoded page of a block map: up to {@link FANOUT} entries. At level 0 they are blocks, above it
 * pages of the level below.
 */
export class Page {
  readonly level: number;
  readonly count: number;
  readonly #view: DataView;
  readonly #entriesAt: number;
  readonly #packs: readonly string[];
  readonly #decoded: (BlockReference | null | undefined)[];

  private constructor(view: DataView, level: number, count: number, packs: readonly string[]) {
    this.#view = view;
    this.level = level;
    this.count = count;
    this.#packs = packs;
    this.#entriesAt = HEADER_BYTES + packs.length * PACK_ID_BYTES;
    this.#decoded = new Array<BlockReference | null | undefined>(count);
  }

  /**
   * Checks the whole structure once, so that {@link entry} need not.
   *
   * @throws RestoreError `CORRUPT`.
   */
  static decode(data: Uint8Array): Page {
    const view = layout.viewOf(data);
    check('magic', Header.magic(view), MAGIC);
    const count = Header.entryCount(view);
    const packCount = Header.packCount(view);
    if (count > FANOUT || packCount > FANOUT) check('counts', Math.max(count, packCount), FANOUT);
    check('size', data.byteLength, HEADER_BYTES + packCount * PACK_ID_BYTES + count * ENTRY_BYTES);
    const packs: string[] = [];
    for (let index = 0; index < packCount; index += 1) {
      const at = HEADER_BYTES + index * PACK_ID_BYTES;
      packs.push(Buffer.from(data.subarray(at, at + PACK_ID_BYTES)).toString('hex'));
    }
    const page = new Page(view, Header.level(view), count, packs);
    page.#checkPackNumbers();
    return page;
  }

  /** The entry in slot `index`; the same object every time it is asked for. */
  entry(index: number): PageEntry {
    const known = this.#decoded[index];
    if (known !== undefined) return known ?? undefined;
    const entry = this.#decode(index);
    this.#decoded[index] = entry ?? null;
    return entry;
  }

  /** Whether a slot holds the same content in two pages, told without making entries of it. */
  hasSame(other: Page, index: number): boolean {
    const one = this.#idAt(index);
    const two = other.#idAt(index);
    if (one === undefined || two === undefined) return one === two;
    for (let at = 0; at < ID_BYTES; at += 4) {
      if (this.#view.getUint32(one + at) !== other.#view.getUint32(two + at)) return false;
    }
    return true;
  }

  /** Bytes it takes in memory, roughly, for cache budgets. */
  get sizeBytes(): number {
    return this.#view.byteLength * 3;
  }

  /** Packs that its entries lie in. */
  get packs(): readonly string[] {
    return this.#packs;
  }

  #decode(index: number): PageEntry {
    if (index >= this.count) return undefined;
    const at = this.#entriesAt + index * ENTRY_BYTES;
    const lengthAndFlags = Entry.lengthAndFlags(this.#view, at);
    const flags = lengthAndFlags >>> 24;
    if (isZeroEntry(flags)) return undefined;
    return {
      id: Entry.id(this.#view, at),
      pack: this.#packs[Entry.packNumber(this.#view, at)] as string,
      offset: Entry.offset(this.#view, at),
      length: lengthAndFlags & 0xff_ffff,
      flags,
    };
  }

  /** Where the entry begins; `undefined` for zeros. */
  #idAt(index: number): number | undefined {
    if (index >= this.count) return undefined;
    const at = this.#entriesAt + index * ENTRY_BYTES;
    return isZeroEntry(Entry.lengthAndFlags(this.#view, at) >>> 24) ? undefined : at;
  }

  #checkPackNumbers(): void {
    for (let index = 0; index < this.count; index += 1) {
      const at = this.#entriesAt + index * ENTRY_BYTES;
      if (isZeroEntry(Entry.lengthAndFlags(this.#view, at) >>> 24)) continue;
      const number = Entry.packNumber(this.#view, at);
      if (number >= this.#packs.length) {
        check('pack number', number, `below ${this.#packs.length}`);
      }
    }
  }
}

/** Encodes a page. `entries` has one item a slot. */
export function encodePage(level: number, entries: readonly PageEntry[]): Uint8Array<ArrayBuffer> {
  const packs = new Map<string, number>();
  for (const entry of entries) {
    if (entry !== undefined && !packs.has(entry.pack)) packs.set(entry.pack, packs.size);
  }
  const entriesAt = HEADER_BYTES + packs.size * PACK_ID_BYTES;
  const data = new Uint8Array(entriesAt + entries.length * ENTRY_BYTES);
  const view = layout.viewOf(data);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, level);
  view.setUint16(6, entries.length, true);
  view.setUint16(8, packs.size, true);
  for (const [pack, number] of packs) {
    data.set(Buffer.from(pack, 'hex'), HEADER_BYTES + number * PACK_ID_BYTES);
  }
  entries.forEach((entry, index) => {
    const at = entriesAt + index * ENTRY_BYTES;
    if (entry === undefined) {
      view.setUint32(at + 40, FLAG_ZERO * 2 ** 24, true);
      return;
    }
    data.set(entry.id, at);
    view.setUint32(at + 32, packs.get(entry.pack) as number, true);
    view.setUint32(at + 36, entry.offset, true);
    view.setUint32(at + 40, (entry.flags * 2 ** 24 + entry.length) >>> 0, true);
  });
  return data;
}

function check(what: string, found: number, expected: number | string): void {
  if (found === expected) return;
  throw new RestoreError('CORRUPT', `an index page has a wrong ${what}`, {
    where: { structure: 'index page', expected, found },
  });
}
