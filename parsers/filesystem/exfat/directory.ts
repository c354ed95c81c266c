import { isRestoreError, layout, type RestoreError } from '../../../core/index.ts';
import {
  damaged,
  type BrokenRecord,
  fileOf,
  type FileRecord,
  type SetRules,
  unsupportedEntry,
} from './entry-set.ts';
import {
  ENTRY_BYTES,
  ENTRY_TYPE,
  FileEntry,
  LABEL_AT,
  LABEL_UNITS_MAX,
  LabelEntry,
  TableEntry,
} from './layout.ts';

/** A table that the root directory names: the bitmap, or the capitals. */
export interface TableRecord {
  readonly firstCluster: number;
  readonly dataLength: number;
  /** Of the capitals. */
  readonly checksum: number;
  /** Of the bitmap: to which FAT it belongs. */
  readonly number: number;
}

const SET_ENTRIES_MAX = 256;
/** Critical entries that stand alone, in the root directory. */
const TABLE_TYPES: readonly number[] = [
  ENTRY_TYPE.allocationBitmap,
  ENTRY_TYPE.upcaseTable,
  ENTRY_TYPE.volumeLabel,
];

/** Reads a directory from its bytes, piece by piece: sets of entries span pieces. */
export class DirectoryReader {
  readonly #rules: SetRules;
  readonly #set = new Uint8Array(SET_ENTRIES_MAX * ENTRY_BYTES);
  #setAt = 0;
  #gathered = 0;
  #wanted = 0;
  /** Secondary entries of a set that is of no interest. */
  #skipped = 0;
  /** The mark behind the last entry was met. */
  isEnded = false;
  /** Why not all entries are shown: the first reason. */
  damage: RestoreError | undefined;
  label: string | undefined;
  readonly bitmaps: TableRecord[] = [];
  upcase: TableRecord | undefined;

  constructor(rules: SetRules) {
    this.#rules = rules;
  }

  /** The files among the entries of `piece`, whose first byte lies at `at` on the volume. */
  read(piece: Uint8Array, at: number): (FileRecord | BrokenRecord)[] {
    const records: (FileRecord | BrokenRecord)[] = [];
    for (let offset = 0; offset + ENTRY_BYTES <= piece.byteLength; offset += ENTRY_BYTES) {
      const type = piece[offset] as number;
      if (type === ENTRY_TYPE.end) {
        this.isEnded = true;
        break;
      }
      const record = this.#guarded(() => this.#entry(piece, offset, at + offset, type));
      if (record !== undefined) records.push(record);
    }
    return records;
  }

  /** To be called behind the last piece. */
  finish(): void {
    this.#breakOff();
  }

  #entry(
    piece: Uint8Array,
    offset: number,
    at: number,
    type: number,
  ): FileRecord | BrokenRecord | undefined {
    const isSecondary =
      (type & (ENTRY_TYPE.inUse | ENTRY_TYPE.isSecondary)) ===
      (ENTRY_TYPE.inUse | ENTRY_TYPE.isSecondary);
    if (isSecondary) return this.#secondary(piece, offset, at, type);
    this.#breakOff();
    this.#skipped = 0;
    if ((type & ENTRY_TYPE.inUse) === 0) return undefined;
    const view = layout.viewOf(piece);
    if (type === ENTRY_TYPE.file)
      this.#begin(piece, offset, at, FileEntry.secondaryCount(view, offset));
    else if (TABLE_TYPES.includes(type)) this.#table(view, offset, type);
    else {
      this.#skipped = SET_ENTRIES_MAX;
      if ((type & ENTRY_TYPE.isBenign) === 0) this.#note(unsupportedEntry(at, type));
    }
    return undefined;
  }

  #begin(piece: Uint8Array, offset: number, at: number, secondaryCount: number): void {
    this.#set.set(piece.subarray(offset, offset + ENTRY_BYTES));
    this.#setAt = at;
    this.#gathered = 1;
    this.#wanted = 1 + secondaryCount;
    if (secondaryCount === 0) this.#breakOff();
  }

  #secondary(
    piece: Uint8Array,
    offset: number,
    at: number,
    type: number,
  ): FileRecord | BrokenRecord | undefined {
    if (this.#wanted === 0) {
      // Of a set that is skipped, or whose first entry was lost.
      if (this.#skipped > 0) this.#skipped -= 1;
      else this.#note(damaged(at, 'a primary entry', `type ${type}`));
      return undefined;
    }
    this.#set.set(piece.subarray(offset, offset + ENTRY_BYTES), this.#gathered * ENTRY_BYTES);
    this.#gathered += 1;
    if (this.#gathered < this.#wanted) return undefined;
    const set = this.#set.subarray(0, this.#gathered * ENTRY_BYTES);
    this.#wanted = 0;
    return fileOf(set, this.#setAt, this.#rules);
  }

  /** An entry that cannot be read is noted; those behind it may be sound. */
  #guarded<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!isRestoreError(error)) throw error;
      this.#note(error);
      return undefined;
    }
  }

  #table(view: DataView, offset: number, type: number): void {
    if (type === ENTRY_TYPE.volumeLabel) {
      this.label ??= labelAt(view, offset);
      return;
    }
    const record = {
      firstCluster: TableEntry.firstCluster(view, offset),
      dataLength: TableEntry.dataLength(view, offset),
      checksum: TableEntry.tableChecksum(view, offset),
      number: TableEntry.bitmapFlags(view, offset) & 1,
    };
    if (type === ENTRY_TYPE.upcaseTable) this.upcase ??= record;
    else if (this.bitmaps.length < 2) this.bitmaps.push(record);
  }

  /** What was gathered is no whole set. */
  #breakOff(): void {
    if (this.#wanted > 0) {
      this.#note(damaged(this.#setAt, `${this.#wanted} entries`, `${this.#gathered}`));
    }
    this.#wanted = 0;
  }

  #note(error: RestoreError): void {
    this.damage ??= error;
  }
}

function labelAt(view: DataView, offset: number): string {
  const count = Math.min(LABEL_UNITS_MAX, LabelEntry.characterCount(view, offset));
  const units = Array.from({ length: count }, (_, index) =>
    view.getUint16(offset + LABEL_AT + index * 2, true),
  );
  return String.fromCharCode(...units);
}
