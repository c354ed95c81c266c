import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { compressSync as lz4CompressSync, uncompressSync as lz4UncompressSync } from 'lz4-napi';
import { layout, RestoreError } from '../../core/index.ts';
import { CODEC_MASK, CODECS, type Codec } from './format.ts';

export interface EncodedBlock {
  readonly data: Uint8Array;
  /** Low bits of the entry's flags. */
  readonly codec: number;
}

/** Compressed bytes must be below this share of the plain ones, or the block is stored raw. */
const WORTH_IT = 0.95;

/**
 * Compresses one block alone. zstd frames carry their own checksum of the plain bytes, so that a
 * decoder's fault shows too.
 */
export function encodeBlock(plain: Uint8Array, codec: Codec, level: number): EncodedBlock {
  if (codec === 'raw') return { data: plain, codec: CODECS.raw };
  const data = codec === 'zstd' ? zstd(plain, level) : lz4(plain);
  if (data.byteLength >= plain.byteLength * WORTH_IT) return { data: plain, codec: CODECS.raw };
  return { data, codec: CODECS[codec] };
}

/**
 * The plain bytes of a stored payload; for the raw codec, a view of it.
 *
 * @param maxBytes what it may decode to at the most; the limit holds while decoding.
 * @throws RestoreError `CORRUPT` when the data do not decode, `UNSUPPORTED` for a codec this version
 *   does not know.
 */
export function decodeBlock(stored: Uint8Array, flags: number, maxBytes: number): Uint8Array {
  const codec = flags & CODEC_MASK;
  try {
    if (codec === CODECS.raw) return stored;
    if (codec === CODECS.zstd) {
      return zstdDecompressSync(stored, {
        chunkSize: Math.max(64, maxBytes),
        maxOutputLength: maxBytes,
      });
    }
    if (codec === CODECS.lz4) {
      checkLz4Length(stored, maxBytes);
      return lz4UncompressSync(Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength));
    }
  } catch (cause) {
    throw new RestoreError('CORRUPT', 'a stored block does not decompress', { cause });
  }
  throw new RestoreError('UNSUPPORTED', 'a stored block has an unknown codec', {
    where: { found: codec },
    hint: 'Read this repository with a newer version of Rehydrate.',
  });
}

/** The library's own size prefix decides how much it allocates: it must be within bounds. */
function checkLz4Length(stored: Uint8Array, maxBytes: number): void {
  const declared = stored.byteLength >= 4 ? layout.u32le(0)(layout.viewOf(stored)) : -1;
  if (declared >= 0 && declared <= maxBytes) return;
  throw new RestoreError('CORRUPT', 'an LZ4 block declares a wrong length', {
    where: { expected: `at most ${maxBytes}`, found: declared },
  });
}

function zstd(plain: Uint8Array, level: number): Uint8Array {
  return zstdCompressSync(plain, {
    chunkSize: plain.byteLength + 1024,
    pledgedSrcSize: plain.byteLength,
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  });
}

function lz4(plain: Uint8Array): Uint8Array {
  return lz4CompressSync(Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength));
}
