/** REPORT SUPPORTED OPERATION CODES. SPC-4 section 6.35. */
import { invalidField, parameterData, type ScsiCommand, type ScsiOutcome } from './command.ts';
import type { LogicalUnit } from './logical-unit.ts';

const OPTION = { all: 0, byOpcode: 1, byServiceAction: 2, either: 3 } as const;
const NOT_SUPPORTED = 0x01;
const SUPPORTED = 0x03;
const TIMEOUTS_BYTES = 12;
const SERVICE_ACTION_BITS = 0x1f;

/** @param commands the set that is reported; it is asked for only when the command runs. */
export function reportSupportedOpcodes(commands: () => readonly ScsiCommand[]): ScsiCommand {
  return {
    name: 'REPORT SUPPORTED OPERATION CODES',
    opcode: 0xa3,
    serviceAction: 0x0c,
    usage: 'a3 1f 87 ff ffff ffffffff 00 00',
    reservationRule: 'reads',
    run({ cdb, unit }) {
      const option = cdb.getUint8(2) & 0x07;
      const timeouts = (cdb.getUint8(2) & 0x80) !== 0;
      const allocationBytes = cdb.getUint32(6);
      if (option > OPTION.either) return invalidField(2, 2);
      const supported = commands().filter((command) => isSupported(command, unit));
      const opcode = cdb.getUint8(3);
      const answer =
        option === OPTION.all
          ? allCommands(supported, timeouts)
          : oneCommand(supported, option, opcode, cdb.getUint16(4), timeouts);
      return answer instanceof Uint8Array ? parameterData(answer, allocationBytes) : answer;
    },
  };
}

/** On a read-only unit the medium writes can never succeed: they are not supported there. */
function isSupported(command: ScsiCommand, unit: LogicalUnit): boolean {
  if (command.notImplemented === true) return false;
  return !unit.readOnly || (command.writesMedium !== true && command.writableOnly !== true);
}

function allCommands(commands: readonly ScsiCommand[], timeouts: boolean): Uint8Array {
  const descriptors = commands.map((command) => descriptor(command, timeouts));
  const data = Buffer.concat([new Uint8Array(4), ...descriptors]);
  data.writeUInt32BE(data.length - 4, 0);
  return data;
}

function descriptor(command: ScsiCommand, timeouts: boolean): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes[0] = command.opcode;
  bytes.writeUInt16BE(command.serviceAction ?? 0, 2);
  bytes[5] = (timeouts ? 0x02 : 0) | (command.serviceAction === undefined ? 0 : 0x01);
  bytes.writeUInt16BE(usageOf(command).length, 6);
  return timeouts ? Buffer.concat([bytes, noTimeouts()]) : bytes;
}

function oneCommand(
  commands: readonly ScsiCommand[],
  option: number,
  opcode: number,
  serviceAction: number,
  timeouts: boolean,
): Uint8Array | ScsiOutcome {
  const rows = commands.filter((command) => command.opcode === opcode);
  const hasServiceActions = rows.some((command) => command.serviceAction !== undefined);
  if (option === OPTION.byOpcode && hasServiceActions) return invalidField(2, 2);
  if (option === OPTION.byServiceAction && rows.length > 0 && !hasServiceActions) {
    return invalidField(2, 2);
  }
  const found = rows.find(
    (command) => command.serviceAction === undefined || command.serviceAction === serviceAction,
  );
  if (found === undefined) return Uint8Array.of(0, NOT_SUPPORTED, 0, 0);
  const usage = usageOf(found);
  const header = Buffer.from([0, (timeouts ? 0x80 : 0) | SUPPORTED, 0, usage.length]);
  return Buffer.concat(timeouts ? [header, usage, noTimeouts()] : [header, usage]);
}

/** The service action is shown as its value, all else as the bits that matter. */
function usageOf({ usage, serviceAction }: ScsiCommand): Uint8Array {
  const bytes = Buffer.from(usage.replaceAll(' ', ''), 'hex');
  if (serviceAction !== undefined) {
    bytes[1] = ((bytes[1] as number) & ~SERVICE_ACTION_BITS) | serviceAction;
  }
  return bytes;
}

/** A descriptor that says: no timeouts are known. */
function noTimeouts(): Uint8Array {
  const bytes = Buffer.alloc(TIMEOUTS_BYTES);
  bytes.writeUInt16BE(TIMEOUTS_BYTES - 2, 0);
  return bytes;
}
