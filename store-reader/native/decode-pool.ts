import { Worker } from 'node:worker_threads';
import { fromPlainError, RestoreError } from '../../core/index.ts';
import type { BlockDecoder, DecodeRequest, DecodeResult } from './decoder.ts';
import {
  CLOSE,
  type DecodeDone,
  type DecodeWork,
  type DecodeWorkerData,
  SLOT_HEADER_BYTES,
} from './decode-messages.ts';
import type { BlockReference } from './format.ts';
import { type Slot, SlotPool } from './slots.ts';

interface Job {
  readonly batch: readonly DecodeRequest[];
  readonly results: DecodeResult[];
  left: number;
  readonly resolve: (results: readonly DecodeResult[]) => void;
}

/** A request that a thread has in hand. */
interface Running {
  readonly job: Job;
  readonly index: number;
  readonly slot: Slot;
}

interface PoolWorker {
  readonly thread: Worker;
  readonly slots: SlotPool;
  readonly running: Map<number, Running>;
}

/** Blocks given to one worker at a time: some in work, as many on their way, the rest to share out. */
const BLOCKS_UNDER_WAY = 8;

/**
 * Decodes in worker threads, each with synchronous reads and synchronous decompression: measured
 * faster than the asynchronous forms, and the event loop stays free. Blocks come in shared memory that
 * is used again once released, and what is asked for in one turn of the event loop goes to a thread
 * as one message.
 */
export class DecodePool implements BlockDecoder {
  readonly isInline = false;
  /** Enough to pay for a message, few enough to share out. */
  readonly batchBlocks = 4;
  readonly #workers: PoolWorker[] = [];
  readonly #waiting: Job[] = [];
  /** Nobody waits for these yet. */
  readonly #ahead: Job[] = [];
  readonly #data: DecodeWorkerData;
  readonly #blockBytes: number;
  /** Slots whose block is out, by their memory. */
  readonly #out = new Map<ArrayBufferLike, Slot>();
  #dispatchIsDue = false;
  #closed = false;

  /** @param blockBytes the most that a block or a page decodes to. */
  constructor(data: DecodeWorkerData, threads: number, blockBytes: number) {
    this.#data = data;
    this.#blockBytes = blockBytes;
    for (let index = 0; index < threads; index += 1) this.#start();
  }

