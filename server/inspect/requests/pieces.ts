import {
  asRestoreError,
  type Extent,
  type RestoreError,
  type SparseSource,
} from '../../../core/index.ts';

const PIECE_BYTES = 1024 * 1024;
/** Pieces that are read while one is used: enough to keep a second core or a far disk at work. */
const AHEAD = 3;

/** Part of a file's content. */
export interface Piece {
  /** Offset in the file, in bytes. */
  readonly at: number;
  /** Theirs who asked, until they ask for the next. */
  readonly bytes: Uint8Array;
}

export interface PieceOptions {
  /** Of the longest piece. */
  readonly pieceBytes?: number;
  /** What to throw for a piece at `at` that cannot be read: as a rule, why. */
  readonly failed?: (cause: RestoreError, at: number) => RestoreError;
}

/**
 * Stretches of a file piece by piece, holes in them as zeros. While one piece is used the next is read.
 * Between two, signs of life and the parent's wish to end this get through.
 *
 * @throws RestoreError after all pieces before it.
 */
export async function* piecesOf(
  content: SparseSource,
  stretches: Iterable<Extent> | AsyncIterable<Extent>,
  { pieceBytes = PIECE_BYTES, failed = (cause) => cause }: PieceOptions = {},
): AsyncGenerator<Piece> {
  const buffers = new Buffers();
  const ahead: Promise<Piece>[] = [];
  try {
    for await (const { at, length } of cut(stretches, pieceBytes)) {
      const reading = read(content, buffers.take(length), at, failed);
      // Told when its turn comes, and no unhandled rejection until then.
      reading.catch(() => undefined);
      if (ahead.push(reading) <= AHEAD) continue;
      yield await (ahead.shift() as Promise<Piece>);
      await new Promise(setImmediate);
    }
    for (let reading = ahead.shift(); reading !== undefined; reading = ahead.shift()) {
      yield await reading;
    }
  } finally {
    // Whoever closes the file now must not close it under a read.
    await Promise.allSettled(ahead);
  }
}

async function* cut(
  stretches: Iterable<Extent> | AsyncIterable<Extent>,
  pieceBytes: number,
): AsyncGenerator<{ readonly at: number; readonly length: number }> {
  for await (const { offset, length } of stretches) {
    for (let at = offset; at < offset + length; at += pieceBytes) {
      yield { at, length: Math.min(pieceBytes, offset + length - at) };
    }
  }
}

async function read(
  content: SparseSource,
  bytes: Uint8Array,
  at: number,
  failed: NonNullable<PieceOptions['failed']>,
): Promise<Piece> {
  try {
    await content.readInto(bytes, at);
    return { at, bytes };
  } catch (error) {
    throw failed(asRestoreError(error, 'cannot read'), at);
  }
}

/** In turn: one is used while the others are filled. */
class Buffers {
  readonly #buffers: Uint8Array[] = [];
  #taken = 0;

  /** One that nobody uses: the piece before the last {@link AHEAD} has been given back. */
  take(length: number): Uint8Array {
    const turn = this.#taken % (AHEAD + 1);
    this.#taken += 1;
    const kept = this.#buffers[turn];
    if (kept !== undefined && kept.byteLength >= length) return kept.subarray(0, length);
    // A small file is read at once, and needs no more than its size.
    const buffer = new Uint8Array(length);
    this.#buffers[turn] = buffer;
    return buffer;
  }
}
