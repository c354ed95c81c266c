/** SYNCHRONIZE CACHE. SBC-3 sections 5.30 and 5.31. */
import { asRestoreError } from '../../core/index.ts';
import { check, GOOD, type ScsiCommand } from './command.ts';
import { outcomeOfError } from './error-sense.ts';
import { type CdbSize, isInside, RANGE_OF_CDB } from './range.ts';
import { SENSE } from './sense.ts';

const IMMED = 0x02;

export const SYNCHRONIZE_COMMANDS: readonly ScsiCommand[] = [
  synchronize(10, 0x35, '35 06 ffffffff 00 ffff 00'),
  synchronize(16, 0x91, '91 06 ffffffffffffffff ffffffff 00 00'),
];

/** The whole disk is made durable, whatever range is named. */
function synchronize(size: CdbSize, opcode: number, usage: string): ScsiCommand {
  return {
    name: `SYNCHRONIZE CACHE(${size})`,
    opcode,
    usage,
    run({ cdb, unit, nexus, report }) {
      if (!isInside(unit, RANGE_OF_CDB[size](cdb))) return check(SENSE.lbaOutOfRange);
      const { medium } = unit;
      if (medium === undefined || medium.clean) return GOOD;
      const flushed = medium.flush();
      if ((cdb.getUint8(1) & IMMED) === 0) return flushed.then(() => GOOD);
      // Nobody waits for it: a failure is told later, and what was written stays to be flushed again.
      flushed.catch((error: unknown) => {
        report(error);
        const outcome = outcomeOfError(asRestoreError(error, 'the disk cannot be flushed'));
        nexus.defer(outcome.kind === 'check' ? outcome.sense : SENSE.internalTargetFailure);
      });
      return GOOD;
    },
  };
}
