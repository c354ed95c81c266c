/** The full feature phase of one session. RFC 7143 sections 4.2 and 11. */
import type { LiveExport } from '../export.ts';
import type { SessionParameters } from '../login/operational.ts';
import {
  ASYNC_EVENT,
  Bhs,
  BHS_BYTES,
  headerBytes,
  type IncomingPdu,
  INITIATOR,
  isImmediate,
  opcodeOf,
  REJECT_REASON,
  RESERVED_TAG,
  TARGET,
} from '../protocol/bhs.ts';
import { Nexus } from '../scsi/nexus.ts';
import { CommandSequence } from './command-sequence.ts';
import type { Connection, ConnectionPhase, TargetResources } from './connection.ts';
import type { ScsiTask } from './scsi-task.ts';
import { ScsiTasks } from './scsi-tasks.ts';
import { runTaskManagement } from './task-management.ts';
import { TextRequests } from './text-requests.ts';

/** What login found out about a session. */
export interface SessionIdentity {
  readonly initiatorName: string;
  readonly isid: string;
  readonly tsih: number;
  readonly cid: number;
  /** Absent in a discovery session. */
  readonly live: LiveExport | undefined;
  /** What a discovery session may see. */
  readonly visible: () => readonly LiveExport[];
}

/** What a session asks of its target. */
export interface SessionHost {
  readonly resources: TargetResources;
  /** `SendTargets` text for these exports, as seen from `connection`. */
  targetAddresses(connection: Connection): readonly string[];
  /** Aborts all tasks on the unit, of every session, and resets it. */
  resetUnit(live: LiveExport): void;
  /** Ends all its sessions but one. */
  coldReset(live: LiveExport, except: Session): void;
  /** Resolves when no aborted task changes the disk any more; absent when none does now. */
  whenSettled(live: LiveExport | undefined): Promise<unknown> | undefined;
  /** Aborts the tasks of these initiator ports; resolves when they change nothing more. */
  abortTasksOf(live: LiveExport, ports: ReadonlySet<string>): Promise<void>;
  sessionClosed(session: Session): void;
}

const LOGOUT_REASON = { closeSession: 0, closeConnection: 1, recovery: 2 } as const;
const LOGOUT_RESPONSE = { closed: 0, cidNotFound: 1, recoveryNotSupported: 2 } as const;

export class Session implements ConnectionPhase {
  readonly identity: SessionIdentity;
  readonly parameters: SessionParameters;
  readonly connection: Connection;
  readonly openedAt: Date = new Date();
  readonly sequence: CommandSequence;
  readonly host: SessionHost;
  /** Absent in a discovery session. */
  readonly tasks: ScsiTasks | undefined;
  commands = 0;
  bytesRead = 0;
  bytesWritten = 0;
  readonly #text: TextRequests;
  readonly nexus: Nexus;
  readonly #abort = new AbortController();
  #pingTag = 0;
  #pingIsOut = false;
  #closed = false;

  constructor(
    connection: Connection,
    identity: SessionIdentity,
    parameters: SessionParameters,
    host: SessionHost,
    firstCmdSn: number,
  ) {
    this.connection = connection;
    this.identity = identity;
    this.parameters = parameters;
    this.host = host;
    this.sequence = new CommandSequence(firstCmdSn, host.resources.limits.commandWindow);
    this.nexus = new Nexus(identity.initiatorName, identity.isid);
    this.#text = new TextRequests(this);
    if (identity.live !== undefined) this.tasks = this.#openUnit(identity.live);
  }

