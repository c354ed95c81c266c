import { checkRange, type Extent, type SectorSize, type SparseSource } from '../block-source.ts';
import { throwIfAborted } from '../errors.ts';
import { zeroView } from '../zeros.ts';

/** `size` bytes of zero, all of them one hole. For what is zero by definition, never for what is missing. */
export function zeroSource(size: number, sectorSize: SectorSize = 512): SparseSource {
  return new Zeros(size, sectorSize);
}

class Zeros implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;

  constructor(size: number, sectorSize: SectorSize) {
    this.size = size;
    this.sectorSize = sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    throwIfAborted(signal);
    target.fill(0);
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    checkRange(this, offset, length);
    return zeroView(length);
  }

  async *extents(offset: number, length: number): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    yield* [];
  }

  async close(): Promise<void> {}
}
