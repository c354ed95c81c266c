import { writeSync } from 'node:fs';
import { asRestoreError, RestoreError } from '../../core/index.ts';

/** Text is gathered up to this much: a call of the system for every line would cost more than it. */
const TEXT_CHARACTERS = 128 * 1024;
/** So are bytes: an archive of small files has three pieces for each. */
const GATHERED_BYTES = 64 * 1024;
/** A reader that is full is asked again after this, twice as long each time. */
const WAIT_MS_MIN = 1;
const WAIT_MS_MAX = 50;

/** Whoever read the output has seen enough (`| head`). */
export class ReaderGone extends Error {}

/**
 * Where an inspector writes its answer. Synchronous: what has been flushed is out, in order, and a slow
 * reader holds the work back instead of filling the memory.
 */
export class Output {
  readonly #descriptor: number;
  #text = '';
  readonly #gathered: Uint8Array = Buffer.allocUnsafeSlow(GATHERED_BYTES);
  #gatheredBytes = 0;
  /** True once anything is on its way: what comes after can no longer be taken back. */
  #hasBegun = false;
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** @throws ReaderGone */
  write(text: string): void {
    this.#hasBegun = true;
    this.#text += text;
    if (this.#text.length >= TEXT_CHARACTERS) this.flush();
  }

  /** Bytes as they are, behind the text so far. @throws ReaderGone */
  writeBytes(bytes: Uint8Array): void {
    this.#gatherText();
    this.#hasBegun = true;
    if (this.#gatheredBytes + bytes.byteLength > GATHERED_BYTES) this.#sendGathered();
    if (bytes.byteLength > GATHERED_BYTES) {
      this.#send(bytes);
      return;
    }
    this.#gathered.set(bytes, this.#gatheredBytes);
    this.#gatheredBytes += bytes.byteLength;
  }

  /** @throws ReaderGone */
  flush(): void {
    this.#gatherText();
    this.#sendGathered();
  }

  #gatherText(): void {
    if (this.#text === '') return;
    const bytes = Buffer.from(this.#text, 'utf8');
    this.#text = '';
    this.writeBytes(bytes);
  }

  #sendGathered(): void {
    const bytes = this.#gathered.subarray(0, this.#gatheredBytes);
    // Not again, should it fail.
    this.#gatheredBytes = 0;
    this.#send(bytes);
  }

  #send(bytes: Uint8Array): void {
    let waitMs = WAIT_MS_MIN;
    for (let done = 0; done < bytes.byteLength; ) {
      const written = this.#tryWrite(bytes, done);
      done += written;
      if (written > 0) {
        waitMs = WAIT_MS_MIN;
        continue;
      }
      Atomics.wait(this.#sleeper, 0, 0, waitMs);
      waitMs = Math.min(WAIT_MS_MAX, waitMs * 2);
    }
  }

  #tryWrite(bytes: Uint8Array, from: number): number {
    try {
      return writeSync(this.#descriptor, bytes, from, bytes.byteLength - from);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EAGAIN') return 0;
      if (code === 'EPIPE') throw new ReaderGone();
      if (code === 'ENOSPC') {
        throw new RestoreError('NO_SPACE', 'the output has no space left', { cause: error });
      }
      throw asRestoreError(error, 'cannot write the output');
    }
  }
}
