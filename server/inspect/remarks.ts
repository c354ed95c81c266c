import { type PlainError, type RestoreError, toPlainError } from '../../core/index.ts';
import { showText } from '../../vfs/index.ts';
import type { InspectOutcome, InspectRemark } from './messages.ts';

/** A hostile volume has as many errors as it likes; a reader has not. */
const FAILURES_TOLD_MAX = 50;

/** What one request tells besides its output. */
export class Remarks {
  readonly #send: (remark: InspectRemark) => void;
  #failures = 0;
  #first: PlainError | undefined;

  constructor(send: (remark: InspectRemark) => void) {
    this.#send = send;
  }

  get outcome(): InspectOutcome {
    const first = this.#first;
    return { failures: this.#failures, ...(first === undefined ? {} : { first }) };
  }

  warn(message: string): void {
    this.#send({ kind: 'warning', message: showText(message) });
  }

  /** Something could not be read; the rest goes on. */
  fail(error: RestoreError, about?: string): void {
    const plain = presentable(error, about);
    this.#first ??= plain;
    this.#failures += 1;
    if (this.#failures <= FAILURES_TOLD_MAX) this.#send({ kind: 'failure', error: plain });
  }

  /** Tells how many were not told. */
  finish(): void {
    const untold = this.#failures - FAILURES_TOLD_MAX;
    if (untold > 0) this.warn(`${untold} more errors`);
  }
}

/** An error whose text shows no guest's name as anything but a name. */
export function presentable(error: RestoreError, about?: string): PlainError {
  const plain = toPlainError(error);
  const message = about === undefined ? plain.message : `${about}: ${plain.message}`;
  const hint = plain.hint === undefined ? undefined : showText(plain.hint);
  return { ...plain, message: showText(message), hint };
}
