/** A decoding thread of {@link DecodePool}. */
import { parentPort, workerData } from 'node:worker_threads';
import { toPlainError } from '../../core/index.ts';
import { DirectoryBackend } from '../backends/directory.ts';
import {
  CLOSE,
  type DecodeJob,
  type DecodeWorkerData,
  type SerializedResult,
} from './decode-messages.ts';
import { type DecodeResult, InlineDecoder } from './decoder.ts';
import { KeyRing } from './keys.ts';
import { Sealer } from './seal.ts';

if (parentPort !== null) serve(parentPort, workerData as DecodeWorkerData);

function serve(port: NonNullable<typeof parentPort>, data: DecodeWorkerData): void {
  const keys = data.master === undefined ? undefined : new KeyRing(data.master, data.repositoryId);
  const backend = new DirectoryBackend(data.location);
  const decoder = new InlineDecoder(backend, new Sealer(keys), data.checkIds);
  port.on('message', (message: DecodeJob | typeof CLOSE) => {
    if (message === CLOSE) {
      port.close();
      return;
    }
    const { number, batch } = message;
    void decoder.decode(batch).then((decoded) => {
      const results = decoded.map(serialize);
      port.postMessage({ number, results }, transferable(results));
    });
  });
}

function serialize(result: DecodeResult): SerializedResult {
  return result instanceof Uint8Array ? result : toPlainError(result);
}

/** Each result owns its memory, so that handing it over costs no copy. */
function transferable(results: readonly SerializedResult[]): ArrayBuffer[] {
  const buffers: ArrayBuffer[] = [];
  for (const result of results) {
    if (result instanceof Uint8Array) buffers.push(result.buffer as ArrayBuffer);
  }
  return buffers;
}
