/**
 * Sends data to the initiator: parameter data, and blocks of the medium. RFC 7143 section 11.7.
 */
import { asRestoreError, type RestoreError } from '../../core/index.ts';
import { FLAG, RESERVED_TAG, TARGET } from '../protocol/bhs.ts';
import { SCSI_STATUS } from '../scsi/command.ts';
import { outcomeOfError } from '../scsi/error-sense.ts';
import { findBadBlock } from '../scsi/find-bad-block.ts';
import type { TransferBuffer } from './transfer-buffers.ts';
import type { ScsiTask } from './scsi-task.ts';
import type { TaskHost } from './task-host.ts';

/** One read of the source when the bytes are not at hand. */
const MISS_BYTES = 1024 * 1024;
const MAX_RETRIES = 1;
/** Errors after which it is worth finding the exact block. */
const LOCATED = new Set(['CORRUPT', 'NOT_FOUND', 'IO']);
const MAX_LOGGED_FAILURES = 20;

export class DataIn {
  readonly #host: TaskHost;
  /** Tasks that wait for room in the send queue, in order. */
  readonly #waiting: ScsiTask[] = [];
  readonly #parts: Uint8Array[] = [];
  #readingBytes = 0;
  #loggedFailures = 0;

  constructor(host: TaskHost) {
    this.#host = host;
  }

  /** Answers with parameter data and GOOD. */
  sendData(task: ScsiTask, data: Uint8Array): void {
    task.wholeBytes = data.length;
    const length = Math.min(data.length, task.readBytes);
    if (length === 0) {
      this.#host.respond(task, SCSI_STATUS.good);
      return;
    }
    task.leftBytes = length;
    this.#sendFrom(task, data.subarray(0, length));
  }

  /** Streams blocks of the medium and ends with GOOD, or with the error that stopped it. */
  sendBlocks(task: ScsiTask, offsetBytes: number, lengthBytes: number): void {
    task.wholeBytes = lengthBytes;
    task.offsetBytes = offsetBytes;
    task.leftBytes = Math.min(lengthBytes, task.readBytes);
    if (task.leftBytes === 0) this.#host.respond(task, SCSI_STATUS.good);
    else if (this.#waiting.length > 0) this.#waiting.push(task);
    else this.#advance(task);
  }

  /** Goes on with waiting tasks as far as there is room. */
  pump(): void {
    while (this.#waiting.length > 0 && this.#hasRoom()) {
      const task = this.#waiting.shift();
      if (task !== undefined && !task.over) this.#advance(task);
    }
  }

  #advance(task: ScsiTask): void {
    while (task.leftBytes > 0) {
      if (!this.#hasRoom()) {
        this.#waiting.unshift(task);
        return;
      }
      const length = this.#nextPduBytes(task);
      const parts = this.#tryPeek(task.offsetBytes, length);
      if (parts === undefined) {
        this.#readMiss(task).catch((error: unknown) => this.#host.fault(error));
        return;
      }
      this.#sendParts(task, parts, length);
    }
  }

