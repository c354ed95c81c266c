/** READ, VERIFY and what else names a range of blocks. SBC-3 section 5. */
import { asRestoreError } from '../../core/index.ts';
import { check, type CommandContext, GOOD, type ScsiCommand, type ScsiOutcome } from './command.ts';
import { outcomeOfError } from './error-sense.ts';
import { findBadBlock } from './find-bad-block.ts';
import {
  type BlockRange,
  type CdbSize,
  firstDifference,
  isInside,
  protectionTrouble,
  RANGE_OF_CDB,
  rangeTrouble,
} from './range.ts';
import { invalidField } from './command.ts';
import { SENSE } from './sense.ts';

const FUA = 0x08;
const VERIFY_STEP_BYTES = 1024 * 1024;

export const READ_COMMANDS: readonly ScsiCommand[] = [
  read(6, 0x08, '08 1fffff ff 00'),
  read(10, 0x28, '28 f8 ffffffff 00 ffff 00'),
  read(12, 0xa8, 'a8 f8 ffffffff ffffffff 00 00'),
  read(16, 0x88, '88 f8 ffffffffffffffff ffffffff 00 00'),
  verify(10, 0x2f, '2f f6 ffffffff 00 ffff 00'),
  verify(12, 0xaf, 'af f6 ffffffff ffffffff 00 00'),
  verify(16, 0x8f, '8f f6 ffffffffffffffff ffffffff 00 00'),
  preFetch(10, 0x34, '34 02 ffffffff 00 ffff 00'),
  preFetch(16, 0x90, '90 02 ffffffffffffffff ffffffff 00 00'),
];

function read(size: CdbSize, opcode: number, usage: string): ScsiCommand {
  const rangeOf = RANGE_OF_CDB[size];
  const hasProtection = size !== 6;
  return {
    name: `READ(${size})`,
    opcode,
    usage,
    reservationRule: 'reads',
    run(context) {
      const { cdb, unit } = context;
      const range = rangeOf(cdb);
      const trouble =
        (hasProtection ? protectionTrouble(cdb) : undefined) ?? rangeTrouble(context, range);
      if (trouble !== undefined) return trouble;
      if (range.count === 0) return GOOD;
      const outcome = {
        kind: 'read',
        offsetBytes: range.block * unit.blockBytes,
        lengthBytes: range.count * unit.blockBytes,
      } as const;
      const { medium } = unit;
      const forced = hasProtection && (cdb.getUint8(1) & FUA) !== 0;
      if (!forced || medium === undefined || medium.clean) return outcome;
      // What is read must be on the medium: SBC-3 section 4.15.
      return medium.flush().then(() => outcome);
    },
  };
}

/** Only a hint: the range must exist. */
function preFetch(size: CdbSize, opcode: number, usage: string): ScsiCommand {
  const rangeOf = RANGE_OF_CDB[size];
  return {
    name: `PRE-FETCH(${size})`,
    opcode,
    usage,
    reservationRule: 'reads',
    run({ cdb, unit }) {
      const range = rangeOf(cdb);
      return isInside(unit, range) ? GOOD : check(SENSE.lbaOutOfRange);
    },
  };
}

/** BYTCHK: 0 reads the blocks, 1 compares them all, 3 compares each with one block sent. */
function verify(size: CdbSize, opcode: number, usage: string): ScsiCommand {
  const rangeOf = RANGE_OF_CDB[size];
  return {
    name: `VERIFY(${size})`,
    opcode,
    usage,
    reservationRule: 'reads',
    dataOutBytes(cdb, unit) {
      const { count } = rangeOf(cdb);
      const mode = byteCheck(cdb);
      if (mode === 0 || mode === 2 || count === 0) return 0;
      return (mode === 3 ? 1 : count) * unit.blockBytes;
    },
    run(context) {
      const { cdb } = context;
      const range = rangeOf(cdb);
      const trouble = protectionTrouble(cdb) ?? rangeTrouble(context, range);
      if (trouble !== undefined) return trouble;
      if (byteCheck(cdb) === 2) return invalidField(1, 2);
      return verifyRange(context, range, byteCheck(cdb));
    },
  };
}

function byteCheck(cdb: DataView): number {
  return (cdb.getUint8(1) >> 1) & 3;
}

async function verifyRange(
  { unit, dataOut, signal }: CommandContext,
  range: BlockRange,
  mode: number,
): Promise<ScsiOutcome> {
  const start = range.block * unit.blockBytes;
  const length = range.count * unit.blockBytes;
  const buffer = new Uint8Array(Math.min(length, VERIFY_STEP_BYTES));
  for (let done = 0; done < length; done += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, length - done));
    try {
      await unit.source.readInto(piece, start + done, signal);
    } catch (error) {
      const block = await findBadBlock(unit, start + done, piece.length, signal);
      return outcomeOfError(asRestoreError(error, 'the disk cannot be read'), block.badBlock);
    }
    if (mode === 0) continue;
    const expected = mode === 1 ? dataOut.subarray(done, done + piece.length) : dataOut;
    const at = firstDifference(piece, expected);
    if (at !== undefined) {
      return check({ ...SENSE.miscompareDuringVerify, information: done + at });
    }
  }
  return GOOD;
}
