/** A buffer that is used again once nobody sends from it any more. */
export interface Slab {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Writes under way that read from it. */
  pendingWrites: number;
}

/** Buffers of one size, at most `maxIdle` of them kept while unused. */
export class BufferPool {
  readonly slabBytes: number;
  readonly #maxIdle: number;
  readonly #idle: Slab[] = [];

  constructor(slabBytes: number, maxIdle: number) {
    this.slabBytes = slabBytes;
    this.#maxIdle = maxIdle;
  }

  take(): Slab {
    return this.#idle.pop() ?? makeSlab(this.slabBytes);
  }

  /** Nothing may read from `slab` any more. */
  giveBack(slab: Slab): void {
    if (this.#idle.length < this.#maxIdle) this.#idle.push(slab);
  }
}

function makeSlab(length: number): Slab {
  const bytes = Buffer.allocUnsafeSlow(length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { bytes, view, pendingWrites: 0 };
}
