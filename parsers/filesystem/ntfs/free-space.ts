import { readBytes } from '../../../core/index.ts';
import type { Volume } from '../driver.ts';
import type { Geometry } from './boot-sector.ts';
import { corrupt } from './damage.ts';
import type { FileLoader } from './file-loader.ts';
import { RECORD_NUMBER } from './layout.ts';
import { openSystemFile } from './volume-information.ts';

/** Of 4 TiB in clusters of 4 KiB. To count in a larger one takes longer than the answer is worth. */
const BITMAP_BYTES_MAX = 128 * 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;
const CLEAR_BITS = Uint8Array.from({ length: 256 }, (_, byte) => {
  let clear = 0;
  for (let bit = 0; bit < 8; bit += 1) clear += 1 - ((byte >> bit) & 1);
  return clear;
});

/**
 * Bytes of the clusters whose bit in `$Bitmap` is clear; `undefined` for a volume too large to count.
 *
 * @throws RestoreError `CORRUPT` when the bitmap is not there, or too short.
 */
export async function countFreeBytes(
  { budget }: Volume,
  loader: FileLoader,
  { clusterBytes, totalBytes }: Geometry,
  signal?: AbortSignal,
): Promise<number | undefined> {
  // What is left behind the last whole cluster belongs to none.
  const clusterCount = Math.floor(totalBytes / clusterBytes);
  const wholeBytes = Math.floor(clusterCount / 8);
  if (wholeBytes > BITMAP_BYTES_MAX) return undefined;
  const bitmap = await openSystemFile(loader, RECORD_NUMBER.BITMAP);
  const bytesNeeded = Math.ceil(clusterCount / 8);
  if (bitmap === undefined || bitmap.size < bytesNeeded) {
    throw corrupt('the map of free clusters is damaged', {
      structure: '$Bitmap',
      expected: `at least ${bytesNeeded} bytes`,
      found: bitmap?.size ?? 'none',
    });
  }
  let free = 0;
  for (let at = 0; at < wholeBytes; at += CHUNK_BYTES) {
    const size = Math.min(CHUNK_BYTES, wholeBytes - at);
    for (const byte of await readBytes(bitmap, at, size, signal)) {
      free += CLEAR_BITS[byte] as number;
    }
    budget.checkTime();
  }
  if (bytesNeeded > wholeBytes) {
    const [last = 0] = await readBytes(bitmap, wholeBytes, 1, signal);
    // Bits behind the last cluster stand for none, and count as used.
    free += CLEAR_BITS[last | ((0xff << (clusterCount % 8)) & 0xff)] as number;
  }
  return free * clusterBytes;
}
