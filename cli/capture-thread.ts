import { Worker } from 'node:worker_threads';
import type { EncodeLink } from '../store-writer/index.ts';
import type { CaptureWorkerData } from './capture-worker.ts';

/** Starts a capture thread. Beside the thread's own file: compiled files all lie in one folder. */
export function startCaptureThread(data: CaptureWorkerData): EncodeLink {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new Worker(new URL(`./capture-worker.${extension}`, import.meta.url), {
    workerData: data,
    name: 'capture',
  });
}
