/** The one list of SCSI commands, and how one of them is run. */
import { asRestoreError, RestoreError } from '../../core/index.ts';
import { CAPACITY_COMMANDS } from './capacity.ts';
import {
  check,
  type CommandContext,
  invalidField,
  type RunCommand,
  type ScsiCommand,
  type ScsiOutcome,
} from './command.ts';
import { outcomeOfError } from './error-sense.ts';
import { INQUIRY } from './inquiry.ts';
import { MEDIUM_WRITES } from './medium-writes.ts';
import { LOG_SENSE } from './log-sense.ts';
import { MODE_SELECT_COMMANDS } from './mode-select.ts';
import { MODE_SENSE_COMMANDS } from './mode-sense.ts';
import {
  PREVENT_ALLOW,
  REPORT_LUNS,
  REPORT_TARGET_PORT_GROUPS,
  REPORT_TASK_FUNCTIONS,
  REQUEST_SENSE,
  START_STOP_UNIT,
  TEST_UNIT_READY,
} from './primary.ts';
import { READ_COMMANDS } from './read.ts';
import { reportSupportedOpcodes } from './report-opcodes.ts';
import { CONFLICT, isReservedAway, RESERVATION_COMMANDS } from './reservations.ts';
import { SENSE } from './sense.ts';
import { SYNCHRONIZE_COMMANDS } from './synchronize-cache.ts';

const COMMANDS: readonly ScsiCommand[] = [
  TEST_UNIT_READY,
  REQUEST_SENSE,
  INQUIRY,
  ...MODE_SENSE_COMMANDS,
  ...MODE_SELECT_COMMANDS,
  LOG_SENSE,
  ...RESERVATION_COMMANDS,
  START_STOP_UNIT,
  PREVENT_ALLOW,
  ...CAPACITY_COMMANDS,
  ...READ_COMMANDS,
  ...SYNCHRONIZE_COMMANDS,
  REPORT_LUNS,
  REPORT_TARGET_PORT_GROUPS,
  REPORT_TASK_FUNCTIONS,
  reportSupportedOpcodes(() => COMMANDS),
  ...MEDIUM_WRITES,
];

/** The byte of a CDB that holds the service action is the second, in all commands here. */
const SERVICE_ACTION_BYTE = 1;
const SERVICE_ACTION_BITS = 0x1f;
const NACA = 0x04;
/** The CONTROL byte by the CDB's group (the top three bits of the opcode). SPC-4 section 4.2.5.1. */
const CONTROL_BYTE = [5, 9, 9, undefined, 15, 11, undefined, undefined] as const;

const BY_OPCODE: readonly (readonly ScsiCommand[])[] = Array.from({ length: 256 }, (_, opcode) =>
  COMMANDS.filter((command) => command.opcode === opcode),
);

export type FoundCommand = ScsiCommand | ScsiOutcome;

/** The row for a CDB, or how an unknown one is answered. */
export function findCommand(cdb: DataView): FoundCommand {
  const rows = BY_OPCODE[cdb.getUint8(0)] as readonly ScsiCommand[];
  const first = rows[0];
  if (first === undefined) return check(SENSE.invalidOpcode);
  if (first.serviceAction === undefined) return first;
  const action = cdb.getUint8(SERVICE_ACTION_BYTE) & SERVICE_ACTION_BITS;
  return rows.find((row) => row.serviceAction === action) ?? invalidField(SERVICE_ACTION_BYTE, 4);
}

export function isCommand(found: FoundCommand): found is ScsiCommand {
  return 'opcode' in found;
}

/** Why a command must not run now, else `undefined`. SAM-5 section 5.4, SPC-4 section 5. */
export function obstacle(
  command: ScsiCommand,
  { unit, nexus, cdb }: Pick<CommandContext, 'unit' | 'nexus' | 'cdb'>,
): ScsiOutcome | undefined {
  if (command.writableOnly === true && unit.readOnly) return check(SENSE.invalidOpcode);
  if (nexus.hasNews && command.ignoresUnitAttention !== true) {
    return check(nexus.takeDeferred() ?? nexus.takeAttention() ?? SENSE.none);
  }
  if (isReservedAway(command.reservationRule ?? 'writes', unit, nexus)) return CONFLICT;
  if (command.writesMedium === true && unit.readOnly) return check(SENSE.writeProtected);
  if (command.writesMedium === true && unit.modes.softwareWriteProtect) {
    return check(SENSE.softwareWriteProtected);
  }
  const controlByte = CONTROL_BYTE[cdb.getUint8(0) >> 5];
  if (controlByte !== undefined && (cdb.getUint8(controlByte) & NACA) !== 0) {
    return invalidField(controlByte, 2);
  }
  return undefined;
}

/** Runs a command. Never throws: whatever goes wrong becomes sense data. */
export function runCommand(
  command: RunCommand,
  context: CommandContext,
): ScsiOutcome | Promise<ScsiOutcome> {
  const failed = (error: unknown): ScsiOutcome => {
    // Sources throw RestoreError; anything else is a fault of our own, and must not go unseen.
    if (!(error instanceof RestoreError)) context.report(error);
    return outcomeOfError(asRestoreError(error, 'a SCSI command failed'));
  };
  try {
    const outcome = command.run(context);
    return outcome instanceof Promise ? outcome.catch(failed) : outcome;
  } catch (error) {
    return failed(error);
  }
}
