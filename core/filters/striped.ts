import {
  type BlockSource,
  checkRange,
  type Extent,
  extentsOf,
  type SectorSize,
  type SparseSource,
} from '../block-source.ts';
import { RestoreError } from '../errors.ts';

/**
 * Sources side by side as one: chunks of `stripeBytes` are taken from each in turn. Closing it closes
 * them all.
 *
 * @throws RestoreError `INVALID` without sources, when their sizes or sector sizes differ, or when a
 *   size is no whole number of stripes.
 */
export function striped(sources: readonly BlockSource[], stripeBytes: number): SparseSource {
  return new Striped(sources, stripeBytes);
}

interface Piece {
  readonly source: BlockSource;
  /** Offset in `source`. */
  readonly at: number;
  /** Offset in the whole. */
  readonly offset: number;
  readonly length: number;
}

class Striped implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #sources: readonly BlockSource[];
  readonly #stripeBytes: number;

  constructor(sources: readonly BlockSource[], stripeBytes: number) {
    const [first] = sources;
    if (first === undefined) throw new RestoreError('INVALID', 'nothing to stripe');
    const isEven = sources.every(
      ({ size, sectorSize }) => size === first.size && sectorSize === first.sectorSize,
    );
    const isWhole =
      Number.isSafeInteger(stripeBytes) && stripeBytes > 0 && first.size % stripeBytes === 0;
    if (!isEven || !isWhole || !Number.isSafeInteger(first.size * sources.length)) {
      throw new RestoreError('INVALID', 'stripes need sources of one size, in whole stripes', {
        where: {
          expected: `multiples of ${stripeBytes} bytes`,
          found: sources
            .slice(0, 8)
            .map(({ size }) => size)
            .join(', '),
        },
      });
    }
    this.#sources = sources;
    this.#stripeBytes = stripeBytes;
    this.size = first.size * sources.length;
    this.sectorSize = first.sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    for (const { source, at, offset: start, length } of this.#pieces(offset, target.byteLength)) {
      const from = start - offset;
      await source.readInto(target.subarray(from, from + length), at, signal);
    }
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    checkRange(this, offset, length);
    const [piece] = this.#pieces(offset, length);
    if (piece === undefined || piece.length !== length) return undefined;
    return piece.source.peek(piece.at, length);
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    let held: Extent | undefined;
    for (const piece of this.#pieces(offset, length)) {
      for await (const extent of extentsOf(piece.source, piece.at, piece.length, signal)) {
        const start = piece.offset + extent.offset - piece.at;
        if (held !== undefined && held.offset + held.length === start) {
          held = { offset: held.offset, length: held.length + extent.length };
          continue;
        }
        if (held !== undefined) yield held;
        held = { offset: start, length: extent.length };
      }
    }
    if (held !== undefined) yield held;
  }

  async close(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.close()));
  }

  *#pieces(offset: number, length: number): Generator<Piece> {
    const count = this.#sources.length;
    const end = offset + length;
    for (let start = offset; start < end; ) {
      const chunk = Math.floor(start / this.#stripeBytes);
      const within = start % this.#stripeBytes;
      const share = Math.min(end - start, this.#stripeBytes - within);
      const at = Math.floor(chunk / count) * this.#stripeBytes + within;
      yield {
        source: this.#sources[chunk % count] as BlockSource,
        at,
        offset: start,
        length: share,
      };
      start += share;
    }
  }
}