  /** Every connection may have one chunk; more only within its own and the common budget. */
  #hasRoom(): boolean {
    const { writer, limits, budget } = this.#host;
    const own = writer.queuedBytes + writer.unflushedBytes + this.#readingBytes;
    if (own === 0) return true;
    return own < limits.connectionBufferBytes && budget.usedBytes < limits.totalBufferBytes;
  }

  /** A PDU ends at the initiator's limit, and with its burst. */
  #nextPduBytes(task: ScsiTask): number {
    const { peerMaxRecvDataSegmentLengthBytes, maxBurstLengthBytes } = this.#host.parameters;
    const burstLeft = maxBurstLengthBytes - (task.sentBytes % maxBurstLengthBytes);
    return Math.min(task.leftBytes, peerMaxRecvDataSegmentLengthBytes, burstLeft);
  }

  /** A source that cannot even look fails the read that follows, with its reason. */
  #tryPeek(offsetBytes: number, lengthBytes: number): readonly Uint8Array[] | undefined {
    try {
      return this.#peek(offsetBytes, lengthBytes);
    } catch {
      return undefined;
    }
  }

  /** The bytes as views, when the source has all of them at hand. Good until the next call. */
  #peek(offsetBytes: number, lengthBytes: number): readonly Uint8Array[] | undefined {
    const { source, peekBytes } = this.#host.unit;
    const parts = this.#parts;
    parts.length = 0;
    const whole = source.peek(offsetBytes, lengthBytes);
    if (whole !== undefined) {
      parts.push(whole);
      return parts;
    }
    const end = offsetBytes + lengthBytes;
    for (let at = offsetBytes; at < end; ) {
      const next = Math.min(end, (Math.floor(at / peekBytes) + 1) * peekBytes);
      if (next - at === lengthBytes) return undefined;
      const part = source.peek(at, next - at);
      if (part === undefined) return undefined;
      parts.push(part);
      at = next;
    }
    return parts;
  }

  async #readMiss(task: ScsiTask): Promise<void> {
    const { unit, budget, buffers, signal } = this.#host;
    const length = Math.min(task.leftBytes, MISS_BYTES);
    const offset = task.offsetBytes;
    const buffer = buffers.take(length);
    this.#readingBytes += length;
    budget.usedBytes += length;
    let failure: RestoreError | undefined;
    try {
      await unit.source.readInto(buffer.bytes, offset, signal);
    } catch (error) {
      failure = asRestoreError(error, 'the disk cannot be read');
    }
    this.#readEnds(length);
    // After a failure the buffer is left to the collector: the failed read may still write to it.
    if (failure === undefined) this.#sendRead(task, buffer);
    else await this.#readFailed(task, failure, length);
    // Whatever became of this task, those that wait for its room must go on.
    this.pump();
    this.#host.flushSoon();
  }

  #readEnds(length: number): void {
    this.#readingBytes -= length;
    this.#host.budget.usedBytes -= length;
  }

  #sendRead(task: ScsiTask, buffer: TransferBuffer): void {
    if (task.over) buffer.release();
    else {
      this.#sendFrom(task, buffer.bytes, () => buffer.release());
      if (task.leftBytes > 0) this.#advance(task);
    }
  }

  /** Tells the initiator which block failed, after all that lies well before it. */
  async #readFailed(task: ScsiTask, error: RestoreError, length: number): Promise<void> {
    const { unit, signal } = this.#host;
    if (task.over || signal.aborted) return;
    this.#logFailure(task, error);
    let block: number | undefined;
    if (LOCATED.has(error.code)) {
      const found = await findBadBlock(unit, task.offsetBytes, length, signal);
      block = found.badBlock;
      if (task.over || signal.aborted) return;
      if (block === undefined && task.retries < MAX_RETRIES) {
        task.retries += 1;
        this.#advance(task);
        return;
      }
      if (block !== undefined) await this.#sendGoodPart(task, found.goodBytes);
    }
    if (task.over || signal.aborted) return;
    const outcome = outcomeOfError(error, block);
    if (outcome.kind === 'check') {
      this.#host.respond(task, SCSI_STATUS.checkCondition, outcome.sense);
    } else this.#host.respond(task, SCSI_STATUS.busy);
  }

  async #sendGoodPart(task: ScsiTask, goodBytes: number): Promise<void> {
    const good = Buffer.allocUnsafeSlow(goodBytes);
    try {
      await this.#host.unit.source.readInto(good, task.offsetBytes, this.#host.signal);
    } catch {
      return;
    }
    if (!task.over && goodBytes > 0) this.#sendFrom(task, good);
  }

  #logFailure(task: ScsiTask, error: RestoreError): void {
    this.#loggedFailures += 1;
    if (this.#loggedFailures > MAX_LOGGED_FAILURES) return;
    const { unit, logger } = this.#host;
    const block = task.offsetBytes / unit.blockBytes;
    logger.error({ iqn: unit.targetName, block, err: error }, 'a read of the disk failed');
  }

  /** Sends `data`, which lie in one place, in as many PDUs as they take. */
  #sendFrom(task: ScsiTask, data: Uint8Array, release?: () => void): void {
    let at = 0;
    while (at < data.length) {
      const length = Math.min(this.#nextPduBytes(task), data.length - at);
      this.#parts.length = 0;
      this.#parts.push(data.subarray(at, at + length));
      at += length;
      this.#sendParts(task, this.#parts, length, at < data.length ? undefined : release);
    }
  }

  #sendParts(
    task: ScsiTask,
    parts: readonly Uint8Array[],
    length: number,
    release?: () => void,
  ): void {
    const { writer, parameters } = this.#host;
    const last = length === task.leftBytes;
    const sentAfter = task.sentBytes + length;
    const endsBurst = last || sentAfter % parameters.maxBurstLengthBytes === 0;
    if (last) this.#host.finish(task);
    const at = writer.begin(TARGET.dataIn, length);
    const view = writer.view;
    view.setUint8(at + 1, endsBurst ? FLAG.final : 0);
    view.setUint32(at + 16, task.tag);
    view.setUint32(at + 20, RESERVED_TAG);
    view.setUint32(at + 36, task.dataPdus);
    view.setUint32(at + 40, task.sentBytes);
    if (last) setGoodStatus(view, at, task);
    this.#host.stamp(view, at, last);
    writer.endWith(parts, length, release);
    task.dataPdus += 1;
    task.sentBytes = sentAfter;
    task.offsetBytes += length;
    task.leftBytes -= length;
  }
}

/** GOOD in the last Data-In saves a SCSI Response. The residual is RFC 7143 section 11.4.5. */
function setGoodStatus(view: DataView, at: number, task: ScsiTask): void {
  const residual = task.wholeBytes - task.readBytes;
  const kind = residual > 0 ? FLAG.residualOverflow : residual < 0 ? FLAG.residualUnderflow : 0;
  view.setUint8(at + 1, FLAG.final | FLAG.status | kind);
  view.setUint32(at + 44, Math.abs(residual));
}
