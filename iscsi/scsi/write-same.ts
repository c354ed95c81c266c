/** WRITE SAME: one block, many times. SBC-3 sections 5.42 and 5.43. */
import { isAllZero } from '../../core/index.ts';
import {
  check,
  type CommandContext,
  GOOD,
  invalidField,
  type ScsiCommand,
  type ScsiOutcome,
} from './command.ts';
import { maxSameBlocks } from './limits-of-unit.ts';
import type { Medium } from './medium.ts';
import { type BlockRange, isInside, protectionTrouble, RANGE_OF_CDB } from './range.ts';
import { SENSE } from './sense.ts';

const ANCHOR = 0x10;
const UNMAP_BIT = 0x08;
const NO_DATA_OUT = 0x01;
const STEP_BYTES = 1024 * 1024;

export const WRITE_SAME_COMMANDS: readonly ScsiCommand[] = [
  writeSame(10, 0x41, '41 f8 ffffffff 00 ffff 00'),
  writeSame(16, 0x93, '93 f9 ffffffffffffffff ffffffff 00 00'),
];

function writeSame(size: 10 | 16, opcode: number, usage: string): ScsiCommand {
  const hasNoData = (cdb: DataView): boolean =>
    size === 16 && (cdb.getUint8(1) & NO_DATA_OUT) !== 0;
  return {
    name: `WRITE SAME(${size})`,
    opcode,
    usage,
    writesMedium: true,
    exactData: true,
    dataOutBytes: (cdb, { blockBytes }) => (hasNoData(cdb) ? 0 : blockBytes),
    run(context) {
      const { cdb, unit, dataOut } = context;
      const range = wholeRange(RANGE_OF_CDB[size](cdb), unit.blockCount);
      // LBPWS10 is not set: initiators unmap by the long form, or by UNMAP.
      if (size === 10 && (cdb.getUint8(1) & UNMAP_BIT) !== 0) return invalidField(1, 3);
      const trouble = protectionTrouble(cdb) ?? sameTrouble(context, range);
      if (trouble !== undefined) return trouble;
      // With UNMAP too, other data than zeros are written: they could not be read back otherwise.
      // Deallocated blocks read as zeros, so zeros need not be stored, with UNMAP or without:
      // SBC-3 section 4.7.4.6 lets a unit deallocate them at any time.
      const zeros = hasNoData(cdb) || isAllZero(dataOut);
      return fill(context, range, zeros ? undefined : dataOut);
    },
  };
}

/** No length means all that follows. */
function wholeRange(range: BlockRange, blockCount: number): BlockRange {
  if (range.count > 0) return range;
  return { ...range, count: Math.max(0, blockCount - range.block) };
}

function sameTrouble({ cdb, unit }: CommandContext, range: BlockRange): ScsiOutcome | undefined {
  if (!isInside(unit, range) || range.block >= unit.blockCount) {
    return check({ ...SENSE.lbaOutOfRange, information: range.block });
  }
  if (range.count > maxSameBlocks(unit)) return invalidField(range.countByte);
  if ((cdb.getUint8(1) & ANCHOR) !== 0) return invalidField(1, 4);
  return undefined;
}

/** In steps, so that others get their turn and an abort ends it. */
async function fill(
  { unit, aborted, changed }: CommandContext,
  range: BlockRange,
  pattern: Uint8Array | undefined,
): Promise<ScsiOutcome> {
  const medium = unit.medium as Medium;
  const start = range.block * unit.blockBytes;
  const length = range.count * unit.blockBytes;
  if (pattern === undefined) {
    await medium.discard(start, length);
    changed(length);
  } else {
    const step = repeated(pattern, Math.min(STEP_BYTES, length));
    for (let done = 0; done < length && !aborted(); done += step.length) {
      const piece = step.subarray(0, Math.min(step.length, length - done));
      await medium.write(piece, start + done);
      changed(piece.length);
    }
  }
  if (!unit.modes.writeCache) await medium.flush();
  return GOOD;
}

function repeated(pattern: Uint8Array, length: number): Uint8Array {
  return Buffer.alloc(length, pattern);
}