  onPdu(pdu: IncomingPdu): void {
    const opcode = opcodeOf(pdu);
    const handler = HANDLERS.get(opcode);
    if (handler === undefined) {
      this.reject(pdu, REJECT_REASON.commandNotSupported);
      return;
    }
    if (handler.numbered && !this.#inSequence(pdu)) return;
    handler.run(this, pdu);
  }

  /** At error recovery level 0 the way out of a damaged PDU is a new session. */
  onDataDigestError(pdu: IncomingPdu): void {
    this.reject(pdu, REJECT_REASON.dataDigestError);
    this.connection.end();
  }

  onSent(): void {
    this.tasks?.pump();
  }

  onClosed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#abort.abort();
    this.tasks?.abortAll();
    this.identity.live?.unit.detach(this.nexus);
    this.host.sessionClosed(this);
  }

  /** Sets ExpCmdSN and MaxCmdSN, and StatSN too for a PDU that carries status. */
  stamp(view: DataView, at: number, carriesStatus: boolean): void {
    if (carriesStatus) view.setUint32(at + 24, this.connection.takeStatSn());
    view.setUint32(at + 28, this.sequence.expCmdSn);
    view.setUint32(at + 32, this.sequence.maxCmdSn);
  }

  /** Returns the header of a PDU that makes no sense. RFC 7143 section 11.17. */
  reject(pdu: IncomingPdu, reason: number): void {
    const header = headerBytes(pdu, 0, BHS_BYTES).slice();
    const { writer } = this.connection;
    const at = writer.begin(TARGET.reject, header.length);
    const view = writer.view;
    view.setUint8(at + 2, reason);
    view.setUint32(at + 16, RESERVED_TAG);
    this.stamp(view, at, true);
    writer.end(header);
  }

  /** Asks a silent initiator whether it is there. */
  ping(): void {
    this.#pingTag = (this.#pingTag + 1) % RESERVED_TAG;
    this.#pingIsOut = true;
    const { writer } = this.connection;
    const at = writer.begin(TARGET.nopIn, 0);
    const view = writer.view;
    view.setUint32(at + 16, RESERVED_TAG);
    view.setUint32(at + 20, this.#pingTag);
    // The next StatSN is shown and not used up.
    view.setUint32(at + 24, this.connection.statSn);
    this.stamp(view, at, false);
    writer.end();
    writer.flush();
  }

  get pingIsOut(): boolean {
    return this.#pingIsOut;
  }

  /** Tells the initiator that the target is going away. RFC 7143 section 11.9. */
  announce(event: number, seconds: number): void {
    if (this.connection.closed) return;
    const { writer } = this.connection;
    const at = writer.begin(TARGET.asyncMessage, 0);
    const view = writer.view;
    view.setUint32(at + 16, RESERVED_TAG);
    this.stamp(view, at, true);
    view.setUint8(at + 36, event);
    view.setUint16(at + 42, seconds);
    writer.end();
    writer.flush();
  }

  /** Ends the session from our side: the last event, then the connection. */
  drop(): void {
    this.announce(ASYNC_EVENT.dropSession, 0);
    this.connection.end();
  }

  onNopOut(pdu: IncomingPdu): void {
    const { view, at } = pdu;
    this.#pingIsOut = false;
    const tag = Bhs.initiatorTaskTag(view, at);
    if (tag === RESERVED_TAG) return;
    const echoed = pdu.data.slice(0, this.parameters.peerMaxRecvDataSegmentLengthBytes);
    const { writer } = this.connection;
    const answer = writer.begin(TARGET.nopIn, echoed.length);
    writer.view.setUint32(answer + 16, tag);
    writer.view.setUint32(answer + 20, RESERVED_TAG);
    this.stamp(writer.view, answer, true);
    writer.end(echoed);
  }

  onText(pdu: IncomingPdu): void {
    this.#text.onText(pdu);
  }

  onTaskManagement(pdu: IncomingPdu): void {
    runTaskManagement(this, pdu);
  }

  onLogout(pdu: IncomingPdu): void {
    const { view, at } = pdu;
    const reason = Bhs.flags(view, at) & 0x7f;
    const sameConnection = Bhs.cid(view, at) === this.identity.cid;
    const response =
      reason === LOGOUT_REASON.closeSession
        ? LOGOUT_RESPONSE.closed
        : reason !== LOGOUT_REASON.closeConnection
          ? LOGOUT_RESPONSE.recoveryNotSupported
          : sameConnection
            ? LOGOUT_RESPONSE.closed
            : LOGOUT_RESPONSE.cidNotFound;
    const ends = response === LOGOUT_RESPONSE.closed;
    if (ends) this.tasks?.abortAll();
    const { writer } = this.connection;
    const answer = writer.begin(TARGET.logoutResponse, 0);
    writer.view.setUint8(answer + 2, response);
    writer.view.setUint32(answer + 16, Bhs.initiatorTaskTag(view, at));
    this.stamp(writer.view, answer, true);
    writer.end();
    if (ends) this.connection.end();
  }

  #inSequence(pdu: IncomingPdu): boolean {
    const verdict = this.sequence.accept(Bhs.cmdSn(pdu.view, pdu.at), isImmediate(pdu));
    if (verdict === 'gap') {
      this.reject(pdu, REJECT_REASON.protocolError);
      this.connection.end();
    }
    return verdict === 'take';
  }

