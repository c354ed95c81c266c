import { check, invalidField, type PlanContext, type ScsiOutcome, u64 } from './command.ts';
import type { LogicalUnit } from './logical-unit.ts';
import { SENSE } from './sense.ts';

/** A run of logical blocks as a CDB names it. */
export interface BlockRange {
  readonly block: number;
  readonly count: number;
  /** Where the count stands in the CDB, for the field pointer. */
  readonly countByte: number;
}

/** Reads address and length out of a CDB, by its size: SBC-3 section 5. */
export const RANGE_OF_CDB = {
  6: (cdb: DataView): BlockRange => ({
    block: cdb.getUint32(0) & 0x1fffff,
    count: cdb.getUint8(4) || 256,
    countByte: 4,
  }),
  10: (cdb: DataView): BlockRange => ({
    block: cdb.getUint32(2),
    count: cdb.getUint16(7),
    countByte: 7,
  }),
  12: (cdb: DataView): BlockRange => ({
    block: cdb.getUint32(2),
    count: cdb.getUint32(6),
    countByte: 6,
  }),
  16: (cdb: DataView): BlockRange => ({
    block: u64(cdb, 2),
    count: cdb.getUint32(10),
    countByte: 10,
  }),
} as const;

export type CdbSize = keyof typeof RANGE_OF_CDB;

/** The answer to a range that is not inside the unit or too long, else `undefined`. */
export function rangeTrouble(
  { unit, maxTransferBytes }: PlanContext,
  range: BlockRange,
): ScsiOutcome | undefined {
  if (!isInside(unit, range)) {
    return check({ ...SENSE.lbaOutOfRange, information: range.block });
  }
  if (range.count * unit.blockBytes > maxTransferBytes) return invalidField(range.countByte);
  return undefined;
}

/** The same for commands that move no data, where any length is fine. */
export function isInside(
  unit: LogicalUnit,
  { block, count }: Pick<BlockRange, 'block' | 'count'>,
): boolean {
  return block <= unit.blockCount && count <= unit.blockCount - block;
}

/** Bits 7 to 5 of byte 1: protection information, which these units do not have. */
export function protectionTrouble(cdb: DataView): ScsiOutcome | undefined {
  return (cdb.getUint8(1) & 0xe0) === 0 ? undefined : invalidField(1, 7);
}

/** Where `data` first differs from `expected`, which repeats when it is shorter. */
export function firstDifference(data: Uint8Array, expected: Uint8Array): number | undefined {
  for (let start = 0; start < data.length; start += expected.length) {
    const piece = data.subarray(start, start + expected.length);
    if (Buffer.compare(piece, expected.subarray(0, piece.length)) === 0) continue;
    let at = 0;
    while (piece[at] === expected[at]) at += 1;
    return start + at;
  }
  return undefined;
}
