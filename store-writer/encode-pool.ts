import { fromPlainError, RestoreError } from '../core/index.ts';
import { type EncodeWorkerData, type FromWorker, type ToWorker } from './encode-worker.ts';
import type { EncodeTask, HashedTask, StoredBlock } from './encoder.ts';

/** One end of a channel to a capture thread: a `Worker`, or a port to an encoder in this thread. */
export interface EncodeLink {
  postMessage(message: ToWorker): void;
  on(event: 'message', listener: (message: FromWorker) => void): unknown;
  on(event: 'error' | 'messageerror', listener: (error: unknown) => void): unknown;
  /** `close` for ports, `exit` for threads. */
  on(event: 'exit' | 'close', listener: () => void): unknown;
}

/** Starts a capture thread. */
export type StartEncoder = (data: EncodeWorkerData) => EncodeLink;

interface Member {
  readonly link: EncodeLink;
  tasks: number;
  writtenBytes: number;
  finished: boolean;
}

interface Pending {
  readonly member: Member;
  readonly hashed: PromiseWithResolvers<HashedTask>;
  readonly stored: PromiseWithResolvers<readonly StoredBlock[]>;
}

/** Tasks a thread may hold: one being read, one hashed, one being stored. */
const DEPTH = 3;

/** Shares tasks out among capture threads. The first failure fails everything that is under way. */
export class EncodePool {
  readonly #members: Member[];
  readonly #pending = new Map<number, Pending>();
  readonly #room: (() => void)[] = [];
  readonly #finished = Promise.withResolvers<void>();
  #failure: RestoreError | undefined;
  #next = 0;

  constructor(links: readonly EncodeLink[]) {
    this.#finished.promise.catch(() => undefined);
    this.#members = links.map((link) => {
      const member: Member = { link, tasks: 0, writtenBytes: 0, finished: false };
      link.on('message', (message) => this.#receive(member, message));
      link.on('error', (cause) => this.fail(lost(cause)));
      link.on('exit', () => this.#gone(member));
      link.on('close', () => this.#gone(member));
      return member;
    });
  }

  /** Bytes that the threads have handed to storage. */
  get writtenBytes(): number {
    return this.#members.reduce((sum, { writtenBytes }) => sum + writtenBytes, 0);
  }

  /** Waits for a free place, then has the task read and hashed. Must be followed by `store`. */
  async start(task: Omit<EncodeTask, 'number'>): Promise<{ hashed: Promise<HashedTask> }> {
    while (this.#failure === undefined && this.#idlest().tasks >= DEPTH) {
      await new Promise<void>((resolve) => this.#room.push(resolve));
    }
    if (this.#failure !== undefined) throw this.#failure;
    const member = this.#idlest();
    const number = this.#next;
    this.#next += 1;
    member.tasks += 1;
    const pending: Pending = {
      member,
      hashed: Promise.withResolvers(),
      stored: Promise.withResolvers(),
    };
    pending.hashed.promise.catch(() => undefined);
    pending.stored.promise.catch(() => undefined);
    this.#pending.set(number, pending);
    member.link.postMessage({ type: 'hash', task: { ...task, number } });
    return { hashed: pending.hashed.promise };
  }

  /** Has the wanted blocks of a hashed task stored. */
  store(number: number, wanted: Uint8Array): Promise<readonly StoredBlock[]> {
    const pending = this.#pending.get(number);
    if (pending === undefined) return Promise.reject(this.#failure ?? lost('no such task'));
    pending.member.link.postMessage({ type: 'store', number, wanted });
    return pending.stored.promise;
  }

  /** Makes all stored blocks durable and ends the threads. */
  async finish(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    for (const { link } of this.#members) link.postMessage({ type: 'finish' });
    await this.#finished.promise;
  }

  /** Ends the threads, giving up what they have not finished. Quiet. */
  async abort(): Promise<void> {
    for (const member of this.#members) {
      if (!member.finished) member.link.postMessage({ type: 'abort' });
    }
    const deadline = new Promise<void>((resolve) => setTimeout(resolve, 10_000).unref());
    const ended = async (): Promise<void> => {
      while (this.#members.some(({ finished }) => !finished)) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    await Promise.race([ended(), deadline]);
  }

  /** Fails everything under way. */
  fail(error: RestoreError): void {
    this.#failure ??= error;
    for (const { hashed, stored } of this.#pending.values()) {
      hashed.reject(this.#failure);
      stored.reject(this.#failure);
    }
    this.#pending.clear();
    this.#finished.reject(this.#failure);
    this.#wake();
  }

  #receive(member: Member, message: FromWorker): void {
    if (message.type === 'failed') {
      this.fail(fromPlainError(message.error));
    } else if (message.type === 'hashed') {
      this.#pending.get(message.hashed.number)?.hashed.resolve(message.hashed);
    } else if (message.type === 'stored') {
      member.writtenBytes = message.writtenBytes;
      member.tasks -= 1;
      this.#pending.get(message.number)?.stored.resolve(message.blocks);
      this.#pending.delete(message.number);
      this.#wake();
    } else {
      member.writtenBytes = message.writtenBytes;
      member.finished = true;
      if (this.#members.every(({ finished }) => finished)) this.#finished.resolve();
    }
  }

  #gone(member: Member): void {
    if (member.finished) return;
    member.finished = true;
    this.fail(lost('it ended too early'));
  }

  #wake(): void {
    for (const resolve of this.#room.splice(0)) resolve();
  }

  #idlest(): Member {
    return this.#members.reduce((best, member) => (member.tasks < best.tasks ? member : best));
  }
}

function lost(cause: unknown): RestoreError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new RestoreError('IO', `a capture thread failed: ${reason}`, { cause });
}
