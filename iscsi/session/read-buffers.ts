import { BufferPool, type Slab } from '../protocol/buffer-pool.ts';

const SIZES_BYTES = [64 * 1024, 256 * 1024, 1024 * 1024] as const;
const IDLE_BYTES_PER_SIZE = 8 * 1024 * 1024;
const UNPOOLED_BYTES = 8 * 1024;

/** Memory that a read was made into, until the socket has sent it. */
export interface ReadBuffer {
  readonly bytes: Uint8Array;
  /** Call once nobody looks at `bytes` any more. */
  release(): void;
}

/** Buffers for reads that miss the cache, reused by size. */
export class ReadBuffers {
  readonly #pools = SIZES_BYTES.map(
    (size) => new BufferPool(size, Math.floor(IDLE_BYTES_PER_SIZE / size)),
  );

  take(lengthBytes: number): ReadBuffer {
    const pool = this.#pools.find(({ slabBytes }) => slabBytes >= lengthBytes);
    if (lengthBytes <= UNPOOLED_BYTES || pool === undefined) {
      return { bytes: Buffer.allocUnsafe(lengthBytes), release: () => {} };
    }
    const slab: Slab = pool.take();
    return {
      bytes: slab.bytes.subarray(0, lengthBytes),
      release: () => pool.giveBack(slab),
    };
  }
}
