import { layout, RestoreError } from '../../core/index.ts';
import { type BlockCodecs, portableCodecs } from './codec-portable.ts';
import { loadSystemCodecs } from './codec-system.ts';
import { CODEC_MASK, CODECS, type Codec } from './format.ts';

const codecs = (await loadSystemCodecs()) ?? portableCodecs;

export interface EncodedBlock {
  /** Valid until the next block is encoded. */
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
export function encodeBlock(
  plain: Uint8Array,
  codec: Codec,
  level: number,
  by: BlockCodecs = codecs,
): EncodedBlock {
  if (codec === 'raw') return { data: plain, codec: CODECS.raw };
  const data = codec === 'zstd' ? by.zstdCompress(plain, level) : by.lz4Compress(plain);
  if (data.byteLength >= plain.byteLength * WORTH_IT) return { data: plain, codec: CODECS.raw };
  return { data, codec: CODECS[codec] };
}

/**
 * The plain bytes of a stored payload; for the raw codec, a view of it.
 *
 * @param maxBytes what it may decode to at the most; the limit holds while decoding.
 * @param into where to decode to, `maxBytes` long, if the codec can; content undefined after a throw.
 * @throws RestoreError `CORRUPT` when the data do not decode, `UNSUPPORTED` for a codec this version
 *   does not know.
 */
export function decodeBlock(
  stored: Uint8Array,
  flags: number,
  maxBytes: number,
  by: BlockCodecs = codecs,
  into?: Uint8Array,
): Uint8Array {
  const codec = flags & CODEC_MASK;
  try {
    if (codec === CODECS.raw) return rawBytes(stored, maxBytes);
    if (codec === CODECS.zstd) return by.zstdDecompress(stored, maxBytes, into);
    if (codec === CODECS.lz4) return by.lz4Decompress(stored, lz4Length(stored, maxBytes), into);
  } catch (cause) {
    throw new RestoreError('CORRUPT', 'a stored block does not decompress', { cause });
  }
  throw new RestoreError('UNSUPPORTED', 'a stored block has an unknown codec', {
    where: { found: codec },
    hint: 'Read this repository with a newer version of Rehydrate.',
  });
}

function rawBytes(stored: Uint8Array, maxBytes: number): Uint8Array {
  if (stored.byteLength <= maxBytes) return stored;
  throw new RestoreError('CORRUPT', 'a raw block is longer than it may be', {
    where: { expected: `at most ${maxBytes}`, found: stored.byteLength },
  });
}

/** The length that an LZ4 block declares decides how much is allocated: it must be within bounds. */
function lz4Length(stored: Uint8Array, maxBytes: number): number {
  const declared = stored.byteLength >= 4 ? layout.u32le(0)(layout.viewOf(stored)) : -1;
  if (declared >= 0 && declared <= maxBytes) return declared;
  throw new RestoreError('CORRUPT', 'an LZ4 block declares a wrong length', {
    where: { expected: `at most ${maxBytes}`, found: declared },
  });
}
