import { type BlockSource, checkRange, type SectorSize } from './block-source.ts';
import { throwIfAborted } from './errors.ts';

/** A source over bytes in memory. The caller must not change them while it is open. */
export class BytesSource implements BlockSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #data: Uint8Array;

  constructor(data: Uint8Array, sectorSize: SectorSize = 512) {
    this.#data = data;
    this.size = data.byteLength;
    this.sectorSize = sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    target.set(this.peek(offset, target.byteLength));
  }

  peek(offset: number, length: number): Uint8Array {
    checkRange(this, offset, length);
    return this.#data.subarray(offset, offset + length);
  }

  async close(): Promise<void> {}
}
