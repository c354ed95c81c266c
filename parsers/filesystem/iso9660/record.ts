import { layout, RestoreError } from '../../../core/index.ts';
import {
  DirectoryRecord,
  FILE_FLAGS,
  RECORD_LENGTH_MIN,
  RECORD_NAME_AT,
  SECTOR_BYTES,
} from './layout.ts';

/** A directory record as stored. */
export interface RawRecord {
  /** Byte offset of the record on the volume. */
  readonly at: number;
  /** Bytes of the record. */
  readonly length: number;
  /** Byte offset of the content. */
  readonly extentAt: number;
  readonly dataLength: number;
  readonly flags: number;
  readonly isInterleaved: boolean;
  readonly name: Uint8Array;
  readonly date: Uint8Array;
  readonly systemUse: Uint8Array;
  /** The two forms of a number differ: the file is there, and where it lies cannot be told. */
  readonly error?: RestoreError;
}

/**
 * The record at `offset` of `sector`, which lies at `sectorAt` on the volume; `undefined` where the
 * rest of the sector is unused.
 *
 * @throws RestoreError `CORRUPT` when it does not fit its sector (ECMA-119 6.8.1.1).
 */
export function recordAt(
  sector: Uint8Array,
  offset: number,
  sectorAt: number,
  blockBytes: number,
): RawRecord | undefined {
  const length = sector[offset] ?? 0;
  if (length === 0) return undefined;
  const at = sectorAt + offset;
  const view = layout.viewOf(sector);
  const nameLength = length < RECORD_LENGTH_MIN ? 0 : DirectoryRecord.nameLength(view, offset);
  const nameEnd = RECORD_NAME_AT + nameLength;
  const isWhole = length >= RECORD_LENGTH_MIN && nameLength > 0 && nameEnd <= length;
  if (!isWhole || offset + length > sector.length) throw badRecord(at, length);
  const nameAt = offset + RECORD_NAME_AT;
  // A byte of padding makes the name's end even.
  const systemUseAt = offset + nameEnd + (nameLength % 2 === 0 ? 1 : 0);
  const error = disagreement(view, offset, at);
  const block =
    DirectoryRecord.extent(view, offset) + DirectoryRecord.extendedAttributeLength(view, offset);
  const unit = DirectoryRecord.fileUnitSize(view, offset);
  const gap = DirectoryRecord.interleaveGapSize(view, offset);
  return {
    at,
    length,
    extentAt: block * blockBytes,
    dataLength: DirectoryRecord.dataLength(view, offset),
    flags: DirectoryRecord.fileFlags(view, offset),
    isInterleaved: unit !== 0 || gap !== 0,
    name: sector.subarray(nameAt, nameAt + nameLength),
    date: DirectoryRecord.recordingDate(view, offset),
    systemUse: sector.subarray(Math.min(systemUseAt, offset + length), offset + length),
    ...(error === undefined ? {} : { error }),
  };
}

/** The record behind `offset` in a piece of a directory: where its sector's rest is unused, the next. */
export function nextSector(offset: number): number {
  return offset - (offset % SECTOR_BYTES) + SECTOR_BYTES;
}

export function isDirectory({ flags }: RawRecord): boolean {
  return (flags & FILE_FLAGS.directory) !== 0;
}

/** `.` and `..`: names of one byte, 0 and 1. */
export function isDot({ name }: RawRecord): boolean {
  return name.length === 1 && (name[0] as number) <= 1;
}

export function badRecord(at: number, found: number): RestoreError {
  return new RestoreError('CORRUPT', 'a directory record is damaged', {
    where: {
      structure: 'directory record',
      offset: at,
      expected: 'a length that fits its name and its sector',
      found,
    },
  });
}

/** Numbers are stored twice, in both byte orders. Some writers leave the second form zero. */
function disagreement(view: DataView, offset: number, at: number): RestoreError | undefined {
  const pairs = [
    [DirectoryRecord.extent(view, offset), DirectoryRecord.extentBig(view, offset)],
    [DirectoryRecord.dataLength(view, offset), DirectoryRecord.dataLengthBig(view, offset)],
  ] as const;
  for (const [little, big] of pairs) {
    if (little === big || big === 0) continue;
    return new RestoreError('CORRUPT', 'a directory record contradicts itself', {
      where: { structure: 'directory record', offset: at, expected: little, found: big },
    });
  }
  return undefined;
}
