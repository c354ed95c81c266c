import { asRestoreError, type RestoreError } from '../../core/index.ts';
import type { SharedBudget } from '../protocol/pdu-writer.ts';
import { check, GOOD, type ScsiOutcome, type WritePlan } from '../scsi/command.ts';
import { outcomeOfError } from '../scsi/error-sense.ts';
import type { Medium } from '../scsi/medium.ts';
import { firstDifference } from '../scsi/range.ts';
import { SENSE } from '../scsi/sense.ts';
import type { DataSink } from './data-out.ts';
import type { TransferBuffer, TransferBuffers } from './transfer-buffers.ts';

/** What is written at once. A whole number of blocks of any size that there is. */
const PIECE_BYTES = 256 * 1024;
/** Pieces of one command being written, before more data are asked for. */
const MAX_PIECES_UNDER_WAY = 4;

export interface WriteResources {
  readonly buffers: TransferBuffers;
  readonly budget: SharedBudget;
  /** Takes note of what the device threw. */
  readonly report: (error: RestoreError) => void;
}

/**
 * Writes the data of one command while they come, piece by piece, each in a pooled buffer.
 *
 * After a failure or an abort nothing more of the command is written; what was begun is waited for.
 */
export class MediumWrite implements DataSink {
  readonly #plan: WritePlan;
  readonly #medium: Medium;
  readonly #resources: WriteResources;
  readonly #onProgress: () => void;
  #offsetBytes: number;
  #leftBytes: number;
  #piece: TransferBuffer | undefined;
  #filled = 0;
  #underWay = 0;
  #stopped = false;
  #failure: ScsiOutcome | undefined;
  #idle: (() => void)[] = [];

  /**
   * @param lengthBytes what will come of the plan's length: whole blocks
   * @param onProgress called whenever a piece has ended
   */
  constructor(
    plan: WritePlan,
    lengthBytes: number,
    medium: Medium,
    resources: WriteResources,
    onProgress: () => void,
  ) {
    this.#plan = plan;
    this.#medium = medium;
    this.#resources = resources;
    this.#onProgress = onProgress;
    this.#offsetBytes = plan.offsetBytes;
    this.#leftBytes = lengthBytes;
  }

  /** Nothing is being written now. */
  get idle(): boolean {
    return this.#underWay === 0;
  }

  get hasRoom(): boolean {
    return this.#underWay < MAX_PIECES_UNDER_WAY;
  }

  /** What went wrong, if anything did. */
  get failure(): ScsiOutcome | undefined {
    return this.#failure;
  }

  take(data: Uint8Array): void {
    for (let at = 0; at < data.length && !this.#stopped; ) {
      this.#piece ??= this.#nextPiece();
      const { bytes } = this.#piece;
      const length = Math.min(bytes.length - this.#filled, data.length - at);
      bytes.set(length === data.length ? data : data.subarray(at, at + length), this.#filled);
      this.#filled += length;
      at += length;
      if (this.#filled === bytes.length) this.#launch(this.#piece);
    }
  }

  /** Writes nothing more. */
  stop(): void {
    this.#stopped = true;
    if (this.#piece === undefined) return;
    this.#release(this.#piece);
    this.#piece = undefined;
  }

  /** Resolves when nothing is being written any more. */
  async whenIdle(): Promise<void> {
    if (this.#underWay === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** The answer, once all pieces have ended. */
  conclude(): ScsiOutcome | Promise<ScsiOutcome> {
    if (this.#failure !== undefined) return this.#failure;
    if (!this.#plan.durable) return GOOD;
    return this.#medium.flush().then(
      () => GOOD,
      (error: unknown) => this.#failed(error, 'the disk cannot be flushed'),
    );
  }

  #nextPiece(): TransferBuffer {
    const length = Math.min(PIECE_BYTES, this.#leftBytes);
    this.#filled = 0;
    this.#resources.budget.usedBytes += length;
    return this.#resources.buffers.take(length);
  }

  #launch(piece: TransferBuffer): void {
    const offset = this.#offsetBytes;
    this.#piece = undefined;
    this.#offsetBytes += piece.bytes.length;
    this.#leftBytes -= piece.bytes.length;
    this.#underWay += 1;
    this.#write(piece.bytes, offset).then(
      (outcome) => this.#ended(piece, outcome),
      (error: unknown) => this.#lost(piece, error),
    );
  }

  #write(data: Uint8Array, offset: number): Promise<ScsiOutcome | undefined | void> {
    const { mode } = this.#plan;
    if (mode === 'write') return this.#medium.write(data, offset);
    const act = mode === 'or' ? this.#or(data, offset) : this.#verified(data, offset);
    return this.#medium.exclusive(offset, data.length, act);
  }

  #or(data: Uint8Array, offset: number): () => Promise<undefined> {
    const { device } = this.#medium;
    return async () => {
      const there = this.#resources.buffers.take(data.length);
      await device.readInto(there.bytes, offset);
      for (let at = 0; at < data.length; at += 1) {
        data[at] = (data[at] as number) | (there.bytes[at] as number);
      }
      there.release();
      await device.writeFrom(data, offset);
      return undefined;
    };
  }

  #verified(data: Uint8Array, offset: number): () => Promise<ScsiOutcome | undefined> {
    const { device } = this.#medium;
    return async () => {
      const there = this.#resources.buffers.take(data.length);
      await device.writeFrom(data, offset);
      await device.readInto(there.bytes, offset);
      const at = firstDifference(there.bytes, data);
      there.release();
      if (at === undefined) return undefined;
      const information = offset - this.#plan.offsetBytes + at;
      return check({ ...SENSE.miscompareDuringVerify, information });
    };
  }

  #ended(piece: TransferBuffer, outcome: ScsiOutcome | undefined | void): void {
    this.#release(piece);
    this.#progress(outcome);
  }

  /** The memory is left to the collector: the device may still look at it. */
  #lost(piece: TransferBuffer, error: unknown): void {
    this.#resources.budget.usedBytes -= piece.bytes.length;
    this.#progress(this.#failed(error, 'the disk cannot be written'));
  }

  #progress(outcome: ScsiOutcome | undefined | void): void {
    this.#underWay -= 1;
    if (outcome !== undefined) {
      this.#failure ??= outcome;
      this.stop();
    }
    if (this.#underWay === 0 && this.#idle.length > 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
    }
    this.#onProgress();
  }

  #release(piece: TransferBuffer): void {
    this.#resources.budget.usedBytes -= piece.bytes.length;
    piece.release();
  }

  #failed(error: unknown, message: string): ScsiOutcome {
    const reason = asRestoreError(error, message);
    this.#resources.report(reason);
    return outcomeOfError(reason);
  }
}
