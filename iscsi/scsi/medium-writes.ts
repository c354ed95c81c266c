import { check, type ScsiCommand } from './command.ts';
import { COMPARE_AND_WRITE } from './compare-and-write.ts';
import { SENSE } from './sense.ts';
import { UNMAP } from './unmap.ts';
import { WRITE_COMMANDS } from './write.ts';
import { WRITE_SAME_COMMANDS } from './write-same.ts';

/**
 * Commands that change the medium. A read-only unit refuses each with 07/27/00 whatever else is
 * wrong with it, so that software which ignores the write-protect bit learns of it by any of them.
 */
export const MEDIUM_WRITES: readonly ScsiCommand[] = [
  ...WRITE_COMMANDS,
  ...WRITE_SAME_COMMANDS,
  UNMAP,
  COMPARE_AND_WRITE,
  notImplemented('FORMAT UNIT', 0x04, 6),
  notImplemented('REASSIGN BLOCKS', 0x07, 6),
  notImplemented('WRITE LONG(10)', 0x3f, 10),
  notImplemented('SANITIZE', 0x48, 10),
  notImplemented('WRITE ATOMIC(16)', 0x9c, 16),
  notImplemented('WRITE LONG(16)', 0x9f, 16, 0x11),
];

/** Refused as write-protected where that holds, else as unknown. */
function notImplemented(
  name: string,
  opcode: number,
  cdbBytes: number,
  serviceAction?: number,
): ScsiCommand {
  return {
    name,
    opcode,
    ...(serviceAction === undefined ? {} : { serviceAction }),
    usage: opcode
      .toString(16)
      .padStart(2, '0')
      .padEnd(cdbBytes * 2, '0'),
    writesMedium: true,
    notImplemented: true,
    run: () => check(SENSE.invalidOpcode),
  };
}
