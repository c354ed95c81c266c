import { BufferPool, type Slab } from '../protocol/buffer-pool.ts';

const KIB = 1024;
const SIZES_BYTES = [4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB] as const;
const IDLE_BYTES_PER_SIZE = 8 * KIB * KIB;
const MAX_IDLE_PER_SIZE = 256;

/** Memory that a read was made into, until the socket has sent it; or a write, until it is done. */
export interface TransferBuffer {
  readonly bytes: Uint8Array;
  /** Call once nobody looks at `bytes` any more. */
  release(): void;
}

/** Buffers for blocks on their way, reused by size. */
export class TransferBuffers {
  readonly #pools = SIZES_BYTES.map(
    (size) =>
      new BufferPool(size, Math.min(MAX_IDLE_PER_SIZE, Math.floor(IDLE_BYTES_PER_SIZE / size))),
  );

  take(lengthBytes: number): TransferBuffer {
    const pool = this.#pools.find(({ slabBytes }) => slabBytes >= lengthBytes);
    if (pool === undefined) {
      return { bytes: Buffer.allocUnsafeSlow(lengthBytes), release: () => {} };
    }
    const slab: Slab = pool.take();
    return {
      bytes: slab.bytes.subarray(0, lengthBytes),
      release: () => pool.giveBack(slab),
    };
  }
}
