/** A decoding thread of {@link DecodePool}. */
import { parentPort, workerData } from 'node:worker_threads';
import { type PlainError, toPlainError } from '../../core/index.ts';
import { DirectoryBackend } from '../backends/directory.ts';
import {
  CLOSE,
  type DecodeDone,
  decodeRequest,
  type DecodeWork,
  type DecodeWorkerData,
} from './decode-messages.ts';
import { type BlockDecoder, InlineDecoder } from './decoder.ts';
import { KeyRing } from './keys.ts';
import { Sealer } from './seal.ts';

/** Blocks told of in one message: fewer keep readers waiting less, more cost less. */
const BLOCKS_PER_MESSAGE = 4;

type Port = NonNullable<typeof parentPort>;

if (parentPort !== null) serve(parentPort, workerData as DecodeWorkerData);

function serve(port: Port, data: DecodeWorkerData): void {
  const keys = data.master === undefined ? undefined : new KeyRing(data.master, data.repositoryId);
  const backend = new DirectoryBackend(data.location);
  const decoder = new InlineDecoder(backend, new Sealer(keys), { checkIds: data.checkIds });
  const slots = new Map<number, Uint8Array>();
  port.on('message', (message: DecodeWork | typeof CLOSE) => {
    if (message === CLOSE) {
      port.close();
      return;
    }
    for (const [number, memory] of message.memory) slots.set(number, new Uint8Array(memory));
    void work(port, decoder, slots, message.batches);
  });
}

async function work(
  port: Port,
  decoder: BlockDecoder,
  slots: ReadonlyMap<number, Uint8Array>,
  batches: DecodeWork['batches'],
): Promise<void> {
  let decoded: number[] = [];
  let failed: [number, PlainError][] = [];
  const tell = (): void => {
    port.postMessage({ decoded, failed } satisfies DecodeDone);
    decoded = [];
    failed = [];
  };
  for (const batch of batches) {
    const requests = batch.map((slot) => decodeRequest(slots.get(slot) as Uint8Array));
    const results = await decoder.decode(requests);
    batch.forEach((slot, index) => {
      const result = results[index];
      if (result instanceof Uint8Array) decoded.push(slot, result.byteLength);
      else if (result !== undefined) failed.push([slot, toPlainError(result)]);
    });
    if (decoded.length / 2 + failed.length >= BLOCKS_PER_MESSAGE) tell();
  }
  if (decoded.length + failed.length > 0) tell();
}
