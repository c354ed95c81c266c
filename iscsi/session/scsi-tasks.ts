/** The SCSI commands of one session, from arrival to answer. */
import {
  Bhs,
  FLAG,
  headerBytes,
  type IncomingPdu,
  isImmediate,
  REJECT_REASON,
  RESERVED_TAG,
} from '../protocol/bhs.ts';
import {
  check,
  type CommandContext,
  type RunCommand,
  type ScsiCommand,
  type ScsiOutcome,
  SCSI_STATUS,
  type ScsiStatus,
  type WritePlan,
} from '../scsi/command.ts';
import { findCommand, isCommand, obstacle, runCommand } from '../scsi/command-set.ts';
import type { Nexus } from '../scsi/nexus.ts';
import { SENSE, type Sense } from '../scsi/sense.ts';
import type { CommandSequence } from './command-sequence.ts';
import { CollectedData } from './collected-data.ts';
import { DataIn } from './data-in.ts';
import { DataOutTransfer } from './data-out.ts';
import { MediumWrite } from './medium-write.ts';
import { lunIsZero, outcomeOfWrongLun } from './wrong-lun.ts';
import { makeTask, type ScsiTask } from './scsi-task.ts';
import type { TaskHost } from './task-host.ts';
import { TaskOrder } from './task-order.ts';
import { sendR2t, sendResponse } from './task-pdus.ts';

/** What a session gives its tasks. */
export interface TaskSession extends Omit<TaskHost, 'respond' | 'finish'> {
  readonly nexus: Nexus;
  readonly sequence: CommandSequence;
  reject(pdu: IncomingPdu, reason: number): void;
  /** Counts a command that ended. */
  count(task: ScsiTask): void;
  /** Aborts the commands of these initiator ports; resolves when they change nothing more. */
  abortTasksOf(ports: ReadonlySet<string>): Promise<void>;
}

const NOTHING = new Uint8Array(0);
const CDB_BYTES = 16;
const CDB_AT = 32;
const ATTRIBUTE_BITS = 0x07;
const MAX_LOGGED_FAILURES = 20;

export class ScsiTasks {
  readonly #session: TaskSession;
  readonly #dataIn: DataIn;
  readonly #tasks = new Map<number, ScsiTask>();
  readonly #order: TaskOrder;
  /** Tasks whose next burst waits until others have given their memory back. */
  readonly #waitingToSolicit: ScsiTask[] = [];
  /** What aborted tasks have begun to change on the medium. */
  readonly #ending = new Set<Promise<unknown>>();
  #solicitedBytes = 0;
  #lastTransferTag = 0;
  #loggedFailures = 0;

