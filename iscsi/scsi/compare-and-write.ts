/** COMPARE AND WRITE: what cluster file systems take their locks with. SBC-3 section 5.2. */
import {
  check,
  type CommandContext,
  GOOD,
  invalidField,
  type ScsiCommand,
  type ScsiOutcome,
  u64,
} from './command.ts';
import { MAX_COMPARE_BLOCKS } from './limits-of-unit.ts';
import type { Medium } from './medium.ts';
import { firstDifference, isInside, protectionTrouble } from './range.ts';
import { SENSE } from './sense.ts';

const FUA = 0x08;
const COUNT_BYTE = 13;

export const COMPARE_AND_WRITE: ScsiCommand = {
  name: 'COMPARE AND WRITE',
  opcode: 0x89,
  usage: '89 f8 ffffffffffffffff 000000 ff 00 00',
  writesMedium: true,
  exactData: true,
  dataOutBytes: (cdb, { blockBytes }) => 2 * cdb.getUint8(COUNT_BYTE) * blockBytes,
  run(context) {
    const { cdb, unit } = context;
    const range = { block: u64(cdb, 2), count: cdb.getUint8(COUNT_BYTE) };
    const trouble = protectionTrouble(cdb);
    if (trouble !== undefined) return trouble;
    if (!isInside(unit, range)) {
      return check({ ...SENSE.lbaOutOfRange, information: range.block });
    }
    if (range.count > MAX_COMPARE_BLOCKS) return invalidField(COUNT_BYTE);
    return range.count === 0 ? GOOD : compareAndWrite(context, range.block);
  },
};

async function compareAndWrite(context: CommandContext, block: number): Promise<ScsiOutcome> {
  const { cdb, unit, dataOut, aborted, changed } = context;
  const medium = unit.medium as Medium;
  const offset = block * unit.blockBytes;
  const length = dataOut.length / 2;
  const expected = dataOut.subarray(0, length);
  const outcome = await medium.exclusive(offset, length, async () => {
    const found = new Uint8Array(length);
    await medium.device.readInto(found, offset);
    const at = firstDifference(found, expected);
    if (at !== undefined) return check({ ...SENSE.miscompareDuringVerify, information: at });
    if (aborted()) return GOOD;
    await medium.device.writeFrom(dataOut.subarray(length), offset);
    changed(length);
    return GOOD;
  });
  const durable = (cdb.getUint8(1) & FUA) !== 0 || !unit.modes.writeCache;
  if (outcome === GOOD && durable) await medium.flush();
  return outcome;
}
