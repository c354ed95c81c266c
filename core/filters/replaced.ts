import {
  type BlockSource,
  checkRange,
  type Extent,
  extentsOf,
  type SectorSize,
  type SparseSource,
} from '../block-source.ts';
import { RestoreError, throwIfAborted } from '../errors.ts';

/** What stands in for a block: bytes of its own, or the bytes of `next` at another offset. */
export type Replacement = Uint8Array | number;

/**
 * `next` with some of its blocks replaced: a volume as it reads after its journal has been replayed,
 * without a copy of the volume or of the journal.
 *
 * @param blocks by block number; each block is `blockBytes` long and lies inside `next`.
 * @throws RestoreError `INVALID` when a block or what replaces it is not inside `next`.
 */
export function replaced(
  next: BlockSource,
  blockBytes: number,
  blocks: ReadonlyMap<number, Replacement>,
): SparseSource {
  for (const [block, by] of blocks) {
    checkRange(next, block * blockBytes, blockBytes);
    if (typeof by === 'number') checkRange(next, by, blockBytes);
    else if (by.byteLength !== blockBytes) {
      throw new RestoreError('INVALID', 'a block is replaced by bytes of another length', {
        where: { expected: blockBytes, found: by.byteLength },
      });
    }
  }
  return new Replaced(next, blockBytes, blocks);
}

/** A stretch of a read: as it is, or inside one replaced block. */
interface Piece {
  readonly at: number;
  readonly length: number;
  readonly by: Replacement | undefined;
}

class Replaced implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #next: BlockSource;
  readonly #blockBytes: number;
  readonly #blocks: ReadonlyMap<number, Replacement>;
  /** Ascending; most reads touch none of them, which halving tells at once. */
  readonly #numbers: Float64Array;

  constructor(next: BlockSource, blockBytes: number, blocks: ReadonlyMap<number, Replacement>) {
    this.#next = next;
    this.#blockBytes = blockBytes;
    this.#blocks = new Map(blocks);
    this.#numbers = Float64Array.from(blocks.keys()).sort();
    this.size = next.size;
    this.sectorSize = next.sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    for (const { at, length, by } of this.#pieces(offset, target.byteLength)) {
      throwIfAborted(signal);
      const share = target.subarray(at - offset, at - offset + length);
      const inside = at % this.#blockBytes;
      if (by === undefined) await this.#next.readInto(share, at, signal);
      else if (typeof by === 'number') await this.#next.readInto(share, by + inside, signal);
      else share.set(by.subarray(inside, inside + length));
    }
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    checkRange(this, offset, length);
    if (length === 0) return this.#next.peek(offset, 0);
    const [piece] = this.#pieces(offset, length);
    if (piece === undefined || piece.length !== length) return undefined;
    const inside = offset % this.#blockBytes;
    if (piece.by === undefined) return this.#next.peek(offset, length);
    if (typeof piece.by === 'number') return this.#next.peek(piece.by + inside, length);
    return piece.by.subarray(inside, inside + length);
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    let held: Extent | undefined;
    for (const { at, length: share, by } of this.#pieces(offset, length)) {
      const found =
        by === undefined
          ? extentsOf(this.#next, at, share, signal)
          : [{ offset: at, length: share }];
      for await (const extent of found) {
        if (held !== undefined && held.offset + held.length === extent.offset) {
          held = { offset: held.offset, length: held.length + extent.length };
          continue;
        }
        if (held !== undefined) yield held;
        held = extent;
      }
    }
    if (held !== undefined) yield held;
  }

  close(): Promise<void> {
    return this.#next.close();
  }

  *#pieces(offset: number, length: number): Generator<Piece> {
    const end = offset + length;
    let at = offset;
    let index = this.#firstFrom(Math.floor(offset / this.#blockBytes));
    while (at < end) {
      const block = this.#numbers[index] ?? Number.POSITIVE_INFINITY;
      const blockStart = Math.max(at, block * this.#blockBytes);
      const stop = Math.min(end, blockStart);
      if (stop > at) yield { at, length: stop - at, by: undefined };
      at = stop;
      if (at >= end) return;
      const blockEnd = Math.min(end, (block + 1) * this.#blockBytes);
      yield { at, length: blockEnd - at, by: this.#blocks.get(block) };
      at = blockEnd;
      index += 1;
    }
  }

  /** Index of the first replaced block that is `block` or behind it. */
  #firstFrom(block: number): number {
    let low = 0;
    let high = this.#numbers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#numbers[middle] as number) < block) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