  #openUnit(live: LiveExport): ScsiTasks {
    const { resources } = this.host;
    live.unit.attach(this.nexus);
    return new ScsiTasks({
      ...resources,
      unit: live.unit,
      nexus: this.nexus,
      sequence: this.sequence,
      writer: this.connection.writer,
      parameters: this.parameters,
      signal: this.#abort.signal,
      stamp: (view, at, carriesStatus) => this.stamp(view, at, carriesStatus),
      reject: (pdu, reason) => this.reject(pdu, reason),
      flushSoon: () => this.connection.flushSoon(),
      fault: (error) => this.connection.fault(error),
      count: (task) => this.#count(live, task),
      abortTasksOf: (ports) => this.host.abortTasksOf(live, ports),
    });
  }

  #count(live: LiveExport, task: ScsiTask): void {
    // The last PDU is counted before it is built, so what is left goes with it.
    const bytes = task.sentBytes + task.leftBytes;
    const streamed = task.write === undefined ? 0 : (task.transfer?.usedBytes ?? 0);
    const written = streamed + task.changedBytes;
    this.commands += 1;
    this.bytesRead += bytes;
    this.bytesWritten += written;
    live.commands += 1;
    live.bytesRead += bytes;
    live.bytesWritten += written;
  }
}

interface Handler {
  /** Carries a CmdSN that must be in the window. */
  readonly numbered: boolean;
  run(session: Session, pdu: IncomingPdu): void;
}

const HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [INITIATOR.nopOut, { numbered: true, run: (session, pdu) => session.onNopOut(pdu) }],
  [INITIATOR.scsiCommand, { numbered: true, run: scsiCommand }],
  [
    INITIATOR.taskManagement,
    { numbered: true, run: (session, pdu) => session.onTaskManagement(pdu) },
  ],
  [INITIATOR.text, { numbered: true, run: (session, pdu) => session.onText(pdu) }],
  [INITIATOR.logout, { numbered: true, run: (session, pdu) => session.onLogout(pdu) }],
  [INITIATOR.dataOut, { numbered: false, run: (session, pdu) => session.tasks?.onDataOut(pdu) }],
  [
    INITIATOR.snack,
    { numbered: false, run: (session, pdu) => session.reject(pdu, REJECT_REASON.snackReject) },
  ],
  [INITIATOR.login, { numbered: false, run: strayLogin }],
]);

function scsiCommand(session: Session, pdu: IncomingPdu): void {
  if (session.tasks !== undefined) session.tasks.onCommand(pdu);
  else session.reject(pdu, REJECT_REASON.commandNotSupported);
}

/** Login is over; one more is a protocol error that ends the connection. */
function strayLogin(session: Session, pdu: IncomingPdu): void {
  session.reject(pdu, REJECT_REASON.protocolError);
  session.connection.end();
}