  decode(batch: readonly DecodeRequest[], isAhead = false): Promise<readonly DecodeResult[]> {
    if (this.#closed) return Promise.resolve(batch.map(closed));
    if (batch.some(({ plainBytes }) => plainBytes > this.#blockBytes)) {
      return this.#decodePossible(batch);
    }
    return new Promise((resolve) => {
      const queue = isAhead ? this.#ahead : this.#waiting;
      queue.push({ batch, results: [], left: batch.length, resolve });
      this.#dispatchSoon();
    });
  }

  hasten(reference: BlockReference): void {
    const index = this.#ahead.findIndex(({ batch }) =>
      batch.some((request) => request.reference === reference),
    );
    if (index >= 0) this.#waiting.push(...this.#ahead.splice(index, 1));
  }

  release(block: Uint8Array): void {
    const slot = this.#out.get(block.buffer);
    if (slot === undefined) return;
    this.#out.delete(block.buffer);
    slot.owner.reuse(slot);
  }

  async close(): Promise<void> {
    this.#closed = true;
    // What no worker has begun would otherwise wait for ever.
    const unbegun = [...this.#waiting.splice(0), ...this.#ahead.splice(0)];
    for (const { batch, resolve } of unbegun) resolve(batch.map(closed));
    await Promise.all(this.#workers.map(end));
  }

  #start(): void {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const thread = new Worker(new URL(`./decode-worker.${extension}`, import.meta.url), {
      workerData: this.#data,
      name: 'decode',
    });
    const slots = new SlotPool(this.#blockBytes);
    const worker: PoolWorker = { thread, slots, running: new Map() };
    this.#workers.push(worker);
    thread.unref();
    thread.on('message', (done: DecodeDone) => this.#finish(worker, done));
    thread.on('error', (cause) => this.#lose(worker, cause));
    thread.on('exit', () => this.#lose(worker, undefined));
  }

  /** Once what is going on now has asked for all that it wants. */
  #dispatchSoon(): void {
    if (this.#dispatchIsDue) return;
    this.#dispatchIsDue = true;
    queueMicrotask(() => {
      this.#dispatchIsDue = false;
      this.#dispatch();
    });
  }

  #dispatch(): void {
    const work = new Map<PoolWorker, number[][]>();
    this.#handOut(this.#waiting, work);
    this.#handOut(this.#ahead, work);
    for (const [{ thread, slots }, batches] of work) {
      thread.ref();
      thread.postMessage({ batches, memory: slots.takeNew() } satisfies DecodeWork);
    }
  }

  #handOut(queue: Job[], work: Map<PoolWorker, number[][]>): void {
    let given = 0;
    for (const job of queue) {
      const worker = this.#idlest();
      if (worker === undefined || worker.running.size >= BLOCKS_UNDER_WAY) break;
      const batches = work.get(worker) ?? [];
      work.set(worker, batches);
      batches.push(this.#assign(worker, job));
      given += 1;
    }
    queue.splice(0, given);
  }

  #assign({ slots, running }: PoolWorker, job: Job): number[] {
    return job.batch.map((request, index) => {
      const slot = slots.take(request);
      running.set(slot.number, { job, index, slot });
      return slot.number;
    });
  }

  #idlest(): PoolWorker | undefined {
    let best: PoolWorker | undefined;
    for (const worker of this.#workers) {
      if (best === undefined || worker.running.size < best.running.size) best = worker;
    }
    return best;
  }

  #finish(worker: PoolWorker, { decoded, failed }: DecodeDone): void {
    const { running, thread } = worker;
    for (let at = 0; at < decoded.length; at += 2) {
      const task = take(running, decoded[at] as number);
      settle(task, this.#resultOf(task, decoded[at + 1] as number));
    }
    for (const [number, error] of failed) {
      const task = take(running, number);
      task.slot.owner.reuse(task.slot);
      settle(task, fromPlainError(error));
    }
    if (running.size === 0 && !this.#closed) thread.unref();
    this.#dispatchSoon();
  }

  #resultOf({ job, index, slot }: Running, plainBytes: number): Uint8Array {
    const plain = slot.bytes.subarray(SLOT_HEADER_BYTES, SLOT_HEADER_BYTES + plainBytes);
    if (job.batch[index]?.isPage === true) {
      // Pages are small and kept long.
      const copy = new Uint8Array(plain);
      slot.owner.reuse(slot);
      return copy;
    }
    this.#out.set(slot.memory, slot);
    return plain;
  }

  /** What claims to be longer than any block is refused before memory is spent on it. */
  async #decodePossible(batch: readonly DecodeRequest[]): Promise<readonly DecodeResult[]> {
    const possible = batch.filter(({ plainBytes }) => plainBytes <= this.#blockBytes);
    const decoded = possible.length === 0 ? [] : await this.decode(possible);
    const results = new Map(possible.map((request, index) => [request, decoded[index]]));
    return batch.map((request) => results.get(request) ?? tooLong(request, this.#blockBytes));
  }

  /** A dead worker fails what it had in hand and is replaced. */
  #lose(worker: PoolWorker, cause: unknown): void {
    const index = this.#workers.indexOf(worker);
    if (index < 0) return;
    this.#workers.splice(index, 1);
    worker.slots.end();
    const lost = new RestoreError('IO', 'a decoding thread ended', { cause });
    for (const task of worker.running.values()) settle(task, lost);
    worker.running.clear();
    if (this.#closed) return;
    this.#start();
    this.#dispatchSoon();
  }
}

function take(running: Map<number, Running>, number: number): Running {
  const task = running.get(number);
  if (task === undefined) throw new Error(`a decoding thread answered for slot ${number} unasked`);
  running.delete(number);
  return task;
}

function settle({ job, index }: Running, result: DecodeResult): void {
  job.results[index] = result;
  job.left -= 1;
  if (job.left === 0) job.resolve(job.results);
}

function closed(): RestoreError {
  return new RestoreError('CANCELLED', 'the repository has been closed');
}

function tooLong({ reference, plainBytes }: DecodeRequest, most: number): RestoreError {
  return new RestoreError('CORRUPT', 'a stored block claims an impossible length', {
    where: {
      object: `pack ${reference.pack}`,
      offset: reference.offset,
      expected: `at most ${most}`,
      found: plainBytes,
    },
  });
}

/**
 * Asks a thread to end after what it has in hand. Never by force while it lives: a thread that is
 * stopped inside a native library takes the whole process with it.
 */
async function end({ thread }: PoolWorker): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    thread.once('exit', () => resolve());
  });
  thread.ref();
  thread.postMessage(CLOSE);
  await ended;
}
