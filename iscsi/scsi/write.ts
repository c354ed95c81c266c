/** Commands that write a run of blocks as their data come. SBC-3 section 5. */
import {
  GOOD,
  invalidField,
  type PlanContext,
  type ScsiCommand,
  type ScsiOutcome,
  type WritePlan,
} from './command.ts';
import { type CdbSize, protectionTrouble, RANGE_OF_CDB, rangeTrouble } from './range.ts';

const FUA = 0x08;

export const WRITE_COMMANDS: readonly ScsiCommand[] = [
  write('WRITE', 6, 0x0a, '0a 1fffff ff 00'),
  write('WRITE', 10, 0x2a, '2a f8 ffffffff 00 ffff 00'),
  write('WRITE', 12, 0xaa, 'aa f8 ffffffff ffffffff 00 00'),
  write('WRITE', 16, 0x8a, '8a f8 ffffffffffffffff ffffffff 00 00'),
  write('WRITE AND VERIFY', 10, 0x2e, '2e f6 ffffffff 00 ffff 00', 'verify'),
  write('WRITE AND VERIFY', 12, 0xae, 'ae f6 ffffffff ffffffff 00 00', 'verify'),
  write('WRITE AND VERIFY', 16, 0x8e, '8e f6 ffffffffffffffff ffffffff 00 00', 'verify'),
  write('ORWRITE', 16, 0x8b, '8b f8 ffffffffffffffff ffffffff 00 00', 'or'),
];

function write(
  name: string,
  size: CdbSize,
  opcode: number,
  usage: string,
  mode: WritePlan['mode'] = 'write',
): ScsiCommand {
  return {
    name: `${name}(${size})`,
    opcode,
    usage,
    writesMedium: true,
    plan: (context) => planOf(context, size, mode),
  };
}

function planOf(
  context: PlanContext,
  size: CdbSize,
  mode: WritePlan['mode'],
): WritePlan | ScsiOutcome {
  const { cdb, unit } = context;
  const range = RANGE_OF_CDB[size](cdb);
  const flags = size === 6 ? 0 : cdb.getUint8(1);
  const trouble = (size === 6 ? undefined : protectionTrouble(cdb)) ?? rangeTrouble(context, range);
  if (trouble !== undefined) return trouble;
  // BYTCHK 0 reads back what was written, 1 compares it: the same is done for both.
  if (mode === 'verify' && (flags & 0x04) !== 0) return invalidField(1, 2);
  if (range.count === 0) return GOOD;
  const forced = mode !== 'verify' && (flags & FUA) !== 0;
  return {
    kind: 'write',
    offsetBytes: range.block * unit.blockBytes,
    lengthBytes: range.count * unit.blockBytes,
    mode,
    durable: forced || mode === 'verify' || !unit.modes.writeCache,
  };
}
