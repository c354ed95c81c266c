import { isRestoreError, RestoreError } from '../../../core/index.ts';
import { FILE_FLAGS } from './layout.ts';
import { isDirectory, isDot, nextSector, type RawRecord, recordAt } from './record.ts';
import { belongs, brokenOff, isContinued } from './records.ts';

/** Reads a directory from its bytes, piece by piece: the records of one file may span pieces. */
export class RecordReader {
  readonly #directoryAt: number;
  readonly #blockBytes: number;
  #pending: RawRecord[] = [];
  #fault: RestoreError | undefined;
  #isFirst = true;

  /** @param directoryAt where the directory says it begins: its first record must agree. */
  constructor(directoryAt: number, blockBytes: number) {
    this.#directoryAt = directoryAt;
    this.#blockBytes = blockBytes;
  }

  /** The files of `piece`, each as its records; `at` is where it lies. */
  read(piece: Uint8Array, at: number): RawRecord[][] {
    const files: RawRecord[][] = [];
    for (let offset = 0; offset < piece.byteLength; ) {
      const record = this.#recordAt(piece, offset, at);
      if (record === undefined) {
        offset = nextSector(at + offset) - at;
        continue;
      }
      offset += record.length;
      this.#checkFirst(record);
      const isHidden = (record.flags & FILE_FLAGS.associated) !== 0;
      const file = isDot(record) || isHidden ? undefined : this.#gather(record);
      if (file !== undefined) files.push(file);
    }
    return files;
  }

  /** What was wrong with the directory, once it has been read to its end. */
  finish(): RestoreError | undefined {
    const [first] = this.#pending;
    if (first !== undefined) this.#fault ??= brokenOff(first);
    return this.#fault;
  }

  #recordAt(piece: Uint8Array, offset: number, at: number): RawRecord | undefined {
    // A piece may begin inside a sector, where blocks are smaller than sectors.
    const rest = piece.subarray(offset, nextSector(at + offset) - at);
    try {
      return recordAt(rest, 0, at + offset, this.#blockBytes);
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      this.#fault ??= error;
      return undefined;
    }
  }

  /** The file that is whole with this record. */
  #gather(record: RawRecord): RawRecord[] | undefined {
    const [first] = this.#pending;
    if (first !== undefined && !belongs(record, first)) {
      this.#fault ??= brokenOff(first);
      this.#pending = [];
    }
    this.#pending.push(record);
    if (isContinued(record)) return undefined;
    const file = this.#pending;
    this.#pending = [];
    return file;
  }

  /** ECMA-119 6.8.2.2: the first record is the directory's own. */
  #checkFirst(record: RawRecord): void {
    if (!this.#isFirst) return;
    this.#isFirst = false;
    const isOwn = isDot(record) && record.name[0] === 0 && isDirectory(record);
    if (isOwn && record.extentAt === this.#directoryAt) return;
    this.#fault ??= new RestoreError('CORRUPT', 'a directory does not begin as one', {
      where: {
        structure: 'directory record "."',
        offset: record.at,
        expected: `itself at ${this.#directoryAt}`,
        found: isOwn ? record.extentAt : 'another record',
      },
      hint: 'The directory may have been overwritten: do not trust the names that it lists.',
    });
  }
}
