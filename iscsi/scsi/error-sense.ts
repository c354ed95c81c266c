import type { ErrorCode, RestoreError } from '../../core/index.ts';
import { type ScsiOutcome, SCSI_STATUS } from './command.ts';
import { SENSE, type Sense } from './sense.ts';

/**
 * What an initiator is told when the source fails. Corrupt data is a medium error, which initiators
 * hand to the application at once; a storage failure below is a hardware error.
 */
const SENSE_OF_ERROR = {
  NOT_FOUND: SENSE.unrecoveredReadError,
  EXISTS: SENSE.internalTargetFailure,
  INVALID: SENSE.internalTargetFailure,
  CORRUPT: SENSE.unrecoveredReadError,
  UNSUPPORTED: SENSE.internalTargetFailure,
  WRONG_KEY: SENSE.accessDenied,
  IO: SENSE.internalTargetFailure,
  NO_SPACE: SENSE.spaceAllocationFailed,
  BUSY: 'busy',
  CANCELLED: SENSE.targetFailedCommand,
  DENIED: SENSE.accessDenied,
  LIMIT: SENSE.internalTargetFailure,
} as const satisfies Record<ErrorCode, Sense | 'busy'>;

/** @param block the first logical block that could not be read, when known. */
export function outcomeOfError(error: RestoreError, block?: number): ScsiOutcome {
  const sense: Sense | 'busy' = SENSE_OF_ERROR[error.code];
  if (sense === 'busy') return { kind: 'status', status: SCSI_STATUS.busy };
  return {
    kind: 'check',
    sense: block === undefined ? sense : { ...sense, information: block },
  };
}
