import { FLAG } from '../protocol/bhs.ts';
import { SCSI_STATUS, type ScsiStatus } from '../scsi/command.ts';
import { SENSE, type Sense } from '../scsi/sense.ts';
import type { ScsiTask } from './scsi-task.ts';

/** Negative: fewer bytes moved than the initiator expected. RFC 7143 section 11.4.5. */
export function residualOf(task: ScsiTask, status: ScsiStatus, sense: Sense | undefined): number {
  const expected = task.readBytes + task.writeBytes;
  const isMismatch = sense === SENSE.invalidInformationUnit;
  if (status === SCSI_STATUS.good || isMismatch) return task.wholeBytes - expected;
  return task.sentBytes + (task.transfer?.usedBytes ?? 0) - expected;
}

export function residualFlag(residual: number): number {
  if (residual > 0) return FLAG.residualOverflow;
  return residual < 0 ? FLAG.residualUnderflow : 0;
}
