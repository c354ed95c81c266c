import { Worker } from 'node:worker_threads';
import { fromPlainError, RestoreError } from '../../core/index.ts';
import type { BlockDecoder, DecodeRequest, DecodeResult } from './decoder.ts';
import { CLOSE, type DecodeWorkerData, type SerializedResult } from './decode-messages.ts';
import type { BlockReference } from './format.ts';

interface Job {
  readonly batch: readonly DecodeRequest[];
  readonly resolve: (results: readonly DecodeResult[]) => void;
}

interface PoolWorker {
  readonly thread: Worker;
  readonly running: Map<number, Job>;
}

/** Batches given to one worker at a time: one in work, one on its way. */
const DEPTH = 2;

/**
 * Decodes in worker threads, each with synchronous reads and synchronous decompression: measured
 * faster than the asynchronous forms, and the event loop stays free.
 */
export class DecodePool implements BlockDecoder {
  readonly #workers: PoolWorker[] = [];
  readonly #waiting: Job[] = [];
  readonly #data: DecodeWorkerData;
  #next = 0;
  #closed = false;

  constructor(data: DecodeWorkerData, threads: number) {
    this.#data = data;
    for (let index = 0; index < threads; index += 1) this.#start();
  }

  decode(batch: readonly DecodeRequest[]): Promise<readonly DecodeResult[]> {
    if (this.#closed) return Promise.resolve(batch.map(closed));
    return new Promise((resolve) => {
      this.#waiting.push({ batch, resolve });
      this.#dispatch();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    // What no worker has begun would otherwise wait for ever.
    for (const { batch, resolve } of this.#waiting.splice(0)) resolve(batch.map(closed));
    await Promise.all(this.#workers.map(end));
  }

  #start(): void {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const thread = new Worker(new URL(`./decode-worker.${extension}`, import.meta.url), {
      workerData: this.#data,
      name: 'decode',
    });
    const worker: PoolWorker = { thread, running: new Map() };
    this.#workers.push(worker);
    thread.unref();
    thread.on('message', ({ number, results }: { number: number; results: SerializedResult[] }) => {
      this.#finish(worker, number, results.map(deserialize));
    });
    thread.on('error', (cause) => this.#lose(worker, cause));
    thread.on('exit', () => this.#lose(worker, undefined));
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const worker = this.#idlest();
      if (worker === undefined || worker.running.size >= DEPTH) return;
      const job = this.#waiting.shift() as Job;
      const number = this.#next;
      this.#next += 1;
      worker.running.set(number, job);
      if (worker.running.size === 1) worker.thread.ref();
      worker.thread.postMessage({ number, batch: job.batch.map(serialize) });
    }
  }

  #idlest(): PoolWorker | undefined {
    let best: PoolWorker | undefined;
    for (const worker of this.#workers) {
      if (best === undefined || worker.running.size < best.running.size) best = worker;
    }
    return best;
  }

  #finish(worker: PoolWorker, number: number, results: readonly DecodeResult[]): void {
    const job = worker.running.get(number);
    worker.running.delete(number);
    if (worker.running.size === 0 && !this.#closed) worker.thread.unref();
    job?.resolve(results);
    this.#dispatch();
  }

  /** A dead worker fails what it had in hand and is replaced. */
  #lose(worker: PoolWorker, cause: unknown): void {
    const index = this.#workers.indexOf(worker);
    if (index < 0) return;
    this.#workers.splice(index, 1);
    const lost = new RestoreError('IO', 'a decoding thread ended', { cause });
    for (const { batch, resolve } of worker.running.values()) resolve(batch.map(() => lost));
    if (this.#closed) return;
    this.#start();
    this.#dispatch();
  }
}

function closed(): RestoreError {
  return new RestoreError('CANCELLED', 'the repository has been closed');
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

/** Without the memoised key, which the worker has no use for; ids are copied out of their page. */
function serialize({ reference, plainBytes, isPage }: DecodeRequest): DecodeRequest {
  const { id, pack, offset, length, flags } = reference;
  const plain: BlockReference = { id: new Uint8Array(id), pack, offset, length, flags };
  return { reference: plain, plainBytes, isPage };
}

function deserialize(result: SerializedResult): DecodeResult {
  return result instanceof Uint8Array ? result : fromPlainError(result);
}
