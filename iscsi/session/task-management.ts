/** Task management functions. RFC 7143 sections 11.5 and 11.6, SAM-5 section 7. */
import { Bhs, headerBytes, type IncomingPdu, TARGET } from '../protocol/bhs.ts';
import { serialBefore } from '../protocol/serial.ts';
import type { LiveExport } from '../export.ts';
import type { Session } from './session.ts';

const TASK_FUNCTION = {
  abortTask: 1,
  abortTaskSet: 2,
  clearAca: 3,
  clearTaskSet: 4,
  logicalUnitReset: 5,
  targetWarmReset: 6,
  targetColdReset: 7,
  taskReassign: 8,
} as const;

const TASK_RESPONSE = {
  complete: 0,
  noSuchTask: 1,
  noSuchUnit: 2,
  reassignNotSupported: 4,
  notSupported: 5,
  rejected: 255,
} as const;

type TaskFunction = (session: Session, live: LiveExport, pdu: IncomingPdu) => number;

/** One row a function. Those that name a unit are refused for any but LUN 0. */
const FUNCTIONS: ReadonlyMap<number, { readonly onUnit: boolean; readonly run: TaskFunction }> =
  new Map([
    [TASK_FUNCTION.abortTask, { onUnit: true, run: abortTask }],
    [TASK_FUNCTION.abortTaskSet, { onUnit: true, run: abortTaskSet }],
    // Each session has a task set of its own: SAM-5 section 7.4.
    [TASK_FUNCTION.clearTaskSet, { onUnit: true, run: abortTaskSet }],
    [TASK_FUNCTION.logicalUnitReset, { onUnit: true, run: resetUnit }],
    [TASK_FUNCTION.targetWarmReset, { onUnit: false, run: resetUnit }],
    [TASK_FUNCTION.targetColdReset, { onUnit: false, run: coldReset }],
    [TASK_FUNCTION.taskReassign, { onUnit: false, run: () => TASK_RESPONSE.reassignNotSupported }],
  ]);

/** Answers once what the function aborted changes nothing more. */
export function runTaskManagement(session: Session, pdu: IncomingPdu): void {
  const { view, at } = pdu;
  const tag = Bhs.initiatorTaskTag(view, at);
  const code = Bhs.flags(view, at) & 0x7f;
  const response = runFunction(session, code, pdu);
  const settled = session.host.whenSettled(session.identity.live);
  if (settled === undefined) {
    respond(session, tag, code, response);
    return;
  }
  settled
    .then(() => {
      if (!session.connection.closed) respond(session, tag, code, response);
      session.connection.flushSoon();
    })
    .catch((error: unknown) => session.connection.fault(error));
}

function respond(session: Session, tag: number, code: number, response: number): void {
  const { writer } = session.connection;
  const answer = writer.begin(TARGET.taskManagementResponse, 0);
  writer.view.setUint8(answer + 2, response);
  writer.view.setUint32(answer + 16, tag);
  session.stamp(writer.view, answer, true);
  writer.end();
  if (code === TASK_FUNCTION.targetColdReset && response === TASK_RESPONSE.complete) {
    session.connection.end();
  }
}

function runFunction(session: Session, code: number, pdu: IncomingPdu): number {
  const live = session.identity.live;
  const row = FUNCTIONS.get(code);
  if (row === undefined || live === undefined) return TASK_RESPONSE.notSupported;
  const namesUnit = headerBytes(pdu, 8, 8).every((byte) => byte === 0);
  if (row.onUnit && !namesUnit) return TASK_RESPONSE.noSuchUnit;
  return row.run(session, live, pdu);
}

/** The task is either answered before this response or never: RFC 7143 section 11.5.1. */
function abortTask(session: Session, _live: LiveExport, { view, at }: IncomingPdu): number {
  if (session.tasks?.abort(Bhs.referencedTaskTag(view, at)) === true) {
    return TASK_RESPONSE.complete;
  }
  // A command that never arrived, but has its place in the window, counts as aborted.
  const refCmdSn = Bhs.refCmdSn(view, at);
  const { expCmdSn, maxCmdSn } = session.sequence;
  const isAhead = !serialBefore(refCmdSn, expCmdSn) && !serialBefore(maxCmdSn, refCmdSn);
  return isAhead ? TASK_RESPONSE.complete : TASK_RESPONSE.noSuchTask;
}

function abortTaskSet(session: Session): number {
  session.tasks?.abortAll();
  return TASK_RESPONSE.complete;
}

function resetUnit(session: Session, live: LiveExport): number {
  session.host.resetUnit(live);
  return TASK_RESPONSE.complete;
}

function coldReset(session: Session, live: LiveExport): number {
  session.host.resetUnit(live);
  session.host.coldReset(live, session);
  return TASK_RESPONSE.complete;
}
