import type { LogicalUnit } from './logical-unit.ts';
import type { Nexus } from './nexus.ts';
import type { ReservationRule } from './reservations.ts';
import { SENSE, type Sense } from './sense.ts';

/** SAM-5 section 5.3.1. */
export const SCSI_STATUS = {
  good: 0x00,
  checkCondition: 0x02,
  conditionMet: 0x04,
  busy: 0x08,
  reservationConflict: 0x18,
  taskSetFull: 0x28,
  taskAborted: 0x40,
} as const;

export type ScsiStatus = (typeof SCSI_STATUS)[keyof typeof SCSI_STATUS];

/** How a command ended. `read` asks the session to stream bytes of the medium. */
export type ScsiOutcome =
  | { readonly kind: 'status'; readonly status: ScsiStatus }
  | { readonly kind: 'data'; readonly data: Uint8Array }
  | { readonly kind: 'read'; readonly offsetBytes: number; readonly lengthBytes: number }
  | { readonly kind: 'check'; readonly sense: Sense };

export interface CommandContext {
  readonly unit: LogicalUnit;
  readonly nexus: Nexus;
  readonly cdb: DataView;
  /** What the initiator sent, for a command that takes data; empty otherwise. */
  readonly dataOut: Uint8Array;
  /** Aborted when the session ends. */
  readonly signal: AbortSignal;
  readonly maxTransferBytes: number;
  /** Takes note of a fault of our own. */
  readonly report: (error: unknown) => void;
  /** True once the command is aborted: it must change nothing more. */
  readonly aborted: () => boolean;
  /** Counts bytes of the medium that the command has changed. */
  readonly changed: (bytes: number) => void;
  /** Aborts the commands of other initiator ports, and resolves when they change nothing more. */
  readonly abortTasksOf: (ports: ReadonlySet<string>) => Promise<void>;
}

/** What is known when a command arrives, before its data. */
export type PlanContext = Pick<CommandContext, 'unit' | 'cdb' | 'maxTransferBytes'>;

/** A run of blocks that is written as its data come. */
export interface WritePlan {
  readonly kind: 'write';
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** `verify` reads back what was written; `or` joins it with what was there. */
  readonly mode: 'write' | 'verify' | 'or';
  /** Durable before it is answered. */
  readonly durable: boolean;
}

interface CommandRow {
  readonly name: string;
  readonly opcode: number;
  readonly serviceAction?: number;
  /**
   * CDB usage data as hexadecimal, SPC-4 section 6.35.3: which bits of each byte are looked at. Its
   * length is the CDB's.
   */
  readonly usage: string;
  /** Changes the medium: refused with 07/27/00 on a read-only unit before all else. */
  readonly writesMedium?: true;
  /** Answers even while a unit attention waits. SPC-4 section 5.14. */
  readonly ignoresUnitAttention?: true;
  /** Whose reservations keep it out; those of all others when absent. */
  readonly reservationRule?: ReservationRule;
  /** Known only to refuse it on a read-only unit. */
  readonly notImplemented?: true;
  /** Unknown on a read-only unit. */
  readonly writableOnly?: true;
}

/** A command that runs once all its data are there. */
export interface RunCommand extends CommandRow {
  /** How many bytes the command takes from the initiator; none when absent. */
  dataOutBytes?(cdb: DataView, unit: LogicalUnit): number;
  /** The initiator must announce exactly those; for other commands more are dropped. */
  readonly exactData?: true;
  run(context: CommandContext): ScsiOutcome | Promise<ScsiOutcome>;
}

/** A command whose data go to the medium as they come. */
export interface WriteCommand extends CommandRow {
  plan(context: PlanContext): WritePlan | ScsiOutcome;
}

/** One row of the command set. */
export type ScsiCommand = RunCommand | WriteCommand;

export const GOOD: ScsiOutcome = { kind: 'status', status: SCSI_STATUS.good };

export function check(sense: Sense): ScsiOutcome {
  return { kind: 'check', sense };
}

/** 05/24/00 with a pointer to the CDB's byte, and to its highest wrong bit. */
export function invalidField(byte: number, bit?: number): ScsiOutcome {
  return check({
    ...SENSE.invalidFieldInCdb,
    cdbField: bit === undefined ? { byte } : { byte, bit },
  });
}

/** Parameter data, cut at the allocation length as SPC-4 section 4.2.5.6 wants. */
export function parameterData(data: Uint8Array, allocationBytes: number): ScsiOutcome {
  return { kind: 'data', data: data.subarray(0, allocationBytes) };
}

/** 64 bits as a number; beyond 2^53 the result is merely larger than any disk. */
export function u64(cdb: DataView, at: number): number {
  return cdb.getUint32(at) * 2 ** 32 + cdb.getUint32(at + 4);
}
