import { check, type ScsiCommand } from './command.ts';
import { SENSE } from './sense.ts';

/**
 * Commands that change the medium. A read-only unit refuses each with 07/27/00 whatever else is
 * wrong with it, so that software which ignores the write-protect bit learns of it by any of them.
 */
export const MEDIUM_WRITES: readonly ScsiCommand[] = [
  refused('FORMAT UNIT', 0x04, 6),
  refused('REASSIGN BLOCKS', 0x07, 6),
  refused('WRITE(6)', 0x0a, 6),
  refused('WRITE(10)', 0x2a, 10),
  refused('WRITE AND VERIFY(10)', 0x2e, 10),
  refused('WRITE LONG(10)', 0x3f, 10),
  refused('WRITE SAME(10)', 0x41, 10),
  refused('UNMAP', 0x42, 10),
  refused('SANITIZE', 0x48, 10),
  refused('COMPARE AND WRITE', 0x89, 16),
  refused('WRITE(16)', 0x8a, 16),
  refused('ORWRITE(16)', 0x8b, 16),
  refused('WRITE AND VERIFY(16)', 0x8e, 16),
  refused('WRITE SAME(16)', 0x93, 16),
  refused('WRITE ATOMIC(16)', 0x9c, 16),
  refused('WRITE LONG(16)', 0x9f, 16, 0x11),
  refused('WRITE(12)', 0xaa, 12),
  refused('WRITE AND VERIFY(12)', 0xae, 12),
];

function refused(
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
    run: () => check(SENSE.writeProtected),
  };
}