  constructor(session: TaskSession) {
    this.#session = session;
    this.#order = new TaskOrder(
      session.budget,
      session.parameters.firstBurstLengthBytes,
      (task, pdus) => this.#resume(task, pdus),
    );
    this.#dataIn = new DataIn({
      ...session,
      respond: (task, status, sense) => this.#respond(task, status, sense),
      finish: (task) => this.#finish(task),
      stamp: (view, at, carriesStatus) => session.stamp(view, at, carriesStatus),
      flushSoon: () => session.flushSoon(),
      fault: (error) => session.fault(error),
    });
  }

  get tags(): Iterable<number> {
    return this.#tasks.keys();
  }

  onCommand(pdu: IncomingPdu): void {
    const { view, at } = pdu;
    const tag = Bhs.initiatorTaskTag(view, at);
    if (tag === RESERVED_TAG) {
      this.#session.reject(pdu, REJECT_REASON.invalidPduField);
      return;
    }
    if (this.#tasks.has(tag)) {
      this.#session.reject(pdu, REJECT_REASON.taskInProgress);
      return;
    }
    // Immediate commands are outside the window, and so need a bound of their own.
    if (this.#tasks.size >= 2 * this.#session.limits.commandWindow) {
      this.#session.reject(pdu, REJECT_REASON.tooManyImmediateCommands);
      return;
    }
    const flags = Bhs.flags(view, at);
    const cdb = new DataView(headerBytes(pdu, CDB_AT, CDB_BYTES).slice().buffer);
    const expectedBytes = Bhs.expectedDataTransferLength(view, at);
    const found = findCommand(cdb);
    const writes = (flags & FLAG.write) !== 0;
    const task = makeTask(
      tag,
      isImmediate(pdu),
      flags & ATTRIBUTE_BITS,
      cdb,
      (flags & FLAG.read) !== 0 && !writes ? expectedBytes : 0,
      writes ? expectedBytes : 0,
      isCommand(found) ? found : undefined,
    );
    if (!task.immediate) this.#session.sequence.begin();
    if (this.#order.enter(task, pdu)) this.#begin(task, pdu);
    else this.#tasks.set(tag, task);
  }

  #begin(task: ScsiTask, pdu: IncomingPdu): void {
    const flags = Bhs.flags(pdu.view, pdu.at);
    const writes = (flags & FLAG.write) !== 0;
    task.verdict = this.#judge(task, lunIsZero(pdu));
    const takesData = writes || wantsData(task.command);
    if (takesData) this.#receive(task, pdu, !writes || (flags & FLAG.final) !== 0);
    else this.#run(task, NOTHING);
  }

  /** What a task was kept from, in the order in which it came. */
  #resume(task: ScsiTask, [command, ...data]: readonly IncomingPdu[]): void {
    if (command !== undefined) this.#begin(task, command);
    for (const pdu of data) this.onDataOut(pdu);
    this.#session.flushSoon();
  }

  onDataOut(pdu: IncomingPdu): void {
    const { view, at } = pdu;
    const task = this.#tasks.get(Bhs.initiatorTaskTag(view, at));
    if (task !== undefined && this.#order.hold(task, pdu)) return;
    // Data of a task that was aborted may still be on their way: they are dropped.
    if (task?.transfer === undefined) return;
    task.transfer.dataOut({
      targetTransferTag: Bhs.targetTransferTag(view, at),
      dataSn: Bhs.dataSn(view, at),
      bufferOffset: Bhs.bufferOffset(view, at),
      final: (Bhs.flags(view, at) & FLAG.final) !== 0,
      data: pdu.data,
    });
    this.#goOn(task);
  }

  /** Ends a task without an answer. False when there is none of that tag. */
  abort(tag: number): boolean {
    const task = this.#tasks.get(tag);
    if (task === undefined) return false;
    task.leftBytes = 0;
    this.#finish(task);
    this.#awaitEnd(task);
    return true;
  }

  /** Resolves when no aborted task changes the medium any more; absent when none does now. */
  whenSettled(): Promise<unknown> | undefined {
    return this.#ending.size === 0 ? undefined : Promise.all(this.#ending);
  }

  abortAll(): void {
    for (const tag of [...this.#tasks.keys()]) this.abort(tag);
  }

  /** Goes on with tasks that wait for room. */
  pump(): void {
    this.#dataIn.pump();
  }

  /** The answer that is certain before the command runs, if any. */
  #judge(task: ScsiTask, lunIsThere: boolean): ScsiOutcome | undefined {
    if (!lunIsThere) return outcomeOfWrongLun(task);
    if (task.command === undefined) {
      const found = findCommand(task.cdb);
      return isCommand(found) ? undefined : found;
    }
    const { unit, nexus } = this.#session;
    return obstacle(task.command, { unit, nexus, cdb: task.cdb });
  }

  #receive(task: ScsiTask, pdu: IncomingPdu, final: boolean): void {
    const { parameters } = this.#session;
    task.verdict ??= this.#admit();
    const sink = task.verdict === undefined ? this.#prepare(task) : undefined;
    const wanted = task.verdict === undefined && sink !== undefined ? task.wholeBytes : 0;
    const transfer = new DataOutTransfer(task.writeBytes, wanted, parameters, sink ?? NO_SINK);
    task.transfer = transfer;
    this.#tasks.set(task.tag, task);
    transfer.command(pdu.data, final);
    this.#goOn(task);
  }

  /** Data that come unasked are bounded by the command window alone; this bounds all sessions'. */
  #admit(): ScsiOutcome | undefined {
    const { budget, limits } = this.#session;
    const full = this.#tasks.size > 0 && budget.usedBytes > limits.totalBufferBytes;
    return full ? { kind: 'status', status: SCSI_STATUS.taskSetFull } : undefined;
  }

  /** Decides where a command's data go, or that they are refused. */
  #prepare(task: ScsiTask): MediumWrite | CollectedData | undefined {
    const { command } = task;
    const { unit, limits, buffers, budget } = this.#session;
    if (command === undefined) return undefined;
    if ('plan' in command) {
      const { maxTransferBytes } = limits;
      const plan = command.plan({ unit, cdb: task.cdb, maxTransferBytes });
      if (plan.kind === 'write') return this.#prepareWrite(task, plan);
      task.verdict = plan;
      return undefined;
    }
    const wanted = command.dataOutBytes?.(task.cdb, unit) ?? 0;
    task.wholeBytes = wanted;
    if (wanted > limits.maxTransferBytes) task.verdict = check(SENSE.invalidFieldInCdb);
    else if (command.exactData === true && task.writeBytes !== wanted) {
      task.verdict = check(SENSE.invalidFieldInCdb);
    } else if (task.writeBytes < wanted) {
      // The initiator announced fewer bytes than its command needs.
      task.verdict = check(SENSE.invalidInformationUnit);
    } else task.collected = new CollectedData(wanted, buffers, budget);
    return task.collected;
  }

  /** Fewer bytes than the command needs are written as far as they are whole blocks. */
  #prepareWrite(task: ScsiTask, plan: WritePlan): MediumWrite | undefined {
    const { unit, buffers, budget } = this.#session;
    const { medium } = unit;
    task.wholeBytes = plan.lengthBytes;
    const length = Math.min(plan.lengthBytes, task.writeBytes);
    if (medium === undefined) task.verdict = check(SENSE.writeProtected);
    else if (length % unit.blockBytes !== 0) task.verdict = check(SENSE.invalidInformationUnit);
    else {
      const report = (error: unknown): void => this.#logFailure(error);
      const onProgress = (): void => this.#progress(task);
      const resources = { buffers, budget, report };
      task.write = new MediumWrite(plan, length, medium, resources, onProgress);
    }
    return task.write;
  }

  #progress(task: ScsiTask): void {
    if (task.over) return;
    this.#goOn(task);
    this.#session.flushSoon();
  }

  #goOn(task: ScsiTask): void {
    const { transfer, write } = task;
    if (transfer === undefined || transfer.burstOpen || task.running !== undefined) return;
    if (transfer.trouble !== undefined) task.verdict ??= check(transfer.trouble);
    task.verdict ??= write?.failure;
    if (task.verdict !== undefined) write?.stop();
    if (transfer.complete || task.verdict !== undefined) {
      if (write === undefined) this.#run(task, task.collected?.data ?? NOTHING);
      else if (write.idle) this.#runOrWait(task, task.verdict ?? write.conclude());
    } else if (write?.hasRoom !== false && !task.waitsForMemory) this.#solicit(task, transfer);
  }

  #solicit(task: ScsiTask, transfer: DataOutTransfer): void {
    const { limits, parameters } = this.#session;
    const missing = transfer.missingBytes;
    // What streams to the medium holds some bursts at a time, whatever its length.
    const streamed = Math.min(missing, 2 * parameters.maxBurstLengthBytes);
    const wanted = task.write === undefined ? missing : streamed;
    const limit = limits.connectionBufferBytes;
    const mustWait = this.#solicitedBytes > 0 && this.#solicitedBytes + wanted > limit;
    if (mustWait && !task.holdsMemory) {
      task.waitsForMemory = true;
      this.#waitingToSolicit.push(task);
      return;
    }
    if (!task.holdsMemory) {
      task.holdsMemory = true;
      task.memoryBytes = wanted;
      this.#solicitedBytes += wanted;
    }
    this.#sendR2t(task, transfer);
  }

  #sendR2t(task: ScsiTask, transfer: DataOutTransfer): void {
    this.#lastTransferTag = (this.#lastTransferTag + 1) % RESERVED_TAG;
    sendR2t(this.#session, task, transfer.solicit(this.#lastTransferTag));
  }

  #run(task: ScsiTask, dataOut: Uint8Array): void {
    const { command, verdict } = task;
    if (verdict !== undefined || command === undefined || 'plan' in command) {
      this.#conclude(task, verdict ?? check(SENSE.invalidOpcode));
      return;
    }
    this.#runOrWait(task, runCommand(command, this.#contextOf(task, command, dataOut)));
  }

  #contextOf(task: ScsiTask, command: RunCommand, dataOut: Uint8Array): CommandContext {
    const { unit, nexus, signal, limits, logger } = this.#session;
    return {
      unit,
      nexus,
      cdb: task.cdb,
      dataOut,
      signal,
      maxTransferBytes: limits.maxTransferBytes,
      report: (error) => logger.error({ err: error, command: command.name }, 'a command failed'),
      aborted: () => task.over,
      changed: (bytes) => {
        task.changedBytes += bytes;
      },
      abortTasksOf: (ports) => this.#session.abortTasksOf(ports),
    };
  }

  #runOrWait(task: ScsiTask, outcome: ScsiOutcome | Promise<ScsiOutcome>): void {
    if (!(outcome instanceof Promise)) {
      this.#conclude(task, outcome);
      task.collected?.release();
      return;
    }
    this.#tasks.set(task.tag, task);
    task.running = outcome
      .then((late) => {
        if (!task.over) this.#conclude(task, late);
        // After a failure the memory is left to the collector: the device may still look at it.
        task.collected?.release(late.kind !== 'check');
        this.#session.flushSoon();
      })
      .catch((error: unknown) => this.#session.fault(error));
  }

  #conclude(task: ScsiTask, outcome: ScsiOutcome): void {
    if (outcome.kind === 'read') {
      this.#dataIn.sendBlocks(task, outcome.offsetBytes, outcome.lengthBytes);
      // Only one that could not be answered at once needs to be found again.
      if (!task.over) this.#tasks.set(task.tag, task);
    } else if (outcome.kind === 'data') this.#dataIn.sendData(task, outcome.data);
    else if (outcome.kind === 'check') {
      this.#respond(task, SCSI_STATUS.checkCondition, outcome.sense);
    } else this.#respond(task, outcome.status);
  }

  #respond(task: ScsiTask, status: ScsiStatus, sense?: Sense): void {
    task.leftBytes = 0;
    this.#finish(task);
    sendResponse(this.#session, task, status, sense);
  }

  /** Takes a task off the list: exactly once, whether it is answered or aborted. */
  #finish(task: ScsiTask): void {
    if (task.over) return;
    task.over = true;
    this.#tasks.delete(task.tag);
    if (!task.immediate) this.#session.sequence.end();
    this.#session.count(task);
    this.#order.leave(task);
    task.write?.stop();
    if (task.running === undefined) task.collected?.release();
    if (!task.holdsMemory) return;
    this.#solicitedBytes -= task.memoryBytes;
    this.#solicitNext();
  }

  /** Remembers what an aborted task still changes. */
  #awaitEnd({ write, running }: ScsiTask): void {
    if (running === undefined && write?.idle !== false) return;
    const end = Promise.all([write?.whenIdle(), running]);
    this.#ending.add(end);
    void end.finally(() => this.#ending.delete(end));
  }

  #logFailure(error: unknown): void {
    this.#loggedFailures += 1;
    if (this.#loggedFailures > MAX_LOGGED_FAILURES) return;
    const { unit, logger } = this.#session;
    logger.error({ iqn: unit.targetName, err: error }, 'a write to the disk failed');
  }

  #solicitNext(): void {
    let next = this.#waitingToSolicit.shift();
    while (next?.over === true) next = this.#waitingToSolicit.shift();
    if (next?.transfer === undefined) return;
    next.waitsForMemory = false;
    this.#solicit(next, next.transfer);
  }
}

const NO_SINK = { take(): void {} };

function wantsData(command: ScsiCommand | undefined): boolean {
  return command !== undefined && ('plan' in command || command.dataOutBytes !== undefined);
}
