/** PERSISTENT RESERVE OUT. SPC-4 section 6.16. */
import {
  check,
  type CommandContext,
  GOOD,
  invalidField,
  type ScsiCommand,
  type ScsiOutcome,
  SCSI_STATUS,
} from './command.ts';
import type { LogicalUnit } from './logical-unit.ts';
import { isReservationType, type ReservationType, type Told } from './persistent-reservations.ts';
import { SENSE } from './sense.ts';

const PARAMETER_BYTES = 24;
const FLAGS_BYTE = 20;
const SPEC_I_PT = 0x08;
const APTPL = 0x01;
const LOGICAL_UNIT_SCOPE = 0;

/** The parameters, checked. */
interface Request {
  readonly context: CommandContext;
  readonly unit: LogicalUnit;
  readonly port: string;
  /** The key that the sender says it has. */
  readonly key: bigint;
  readonly actionKey: bigint;
}

type Action = (request: Request) => ScsiOutcome | Promise<ScsiOutcome>;

export const PERSISTENT_RESERVE_OUT: readonly ScsiCommand[] = [
  service('REGISTER', 0x00, (request) => {
    const known = request.unit.persistent.keyOf(request.port) ?? 0n;
    return known === request.key ? register(request) : conflict();
  }),
  service('RESERVE', 0x01, registered(reserve)),
  service('RELEASE', 0x02, registered(release)),
  service(
    'CLEAR',
    0x03,
    registered(({ context, unit, port }) => tell(context, unit.persistent.clear(port), true)),
  ),
  service('PREEMPT', 0x04, registered(preempt)),
  service('PREEMPT AND ABORT', 0x05, registered(preemptAndAbort)),
  service('REGISTER AND IGNORE EXISTING KEY', 0x06, register),
];

function service(name: string, serviceAction: number, act: Action): ScsiCommand {
  return {
    name: `PERSISTENT RESERVE OUT: ${name}`,
    opcode: 0x5f,
    serviceAction,
    usage: '5f 1f ff 0000 ffffffff 00',
    // Each action has its own rule about who may.
    reservationRule: 'always',
    writableOnly: true,
    dataOutBytes: (cdb) => Math.min(cdb.getUint32(5), PARAMETER_BYTES),
    run(context) {
      const { cdb, dataOut, unit, nexus } = context;
      if (unit.reservedBy !== undefined) return conflict();
      const wrongLength =
        cdb.getUint32(5) !== PARAMETER_BYTES || dataOut.length !== PARAMETER_BYTES;
      if (wrongLength) return check(SENSE.parameterListLength);
      const view = new DataView(dataOut.buffer, dataOut.byteOffset, dataOut.byteLength);
      // No other ports are named, and nothing outlives the target: both are said in capabilities.
      if ((view.getUint8(FLAGS_BYTE) & (SPEC_I_PT | APTPL)) !== 0) {
        return check(SENSE.invalidFieldInParameters);
      }
      return act({
        context,
        unit,
        port: nexus.portName,
        key: view.getBigUint64(0),
        actionKey: view.getBigUint64(8),
      });
    },
  };
}

/** Only for a port that is registered with the key it says. */
function registered(act: Action): Action {
  return (request) => {
    const known = request.unit.persistent.keyOf(request.port);
    return known === undefined || known !== request.key ? conflict() : act(request);
  };
}

function register({ context, unit, port, actionKey }: Request): ScsiOutcome {
  const { persistent } = unit;
  const isNew = persistent.keyOf(port) === undefined && actionKey !== 0n;
  if (isNew && persistent.full) return check(SENSE.insufficientRegistrations);
  return tell(context, persistent.register(port, actionKey));
}

function reserve({ context, unit, port }: Request): ScsiOutcome {
  const asked = typeOf(context.cdb);
  if (typeof asked !== 'number') return asked;
  const { persistent } = unit;
  const held = persistent.reservation;
  if (held === undefined) persistent.reserve(port, asked);
  else if (!persistent.isHolder(port) || held.type !== asked) return conflict();
  return GOOD;
}

function release({ context, unit, port }: Request): ScsiOutcome {
  const asked = typeOf(context.cdb);
  if (typeof asked !== 'number') return asked;
  const { persistent } = unit;
  if (!persistent.isHolder(port)) return GOOD;
  if (persistent.reservation?.type !== asked) return check(SENSE.invalidRelease);
  return tell(context, persistent.release(port));
}

function preempt(request: Request): ScsiOutcome {
  const { context, unit, port, actionKey } = request;
  const asked = preemptable(request);
  if (typeof asked !== 'number') return asked;
  return tell(context, unit.persistent.preempt(port, actionKey, asked));
}

async function preemptAndAbort(request: Request): Promise<ScsiOutcome> {
  const { context, unit, port, actionKey } = request;
  const asked = preemptable(request);
  if (typeof asked !== 'number') return asked;
  const told = unit.persistent.preempt(port, actionKey, asked);
  const outcome = tell(context, told);
  await context.abortTasksOf(new Set(told.preempted));
  return outcome;
}

/** The type for the new reservation, or why there is nothing to preempt. */
function preemptable({ context, unit, actionKey }: Request): ReservationType | ScsiOutcome {
  const { persistent } = unit;
  const takesOver = persistent.takesOver(actionKey);
  if (!takesOver && actionKey === 0n) return check(SENSE.invalidFieldInParameters);
  if (!takesOver && !persistent.hasKey(actionKey)) return conflict();
  if (takesOver) return typeOf(context.cdb);
  // Type and scope are not looked at when no reservation is made.
  return persistent.reservation?.type ?? 1;
}

function typeOf(cdb: DataView): ReservationType | ScsiOutcome {
  const scope = cdb.getUint8(2) >> 4;
  const type = cdb.getUint8(2) & 0x0f;
  if (scope !== LOGICAL_UNIT_SCOPE) return invalidField(2, 7);
  return isReservationType(type) ? type : invalidField(2, 3);
}

/** Unit attentions for the ports that lost something; never for the sender. */
function tell(
  { unit, nexus }: CommandContext,
  { released, preempted }: Told,
  cleared = false,
): ScsiOutcome {
  for (const other of unit.nexuses) {
    if (other === nexus) continue;
    if (preempted.includes(other.portName)) {
      other.raise(cleared ? SENSE.reservationsPreempted : SENSE.registrationsPreempted);
    } else if (released.includes(other.portName)) other.raise(SENSE.reservationsReleased);
  }
  return GOOD;
}

function conflict(): ScsiOutcome {
  return { kind: 'status', status: SCSI_STATUS.reservationConflict };
}
