import { type Extent, isRestoreError, type Ranges, readBytes } from '../../../../core/index.ts';
import type { Geometry } from '../boot-sector.ts';
import type { FileLoader } from '../file-loader.ts';
import { RECORD_NUMBER } from '../layout.ts';
import { openSystemFile } from '../volume-information.ts';

const CHUNK_BYTES = 64 * 1024;

/** What of `ranges` `$Bitmap` says is free; nothing where it cannot be read. */
export async function* freeClusters(
  loader: FileLoader,
  { clusterBytes }: Geometry,
  ranges: Ranges,
  signal?: AbortSignal,
): AsyncGenerator<Extent> {
  try {
    const bitmap = await openSystemFile(loader, RECORD_NUMBER.BITMAP);
    if (bitmap === undefined) return;
    let held = { at: -1, bytes: new Uint8Array() };
    for (const { offset, length } of ranges) {
      const end = offset + length;
      for (let at = offset; at < end; ) {
        const cluster = Math.floor(at / clusterBytes);
        const byte = Math.floor(cluster / 8);
        if (byte >= bitmap.size) return;
        const chunkAt = byte - (byte % CHUNK_BYTES);
        if (held.at !== chunkAt) {
          const size = Math.min(CHUNK_BYTES, bitmap.size - chunkAt);
          held = { at: chunkAt, bytes: await readBytes(bitmap, chunkAt, size, signal) };
        }
        const isUsed = ((held.bytes[byte - chunkAt] as number) >> (cluster & 7)) & 1;
        const stop = Math.min(end, (cluster + 1) * clusterBytes);
        if (isUsed === 0) yield { offset: at, length: stop - at };
        at = stop;
      }
    }
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
  }
}
