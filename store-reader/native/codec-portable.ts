import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { addOnsAllowed, RestoreError } from '../../core/index.ts';
import { decodeLz4Block } from './lz4-block.ts';

const LZ4_PREFIX_BYTES = 4;
const lz4 = addOnsAllowed() ? await import('lz4-napi') : undefined;

/** What the two codecs have to do; one implementation serves a thread. Any failure is thrown. */
export interface BlockCodecs {
  /** A zstd frame with content checksum. May be a view that the next call writes over. */
  zstdCompress(plain: Uint8Array, level: number): Uint8Array;
  /** At most `maxBytes`; a view of `into` (`maxBytes` long), or memory of its own. */
  zstdDecompress(stored: Uint8Array, maxBytes: number, into?: Uint8Array): Uint8Array;
  /** A u32 with the plain length, and an LZ4 block. May be a view that the next call writes over. */
  lz4Compress(plain: Uint8Array): Uint8Array;
  /**
   * `plainBytes` is what the block itself declares, checked by the caller; a view of `into` (at least
   * as long), or memory of its own.
   */
  lz4Decompress(stored: Uint8Array, plainBytes: number, into?: Uint8Array): Uint8Array;
}

/**
 * The codecs that are there on every platform: Node's own zstd, and LZ4 from its npm package. Where
 * add-ons are not allowed, LZ4 is decompressed in JavaScript and cannot be compressed.
 */
export const portableCodecs: BlockCodecs = {
  zstdCompress: (plain, level) =>
    zstdCompressSync(plain, {
      chunkSize: Math.floor(plain.byteLength / 2) + 1024,
      pledgedSrcSize: plain.byteLength,
      params: {
        [constants.ZSTD_c_compressionLevel]: level,
        [constants.ZSTD_c_checksumFlag]: 1,
      },
    }),
  zstdDecompress: (stored, maxBytes) =>
    zstdDecompressSync(stored, { chunkSize: Math.max(64, maxBytes), maxOutputLength: maxBytes }),
  lz4Compress: (plain) => {
    if (lz4 === undefined) throw new RestoreError('UNSUPPORTED', 'add-ons are not allowed here');
    return lz4.compressSync(bufferOf(plain));
  },
  lz4Decompress: (stored, plainBytes) =>
    lz4?.uncompressSync(bufferOf(stored)) ??
    decodeLz4Block(stored.subarray(LZ4_PREFIX_BYTES), plainBytes),
};

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
