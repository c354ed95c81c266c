import {
  type BlockSource,
  Budget,
  type Finding,
  layout,
  readBytes,
  RestoreError,
} from '../../core/index.ts';

/**
 * A Windows registry hive, as far as reading values of a known key needs: "Windows registry file format
 * specification" (msuhanov/regf). A hive that was in use is read as it lies; its logs are not applied.
 */
const BASE_BYTES = 4096;
const CELL_BYTES_MAX = 1024 * 1024;
/** Of a key and of a value, up to the end of the longest name. */
const KEY_BYTES_MAX = 2048;
const VALUE_BYTES_MAX = 64 * 1024;
/** Cells are small, and may be named by any number of lists. */
const READ_BYTES_MAX = 256 * 1024 * 1024;
const SUBKEYS_MAX = 65_536;
const VALUES_MAX = 65_536;
const NO_CELL = 0xffff_ffff;
const NAME_IS_LATIN = { key: 0x20, value: 0x01 } as const;
const DATA_INLINE = 0x8000_0000;
const BIG_DATA_FROM = 16_344;

/** Base block. */
const Base = {
  magic: layout.text(0, 4, 'latin1'),
  sequence1: layout.u32le(4),
  sequence2: layout.u32le(8),
  rootCell: layout.u32le(36),
  checksum: layout.u32le(508),
} as const;
/** Key node, from the cell's data on. */
const Key = {
  flags: layout.u16le(2),
  subkeyCount: layout.u32le(20),
  subkeysCell: layout.u32le(28),
  valueCount: layout.u32le(36),
  valuesCell: layout.u32le(40),
  nameLength: layout.u16le(72),
} as const;
const KEY_NAME_AT = 76;
/** Key value. */
const Value = {
  nameLength: layout.u16le(2),
  dataSize: layout.u32le(4),
  dataCell: layout.u32le(8),
  flags: layout.u16le(16),
} as const;
const VALUE_NAME_AT = 20;

export interface HiveValue {
  readonly name: string;
  readonly data: Uint8Array;
}

export class Hive {
  readonly findings: readonly Finding[];
  readonly #source: BlockSource;
  readonly #root: number;
  readonly #budget = new Budget({ readBytes: READ_BYTES_MAX });

  private constructor(source: BlockSource, root: number, findings: readonly Finding[]) {
    this.#source = source;
    this.#root = root;
    this.findings = findings;
  }

  /** @throws RestoreError `CORRUPT` when it is no hive. */
  static async open(source: BlockSource): Promise<Hive> {
    if (source.size < BASE_BYTES) throw damaged(0, 'a base block', `${source.size} bytes`);
    const bytes = await readBytes(source, 0, BASE_BYTES);
    const view = layout.viewOf(bytes);
    if (Base.magic(view) !== 'regf') throw damaged(0, 'regf', 'other bytes');
    const findings: Finding[] = [];
    if (Base.sequence1(view) !== Base.sequence2(view)) {
      findings.push({
        message: 'the registry was in use: its last changes are in its logs, which are not read',
      });
    }
    if (Base.checksum(view) !== baseChecksum(view)) {
      findings.push({ message: 'the registry hive has a wrong checksum' });
    }
    return new Hive(source, Base.rootCell(view), findings);
  }

  /**
   * All values of a key.
   *
   * @param path names from the root down, in any case.
   * @returns `undefined` when there is no such key.
   * @throws RestoreError `CORRUPT`, `LIMIT`.
   */
  async values(path: readonly string[]): Promise<HiveValue[] | undefined> {
    this.#budget.renew();
    let key: DataView | undefined = await this.#cell(this.#root, KEY_BYTES_MAX, 'nk');
    for (const name of path) {
      key = await this.#subkey(key, name);
      if (key === undefined) return undefined;
    }
    const count = Key.valueCount(key);
    if (count === 0) return [];
    if (count > VALUES_MAX) throw tooMany('values', count);
    const list = await this.#cell(Key.valuesCell(key), CELL_BYTES_MAX);
    const values: HiveValue[] = [];
    for (let index = 0; index < count; index += 1) {
      values.push(await this.#value(layout.u32le(index * 4)(list)));
    }
    return values;
  }

  async #subkey(parent: DataView, name: string): Promise<DataView | undefined> {
    if (Key.subkeyCount(parent) === 0) return undefined;
    const wanted = name.toLowerCase();
    for (const cell of await this.#subkeyCells(Key.subkeysCell(parent), 0)) {
      const key = await this.#cell(cell, KEY_BYTES_MAX, 'nk');
      const isLatin = (Key.flags(key) & NAME_IS_LATIN.key) !== 0;
      const found = nameAt(key, KEY_NAME_AT, Key.nameLength(key), isLatin);
      if (found.toLowerCase() === wanted) return key;
    }
    return undefined;
  }

