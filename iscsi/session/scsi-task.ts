import type { ScsiCommand, ScsiOutcome } from '../scsi/command.ts';
import type { CollectedData } from './collected-data.ts';
import type { DataOutTransfer } from './data-out.ts';
import type { MediumWrite } from './medium-write.ts';

/** One SCSI command under way. */
export interface ScsiTask {
  /** Initiator task tag. */
  readonly tag: number;
  readonly immediate: boolean;
  /** RFC 7143 section 11.3.1. */
  readonly attribute: number;
  readonly cdb: DataView;
  /** Expected data transfer length for reads; 0 when the initiator expects no data. */
  readonly readBytes: number;
  /** The same for writes. */
  readonly writeBytes: number;
  readonly command: ScsiCommand | undefined;
  /** The answer that is already certain, once the initiator has sent its data. */
  verdict: ScsiOutcome | undefined;
  transfer: DataOutTransfer | undefined;
  /** Where the data of `transfer` go: to the medium as they come … */
  write: MediumWrite | undefined;
  /** … or together, for a command that needs them all. */
  collected: CollectedData | undefined;
  /** The command is running, or what it wrote is made durable. */
  running: Promise<unknown> | undefined;
  /** Its next burst waits for memory. */
  waitsForMemory: boolean;
  /** Answered or aborted: whatever still comes in for it is dropped. */
  over: boolean;
  /** Data-In and R2T PDUs sent. */
  dataPdus: number;
  /** Of a read: where on the medium it goes on, and what is left to send. */
  offsetBytes: number;
  leftBytes: number;
  sentBytes: number;
  /** What the command moves in whole, for the residual count. */
  wholeBytes: number;
  retries: number;
  /** Memory taken for data that were asked for. */
  holdsMemory: boolean;
  memoryBytes: number;
  /** What it changed on the medium, other than by `write`. */
  changedBytes: number;
}

export function makeTask(
  tag: number,
  immediate: boolean,
  attribute: number,
  cdb: DataView,
  readBytes: number,
  writeBytes: number,
  command: ScsiCommand | undefined,
): ScsiTask {
  return {
    tag,
    immediate,
    attribute,
    cdb,
    readBytes,
    writeBytes,
    command,
    verdict: undefined,
    transfer: undefined,
    write: undefined,
    collected: undefined,
    running: undefined,
    waitsForMemory: false,
    over: false,
    dataPdus: 0,
    offsetBytes: 0,
    leftBytes: 0,
    sentBytes: 0,
    wholeBytes: 0,
    retries: 0,
    holdsMemory: false,
    memoryBytes: 0,
    changedBytes: 0,
  };
}
