/** In which order a session's commands run. SAM-5 sections 8.4 to 8.6. */
import { RestoreError } from '../../core/index.ts';
import { BHS_BYTES, headerBytes, type IncomingPdu } from '../protocol/bhs.ts';
import type { SharedBudget } from '../protocol/pdu-writer.ts';
import type { ScsiTask } from './scsi-task.ts';

/** RFC 7143 section 11.3.1: bits 0 to 2 of a command's flags. Others than these are as SIMPLE. */
const TASK_ATTRIBUTE = { ordered: 2, headOfQueue: 3 } as const;

/** A data segment may be empty, so that bytes alone do not bound how many there are. */
const MAX_HELD_PDUS = 1024;

interface HeldTask {
  readonly task: ScsiTask;
  /** The command, and the unsolicited data that came after it. */
  readonly pdus: IncomingPdu[];
  bytes: number;
}

/**
 * The task set of one session (TST 001b). An ORDERED task runs once all before it have ended, and
 * none after it runs before it has; HEAD OF QUEUE runs at once. What waits is kept with its data.
 */
export class TaskOrder {
  readonly #budget: SharedBudget;
  readonly #maxHeldBytes: number;
  readonly #resume: (task: ScsiTask, pdus: readonly IncomingPdu[]) => void;
  #running = 0;
  #orderedRuns = false;
  #held: HeldTask[] = [];
  #resumeIsDue = false;

  /**
   * @param maxUnsolicitedBytes what one command's data may be before they are asked for
   * @param resume called when a task may run, never within another call to this object
   */
  constructor(
    budget: SharedBudget,
    maxUnsolicitedBytes: number,
    resume: (task: ScsiTask, pdus: readonly IncomingPdu[]) => void,
  ) {
    this.#budget = budget;
    this.#maxHeldBytes = maxUnsolicitedBytes;
    this.#resume = resume;
  }

  /** Lets a task run now, or keeps it. @returns whether it may run */
  enter(task: ScsiTask, pdu: IncomingPdu): boolean {
    if (this.#mayRun(task) && (this.#held.length === 0 || isUrgent(task))) {
      this.#begin(task);
      return true;
    }
    const held = { task, pdus: [], bytes: 0 };
    this.#held.push(held);
    this.#keep(held, pdu);
    return false;
  }

  /** Keeps what comes for a task that waits. @returns false when it does not wait. */
  hold(task: ScsiTask, pdu: IncomingPdu): boolean {
    if (this.#held.length === 0) return false;
    const held = this.#held.find((each) => each.task === task);
    if (held === undefined) return false;
    this.#keep(held, pdu);
    return true;
  }

  /** A task has ended, or is aborted while it waits. */
  leave(task: ScsiTask): void {
    const index = this.#held.length === 0 ? -1 : this.#held.findIndex((each) => each.task === task);
    if (index >= 0) this.#letGo(this.#held.splice(index, 1)[0]);
    else {
      this.#running -= 1;
      if (task.attribute === TASK_ATTRIBUTE.ordered) this.#orderedRuns = false;
    }
    if (this.#held.length > 0) this.#resumeSoon();
  }

  #mayRun({ attribute }: ScsiTask): boolean {
    if (attribute === TASK_ATTRIBUTE.headOfQueue) return true;
    return attribute === TASK_ATTRIBUTE.ordered ? this.#running === 0 : !this.#orderedRuns;
  }

  #begin({ attribute }: ScsiTask): void {
    this.#running += 1;
    if (attribute === TASK_ATTRIBUTE.ordered) this.#orderedRuns = true;
  }

  #keep(held: HeldTask, pdu: IncomingPdu): void {
    held.bytes += pdu.data.length;
    if (held.bytes > this.#maxHeldBytes || held.pdus.length >= MAX_HELD_PDUS) {
      held.bytes -= pdu.data.length;
      throw new RestoreError('INVALID', 'more data came unasked than was agreed', {
        where: { structure: 'Data-Out', expected: `at most ${this.#maxHeldBytes}` },
      });
    }
    this.#budget.usedBytes += pdu.data.length;
    held.pdus.push(copyOf(pdu));
  }

  /** Not at once: the answer of the task that ended is still to be built. */
  #resumeSoon(): void {
    if (this.#resumeIsDue) return;
    this.#resumeIsDue = true;
    queueMicrotask(() => {
      this.#resumeIsDue = false;
      this.#resumeHeld();
    });
  }

  #resumeHeld(): void {
    for (let held = this.#held[0]; held !== undefined; held = this.#held[0]) {
      if (!this.#mayRun(held.task)) return;
      this.#held.shift();
      this.#begin(held.task);
      this.#letGo(held);
      this.#resume(held.task, held.pdus);
    }
  }

  #letGo(held: HeldTask | undefined): void {
    this.#budget.usedBytes -= held?.bytes ?? 0;
  }
}

function isUrgent({ attribute }: ScsiTask): boolean {
  return attribute === TASK_ATTRIBUTE.headOfQueue;
}

/** A PDU's memory is only good during the call that hands it over. */
function copyOf(pdu: IncomingPdu): IncomingPdu {
  const header = headerBytes(pdu, 0, BHS_BYTES).slice();
  return { view: new DataView(header.buffer), at: 0, data: pdu.data.slice() };
}