  /** Lists of keys (`lf`, `lh`, `li`), or a list of such lists (`ri`). */
  async #subkeyCells(cell: number, depth: number): Promise<number[]> {
    const list = await this.#cell(cell, CELL_BYTES_MAX);
    const mark = layout.text(0, 2, 'latin1')(list);
    const count = layout.u16le(2)(list);
    const step = mark === 'lf' || mark === 'lh' ? 8 : 4;
    if (step === 4 && mark !== 'li' && mark !== 'ri') throw damaged(cell, 'a list of keys', mark);
    if (mark === 'ri' && depth > 0)
      throw damaged(cell, 'a list of keys', 'a list of lists in another');
    const cells = Array.from({ length: count }, (_, index) => layout.u32le(4 + index * step)(list));
    if (mark !== 'ri') return cells;
    const all: number[] = [];
    for (const inner of cells) {
      all.push(...(await this.#subkeyCells(inner, depth + 1)));
      if (all.length > SUBKEYS_MAX) throw tooMany('keys', all.length);
    }
    return all;
  }

  async #value(cell: number): Promise<HiveValue> {
    const value = await this.#cell(cell, VALUE_BYTES_MAX, 'vk');
    const isLatin = (Value.flags(value) & NAME_IS_LATIN.value) !== 0;
    const name = nameAt(value, VALUE_NAME_AT, Value.nameLength(value), isLatin);
    const stated = Value.dataSize(value);
    const size = stated & 0x7fff_ffff;
    if (stated >= DATA_INLINE) {
      if (size > 4) throw damaged(cell, 'at most 4 bytes in place', `${size}`);
      return { name, data: layout.bytes(8, size)(value).slice() };
    }
    if (size === 0) return { name, data: new Uint8Array(0) };
    if (size > BIG_DATA_FROM) {
      throw new RestoreError('UNSUPPORTED', 'a registry value in several pieces', {
        where: { structure: 'registry value', offset: cell, found: `${size} bytes` },
      });
    }
    const data = await this.#cell(Value.dataCell(value), size);
    return { name, data: layout.bytes(0, size)(data).slice() };
  }

  /**
   * A cell's data, as much of it as may be wanted: its size stands in front, negative while it is in
   * use.
   */
  async #cell(offset: number, bytesMax: number, mark?: string): Promise<DataView> {
    const at = BASE_BYTES + offset;
    if (offset === NO_CELL || at + 4 > this.#source.size) {
      throw damaged(at, 'a cell inside the hive', `offset ${offset}`);
    }
    const head = layout.viewOf(await readBytes(this.#source, at, 4));
    const size = -head.getInt32(0, true) - 4;
    if (size < 4 || at + 4 + size > this.#source.size)
      throw damaged(at, 'a cell in use', `${size} bytes`);
    const read = Math.min(size, bytesMax);
    this.#budget.spendRead(4 + read);
    const view = layout.viewOf(await readBytes(this.#source, at + 4, read));
    const found = layout.text(0, 2, 'latin1')(view);
    if (mark !== undefined && found !== mark) throw damaged(at, mark, 'another kind of cell');
    return view;
  }
}

/** Exclusive or over the first 127 words; all ones and zero are written as their neighbours. */
function baseChecksum(view: DataView): number {
  let sum = 0;
  for (let at = 0; at < 508; at += 4) sum ^= view.getUint32(at, true);
  const unsigned = sum >>> 0;
  if (unsigned === 0xffff_ffff) return 0xffff_fffe;
  return unsigned === 0 ? 1 : unsigned;
}

function nameAt(view: DataView, at: number, length: number, isLatin: boolean): string {
  const bytes = Buffer.from(layout.bytes(at, length)(view));
  return bytes.toString(isLatin ? 'latin1' : 'utf16le');
}

function damaged(offset: number, expected: string, found: string): RestoreError {
  return new RestoreError('CORRUPT', 'the registry hive is damaged', {
    where: { structure: 'registry hive', offset, expected, found },
  });
}

function tooMany(what: string, found: number): RestoreError {
  return new RestoreError('LIMIT', `a registry key has too many ${what}`, { where: { found } });
}
