import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { corrupt } from './checks.ts';
import type { ImageFile } from './image.ts';
import type { PackedCluster } from './unpack.ts';
import { zstdFrameBytes } from './zstd-frame.ts';

/**
 * Up to here decoding is done at once: handing it to the thread pool costs more than it saves
 * (64 KiB: 0.30 ms at once, 0.36 ms through the pool), and it does not hold the event loop for
 * longer than a millisecond or so.
 */
const AT_ONCE_BYTES = 256 * 1024;

const WAYS = {
  deflate: { sync: zlib.inflateRawSync, async: promisify(zlib.inflateRaw) },
  zlib: { sync: zlib.inflateSync, async: promisify(zlib.inflate) },
  zstd: { sync: zlib.zstdDecompressSync, async: promisify(zlib.zstdDecompress) },
} as const;

export type Compression = keyof typeof WAYS;

/**
 * Unpacks one cluster of `plainBytes` bytes, or at least `leastBytes` where the disk ends within it.
 * What follows the compressed data in `packed` is ignored, as formats that round up to sectors need
 * it.
 *
 * @throws RestoreError `CORRUPT` when the data is damaged, too short or too long.
 */
export async function inflate(
  file: ImageFile,
  compression: Compression,
  packed: Uint8Array,
  cluster: PackedCluster,
  plainBytes: number,
  leastBytes: number = plainBytes,
): Promise<Uint8Array> {
  try {
    const plain =
      compression === 'zstd'
        ? await unzstd(packed, plainBytes)
        : await run(compression, packed, plainBytes);
    if (plain.byteLength >= leastBytes) return plain;
    throw new RangeError(`only ${plain.byteLength} bytes came out`);
  } catch (error) {
    throw corrupt(file, 'a compressed cluster does not unpack', {
      structure: 'compressed cluster',
      offset: cluster.at,
      expected: `${plainBytes} bytes of disk offset ${cluster.diskOffset}`,
      found: error instanceof Error ? error.message : String(error),
      cause: error,
    });
  }
}

async function run(
  compression: Compression,
  packed: Uint8Array,
  plainBytes: number,
): Promise<Uint8Array> {
  const options = { maxOutputLength: plainBytes };
  const way = WAYS[compression];
  if (plainBytes <= AT_ONCE_BYTES) return way.sync(packed, options);
  return way.async(packed, options);
}

/** Several frames may make up one cluster, and other data follows the last. */
async function unzstd(packed: Uint8Array, plainBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let done = 0;
  for (let at = 0; done < plainBytes; ) {
    const length = zstdFrameBytes(packed.subarray(at));
    const part = await run('zstd', packed.subarray(at, at + length), plainBytes - done);
    parts.push(part);
    done += part.byteLength;
    at += length;
  }
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
}
