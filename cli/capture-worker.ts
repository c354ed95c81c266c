/** A capture thread: reads and encodes the blocks of the images it is told of. */
import { parentPort, workerData } from 'node:worker_threads';
import { type ImageFormat, openImage } from '../parsers/index.ts';
import { type EncodeWorkerData, localFiles, serveEncodeWorker } from '../store-writer/index.ts';

export interface CaptureWorkerData {
  readonly encode: EncodeWorkerData;
  readonly paths: readonly string[];
  /** Forced format; probed when absent. */
  readonly format: ImageFormat | undefined;
}

if (parentPort !== null) {
  const { encode, paths, format } = workerData as CaptureWorkerData;
  serveEncodeWorker(parentPort, encode, async (disk) => {
    const path = paths[disk] as string;
    return (await openImage(path, localFiles, format === undefined ? {} : { format })).source;
  });
}
