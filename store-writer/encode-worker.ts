import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { type BlockSource, isRestoreError, type PlainError, toPlainError } from '../core/index.ts';
import { type Codec, DirectoryBackend, KeyRing, Sealer } from '../store-reader/index.ts';
import { BlockEncoder, type EncodeTask, type HashedTask, type StoredBlock } from './encoder.ts';

/** What a capture thread is started with. */
export interface EncodeWorkerData {
  readonly location: string;
  readonly repositoryId: string;
  readonly master: Uint8Array | undefined;
  readonly blockSize: number;
  readonly codec: Codec;
  readonly level: number;
  readonly captureTag: string;
}

export type ToWorker =
  | { readonly type: 'hash'; readonly task: EncodeTask }
  | { readonly type: 'store'; readonly number: number; readonly wanted: Uint8Array }
  | { readonly type: 'finish' }
  | { readonly type: 'abort' };

export type FromWorker =
  | { readonly type: 'hashed'; readonly hashed: HashedTask }
  | {
      readonly type: 'stored';
      readonly number: number;
      readonly blocks: readonly StoredBlock[];
      readonly writtenBytes: number;
    }
  | { readonly type: 'finished'; readonly writtenBytes: number }
  | { readonly type: 'failed'; readonly error: PlainError };

/**
 * The body of a capture thread. The program that starts it says how a disk is opened, because the
 * store knows nothing of image formats.
 */
export function serveEncodeWorker(
  port: MessagePort,
  data: EncodeWorkerData,
  openDisk: (disk: number) => Promise<BlockSource>,
): void {
  const keys = data.master === undefined ? undefined : new KeyRing(data.master, data.repositoryId);
  const backend = new DirectoryBackend(data.location);
  const encoder = new BlockEncoder({ ...data, backend, sealer: new Sealer(keys) });
  const disks = new Map<number, Promise<BlockSource>>();
  const send = (message: FromWorker): void => port.postMessage(message);

  const handle = async (message: ToWorker): Promise<void> => {
    if (message.type === 'hash') {
      const source = disks.get(message.task.disk) ?? openDisk(message.task.disk);
      disks.set(message.task.disk, source);
      send({ type: 'hashed', hashed: await encoder.hash(await source, message.task) });
    } else if (message.type === 'store') {
      const { number, wanted } = message;
      const blocks = await encoder.store(number, wanted);
      send({ type: 'stored', number, blocks, writtenBytes: encoder.writtenBytes });
    } else {
      await (message.type === 'finish' ? encoder.finish() : encoder.abort());
      for (const source of disks.values()) await (await source).close();
      await backend.close();
      send({ type: 'finished', writtenBytes: encoder.writtenBytes });
      port.close();
    }
  };
  port.on('message', (message: ToWorker) => {
    handle(message).catch((error: unknown) => send({ type: 'failed', error: serialize(error) }));
  });
}

/** A capture thread that is none: everything happens in the caller's own. */
export function startInlineEncoder(
  data: EncodeWorkerData,
  openDisk: (disk: number) => Promise<BlockSource>,
): MessagePort {
  const { port1, port2 } = new MessageChannel();
  serveEncodeWorker(port2, data, openDisk);
  return port1;
}

function serialize(error: unknown): PlainError {
  if (isRestoreError(error)) return toPlainError(error);
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 'IO', message, where: {}, hint: undefined };
}
