import { type BlockSource, zeroView } from '../../core/index.ts';
import type { Flusher } from './flusher.ts';
import type { OverlayFile } from './folder.ts';
import { PAGE_BYTES, PAGE_STATES, type PageMap, type PageState } from './page-map.ts';
import { DATA_OFFSET } from './page-store.ts';
import type { RangeLocks } from './range-locks.ts';

export interface PageReaderParts {
  readonly base: BlockSource;
  readonly data: OverlayFile;
  readonly map: PageMap;
  readonly locks: RangeLocks;
  readonly flusher: Flusher;
}

/** Bytes of a range whose pages share one state. */
interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly state: PageState;
}

/** A copy longer than this is better made by the reader, straight to where it is wanted. */
const PEEK_BYTES_MAX = 256 * 1024;

/** Reads pages from where they are: the base, the data file, or nowhere when they are zeros. */
export class PageReader {
  readonly #parts: PageReaderParts;

  constructor(parts: PageReaderParts) {
    this.#parts = parts;
  }

  /** As `BlockSource.peek`; of the overlay's own pages, a copy that no later write touches. */
  peek(offset: number, length: number): Uint8Array | undefined {
    if (length === 0) return new Uint8Array(0);
    const { base, data, locks } = this.#parts;
    const piece = this.#piece(offset, offset + length);
    if (piece.length < length) return undefined;
    if (piece.state === PAGE_STATES.base) return base.peek(offset, length);
    if (piece.state === PAGE_STATES.zero) return zeroView(length);
    if (length > PEEK_BYTES_MAX || !locks.isFree(offset, offset + length, 'read')) return undefined;
    // What is wrong is for a read to say.
    if (this.#parts.flusher.hasFailed) return undefined;
    const copy = Buffer.allocUnsafe(length);
    return data.readNow(copy, DATA_OFFSET + offset) ? copy : undefined;
  }

  async read(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    if (target.byteLength === 0) return;
    const { base, locks } = this.#parts;
    const end = offset + target.byteLength;
    const first = this.#piece(offset, end);
    if (first.length === target.byteLength && first.state === PAGE_STATES.base) {
      return await base.readInto(target, offset, signal);
    }
    if (locks.isFree(offset, end, 'read')) {
      const fromBase = this.#readNow(target, offset);
      if (fromBase !== undefined) return await this.#readAll(fromBase, target, offset, signal);
    }
    const release = await locks.acquire(offset, end, 'read');
    try {
      await this.#readAll([...this.#pieces(offset, end)], target, offset, signal);
    } finally {
      release();
    }
  }

  /**
   * Fills in the overlay's own pages within this turn of the event loop.
   *
   * @returns what is left to read from the base; `undefined` when storage would have to be waited for.
   */
  #readNow(target: Uint8Array, offset: number): Piece[] | undefined {
    const fromBase: Piece[] = [];
    for (const piece of this.#pieces(offset, offset + target.byteLength)) {
      const part = partOf(target, offset, piece);
      if (piece.state === PAGE_STATES.base) fromBase.push(piece);
      else if (piece.state === PAGE_STATES.zero) part.fill(0);
      else {
        this.#parts.flusher.check();
        if (!this.#parts.data.readNow(part, DATA_OFFSET + piece.offset)) return undefined;
      }
    }
    return fromBase;
  }

  /** Waits for every piece, also after a failure: nobody writes to `target` once this has settled. */
  async #readAll(
    pieces: readonly Piece[],
    target: Uint8Array,
    offset: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { base, data, flusher } = this.#parts;
    const results = await Promise.allSettled(
      pieces.map(async (piece) => {
        const part = partOf(target, offset, piece);
        if (piece.state === PAGE_STATES.base) {
          await base.readInto(part, piece.offset, signal);
        } else if (piece.state === PAGE_STATES.zero) {
          part.fill(0);
        } else {
          flusher.check();
          await data.read(part, DATA_OFFSET + piece.offset);
        }
      }),
    );
    const failure = results.find((result) => result.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  *#pieces(offset: number, end: number): Generator<Piece> {
    for (let at = offset; at < end; ) {
      const piece = this.#piece(at, end);
      yield piece;
      at += piece.length;
    }
  }

  #piece(offset: number, end: number): Piece {
    const { map } = this.#parts;
    const page = Math.floor(offset / PAGE_BYTES);
    const next = map.runEnd(page, Math.ceil(end / PAGE_BYTES));
    const length = Math.min(end, next * PAGE_BYTES) - offset;
    return { offset, length, state: map.stateOf(page) };
  }
}

function partOf(target: Uint8Array, offset: number, piece: Piece): Uint8Array {
  return target.subarray(piece.offset - offset, piece.offset - offset + piece.length);
}
