import { LRUCache } from 'lru-cache';
import {
  type HealthLog,
  isRestoreError,
  type RestoreError,
  type SparseSource,
} from '../../../core/index.ts';
import { corrupt } from './damage.ts';
import { FileRecord } from './file-record.ts';
import { undoFixups } from './fixups.ts';
import { MAGIC, Record } from './layout.ts';

/** The unit in which the MFT is read. */
const PIECE_BYTES = 16 * 1024;
const CACHE_BYTES = 12 * 1024 * 1024;
/** Pieces that are read at once where the reader goes through the MFT in order. */
const AHEAD_PIECES = 64;

const STATE = { UNCHECKED: 0, SOUND: 1, DAMAGED: 2 } as const;

/**
 * Pieces that were read at once, and are forgotten at once. Fixups of a record are undone in place,
 * the first time that it is asked for.
 */
interface Group {
  readonly firstPiece: number;
  readonly pieceCount: number;
  readonly bytes: Uint8Array;
  /** Of each record. */
  readonly states: Uint8Array;
}

/** The master file table: every file's record, by number. */
export class Mft {
  readonly recordBytes: number;
  /** The content of `$MFT`: records as they are stored. */
  readonly source: SparseSource;
  readonly #health: HealthLog;
  readonly #perPiece: number;
  readonly #groups = new LRUCache<Group, Group>({
    maxSize: CACHE_BYTES,
    sizeCalculation: ({ bytes }) => bytes.byteLength,
    dispose: (group) => this.#forget(group),
  });
  readonly #pieces = new Map<number, Group>();
  /** Records that are read from elsewhere. */
  readonly #replaced: ReadonlyMap<number, FileRecord>;

  /**
   * @param source the content of `$MFT`.
   * @param replaced records to have instead of those in `source`.
   */
  constructor(
    source: SparseSource,
    recordBytes: number,
    health: HealthLog,
    replaced: ReadonlyMap<number, FileRecord> = new Map(),
  ) {
    this.source = source;
    this.#health = health;
    this.#replaced = replaced;
    this.recordBytes = recordBytes;
    this.#perPiece = PIECE_BYTES / recordBytes;
  }

  get count(): number {
    return Math.floor(this.source.size / this.recordBytes);
  }

  /**
   * A record that is at hand, else `undefined`.
   *
   * @throws RestoreError `CORRUPT` when it was torn, or is none.
   */
  peek(number: number): FileRecord | undefined {
    const replaced = this.#replaced.get(number);
    if (replaced !== undefined) return replaced;
    if (number >= this.count) throw this.#beyond(number);
    const group = this.#pieces.get(Math.floor(number / this.#perPiece));
    return group === undefined ? undefined : this.#recordIn(group, number);
  }

  /** @throws as `peek` does, and what the volume throws. */
  async read(number: number, signal?: AbortSignal): Promise<FileRecord> {
    for (;;) {
      const record = this.peek(number);
      if (record !== undefined) return record;
      await this.#load([Math.floor(number / this.#perPiece)], signal);
    }
  }

  /** Makes it likely that all these can be peeked. */
  async prefetch(numbers: Iterable<number>, signal?: AbortSignal): Promise<void> {
    const wanted = new Set<number>();
    for (const number of numbers) {
      const piece = Math.floor(number / this.#perPiece);
      if (number < this.count && !this.#pieces.has(piece)) wanted.add(piece);
    }
    if (wanted.size === 0) return;
    try {
      await this.#load(
        [...wanted].toSorted((a, b) => a - b),
        signal,
      );
    } catch (error) {
      // A part that cannot be read is met again by who needs it, and by no one else.
      if (!isRestoreError(error, 'CORRUPT')) throw error;
    }
  }

  /** Every record from first to last that can be read, and the damage of those that cannot. */
  async *scan(signal?: AbortSignal): AsyncGenerator<readonly (FileRecord | RestoreError)[]> {
    const pieceCount = Math.ceil(this.count / this.#perPiece);
    for (let piece = 0; piece < pieceCount; piece += 1) {
      const first = piece * this.#perPiece;
      const last = Math.min(this.count, first + this.#perPiece);
      const batch: (FileRecord | RestoreError)[] = [];
      await this.prefetch([first], signal);
      for (let number = first; number < last; number += 1) {
        try {
          const record = this.peek(number) ?? (await this.read(number, signal));
          batch.push(record);
        } catch (error) {
          if (!isRestoreError(error, 'CORRUPT')) throw error;
          if (!(await this.#isUnused(number))) batch.push(error);
        }
      }
      yield batch;
    }
  }

  /** Frees what is kept. */
  close(): void {
    this.#groups.clear();
  }

  /** Never used since the volume was made: all zeros. */
  async #isUnused(number: number): Promise<boolean> {
    const bytes = new Uint8Array(this.recordBytes);
    await this.source.readInto(bytes, number * this.recordBytes);
    return bytes.every((byte) => byte === 0);
  }

  #recordIn(group: Group, number: number): FileRecord {
    this.#groups.get(group);
    const { bytes, states } = group;
    const index = number - group.firstPiece * this.#perPiece;
    const start = bytes.byteOffset + index * this.recordBytes;
    const view = new DataView(bytes.buffer, start, this.recordBytes);
    if (states[index] !== STATE.SOUND) {
      const fault = soundFault(view);
      if (fault !== undefined) {
        const error = this.#damaged(number, fault);
        if (states[index] === STATE.UNCHECKED) this.#health.damage(error);
        states[index] = STATE.DAMAGED;
        throw error;
      }
      states[index] = STATE.SOUND;
    }
    return new FileRecord(number, view);
  }

  /** @param pieces ascending. Neighbours are read as one. */
  async #load(pieces: readonly number[], signal: AbortSignal | undefined): Promise<void> {
    const reads: Promise<void>[] = [];
    for (let index = 0; index < pieces.length; ) {
      const first = pieces[index] as number;
      let end = first + 1;
      index += 1;
      while (pieces[index] === end && end - first < AHEAD_PIECES) {
        end += 1;
        index += 1;
      }
      if (this.#pieces.has(first - 1)) end = Math.max(end, this.#aheadOf(first));
      reads.push(this.#readPieces(first, end, signal));
    }
    await Promise.all(reads);
  }

  /** Someone who has the piece before is going through: up to the next one that is here. */
  #aheadOf(first: number): number {
    const last = Math.ceil(this.count / this.#perPiece);
    let end = first + 1;
    while (end < last && end - first < AHEAD_PIECES && !this.#pieces.has(end)) end += 1;
    return end;
  }

  async #readPieces(first: number, end: number, signal: AbortSignal | undefined): Promise<void> {
    const at = first * PIECE_BYTES;
    const size = Math.min(end * PIECE_BYTES, this.count * this.recordBytes) - at;
    // Not filled with zeros first: a read fills all of it, or throws.
    const bytes = Buffer.allocUnsafeSlow(size);
    await this.source.readInto(bytes, at, signal);
    const states = new Uint8Array(size / this.recordBytes);
    const group = { firstPiece: first, pieceCount: end - first, bytes, states };
    for (let piece = first; piece < end; piece += 1) this.#pieces.set(piece, group);
    this.#groups.set(group, group);
  }

  /** Some of its pieces may have been read again meanwhile, as part of another group. */
  #forget(group: Group): void {
    const { firstPiece, pieceCount } = group;
    for (let piece = firstPiece; piece < firstPiece + pieceCount; piece += 1) {
      if (this.#pieces.get(piece) === group) this.#pieces.delete(piece);
    }
  }

  #damaged(number: number, fault: string): RestoreError {
    const offset = number * this.recordBytes;
    const where = { object: '$MFT', structure: `file record ${number}`, offset, found: fault };
    return corrupt('a file record is damaged', where);
  }

  #beyond(number: number): RestoreError {
    return corrupt('a reference leads outside the MFT', {
      structure: 'file reference',
      expected: `below ${this.count}`,
      found: number,
    });
  }
}

/** Undoes a record's fixups; what is wrong when it is no sound record. */
export function soundFault(view: DataView): string | undefined {
  const magic = Record.magic(view);
  if (magic === MAGIC.BAAD) return 'a record that Windows found torn';
  if (magic !== MAGIC.FILE) return `0x${magic.toString(16)} instead of a file record`;
  return undoFixups(view);
}
