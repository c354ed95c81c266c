import { addOnsAllowed } from '../../core/index.ts';
import type { BlockCodecs } from './codec-portable.ts';

/*
 * The system's own libzstd and liblz4, called in place. Node's zlib makes a context for every call and
 * has the garbage collector told of its megabytes; a context that is kept compresses half again as
 * fast and decompresses in 60 % of the time (ADR 23).
 */

/** `ZSTD_c_compressionLevel` and `ZSTD_c_checksumFlag` (zstd.h; stable since 1.4.0). */
const COMPRESSION_LEVEL = 100;
const CHECKSUM_FLAG = 201;
const LZ4_PREFIX_BYTES = 4;
/** LZ4_MAX_INPUT_SIZE allows more; no block comes near. */
const SCRATCH_BYTES = 128 * 1024;

type Native = (...args: readonly unknown[]) => number | bigint;
type Pointer = bigint | object;

/** `undefined` where the libraries, or the way to call them, are not there. */
export async function loadSystemCodecs(): Promise<BlockCodecs | undefined> {
  if (process.platform !== 'linux' || !addOnsAllowed()) return undefined;
  try {
    const { default: koffi } = await import('koffi');
    const zstd = koffi.load('libzstd.so.1');
    const lz4 = koffi.load('liblz4.so.1');
    const bound: Bindings = {
      compressContext: zstd.func('void *ZSTD_createCCtx()')() as Pointer | null,
      decompressContext: zstd.func('void *ZSTD_createDCtx()')() as Pointer | null,
      setParameter: zstd.func('size_t ZSTD_CCtx_setParameter(void *, int, int)') as Native,
      compress: zstd.func('size_t ZSTD_compress2(void *, void *, size_t, const void *, size_t)'),
      decompress: zstd.func(
        'size_t ZSTD_decompressDCtx(void *, void *, size_t, const void *, size_t)',
      ),
      lz4Compress: lz4.func('int LZ4_compress_default(const void *, void *, int, int)'),
      lz4Decompress: lz4.func('int LZ4_decompress_safe(const void *, void *, int, int)'),
    };
    return new SystemCodecs(bound);
  } catch {
    // Another libc, no such library, no prebuilt koffi: Node's own codecs do the same, slower.
    return undefined;
  }
}

interface Bindings {
  readonly compressContext: Pointer | null;
  readonly decompressContext: Pointer | null;
  readonly setParameter: Native;
  readonly compress: Native;
  readonly decompress: Native;
  readonly lz4Compress: Native;
  readonly lz4Decompress: Native;
}

class SystemCodecs implements BlockCodecs {
  readonly #native: Bindings;
  #scratch: Buffer = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #level: number | undefined;

  constructor(native: Bindings) {
    if (native.compressContext === null || native.decompressContext === null) {
      throw new Error('no memory for a zstd context');
    }
    this.#native = native;
    checked(native.setParameter(native.compressContext, CHECKSUM_FLAG, 1), Number.MAX_SAFE_INTEGER);
  }

  zstdCompress(plain: Uint8Array, level: number): Uint8Array {
    const { compressContext, compress, setParameter } = this.#native;
    if (level !== this.#level) {
      checked(setParameter(compressContext, COMPRESSION_LEVEL, level), Number.MAX_SAFE_INTEGER);
      this.#level = level;
    }
    const scratch = this.#room(plain.byteLength);
    const written = compress(compressContext, scratch, scratch.byteLength, plain, plain.byteLength);
    return scratch.subarray(0, checked(written, scratch.byteLength));
  }

  zstdDecompress(stored: Uint8Array, maxBytes: number, into?: Uint8Array): Uint8Array {
    const { decompressContext, decompress } = this.#native;
    const plain = into ?? Buffer.allocUnsafeSlow(maxBytes);
    const most = Math.min(maxBytes, plain.byteLength);
    const written = checked(
      decompress(decompressContext, plain, most, stored, stored.byteLength),
      most,
    );
    return into === undefined ? ownPart(plain, written) : into.subarray(0, written);
  }

  lz4Compress(plain: Uint8Array): Uint8Array {
    const scratch = this.#room(plain.byteLength);
    scratch.writeUInt32LE(plain.byteLength, 0);
    const body = scratch.subarray(LZ4_PREFIX_BYTES);
    const written = this.#native.lz4Compress(plain, body, plain.byteLength, body.byteLength);
    return scratch.subarray(0, LZ4_PREFIX_BYTES + checked(written, body.byteLength));
  }

  lz4Decompress(stored: Uint8Array, plainBytes: number, into?: Uint8Array): Uint8Array {
    const body = stored.subarray(LZ4_PREFIX_BYTES);
    const plain = into ?? Buffer.allocUnsafeSlow(plainBytes);
    const most = Math.min(plainBytes, plain.byteLength);
    const written = checked(this.#native.lz4Decompress(body, plain, body.byteLength, most), most);
    return into === undefined ? ownPart(plain, written) : into.subarray(0, written);
  }

  /** Room for the worst case of either codec (`ZSTD_compressBound`, `LZ4_compressBound`). */
  #room(plainBytes: number): Buffer {
    const needed = plainBytes + Math.ceil(plainBytes / 128) + 1024;
    if (this.#scratch.byteLength < needed) this.#scratch = Buffer.allocUnsafeSlow(needed);
    return this.#scratch;
  }
}

/** zstd's errors are sizes near 2^64, LZ4's are below zero: no result may be beyond its target. */
function checked(result: number | bigint, most: number): number {
  if (typeof result === 'number' && result >= 0 && result <= most) return result;
  throw new Error(`the codec answered ${result}`);
}

function ownPart(plain: Uint8Array, length: number): Uint8Array {
  return length === plain.byteLength ? plain : new Uint8Array(plain.subarray(0, length));
}
