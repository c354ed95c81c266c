import type { IscsiLimits } from '../limits.ts';
import type { IscsiLogger } from '../logger.ts';
import type { SessionParameters } from '../login/operational.ts';
import type { PduWriter, SharedBudget } from '../protocol/pdu-writer.ts';
import type { TransferBuffers } from './transfer-buffers.ts';
import type { LogicalUnit } from '../scsi/logical-unit.ts';
import type { Sense } from '../scsi/sense.ts';
import type { ScsiStatus } from '../scsi/command.ts';
import type { ScsiTask } from './scsi-task.ts';

/** What the parts of a session that move data need of it. */
export interface TaskHost {
  readonly unit: LogicalUnit;
  readonly writer: PduWriter;
  readonly parameters: SessionParameters;
  readonly limits: IscsiLimits;
  readonly logger: IscsiLogger;
  readonly budget: SharedBudget;
  readonly buffers: TransferBuffers;
  /** Aborted when the session ends. */
  readonly signal: AbortSignal;
  /** Sets ExpCmdSN and MaxCmdSN, and StatSN too for a PDU that carries status. */
  stamp(view: DataView, at: number, carriesStatus: boolean): void;
  /** Ends a task with a SCSI Response PDU. */
  respond(task: ScsiTask, status: ScsiStatus, sense?: Sense): void;
  /** Notes that a task's last PDU is about to be built. */
  finish(task: ScsiTask): void;
  /** A fault of our own in work that nobody waits for: logged, and ends this connection alone. */
  fault(error: unknown): void;
  /** Flushes at the end of this turn of the event loop. */
  flushSoon(): void;
}
