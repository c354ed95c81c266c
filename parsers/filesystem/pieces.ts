import { type BlockSource, RestoreError, throwIfAborted } from '../../core/index.ts';
import { bytesAt } from './bytes-at.ts';

/** A stretch of the volume. */
export interface Place {
  readonly at: number;
  readonly length: number;
}

/** Bytes of a place, and where they lie. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly at: number;
}

/** A line of the metadata's cache: pieces end where lines do, so that most need not be copied. */
const PIECE_BYTES = 64 * 1024;

/** What lies at `places`, piece by piece. */
export async function* readPieces(
  source: BlockSource,
  places: readonly Place[],
  signal?: AbortSignal,
): AsyncGenerator<Piece> {
  for (const { at, length } of places) {
    for (let done = 0; done < length; ) {
      throwIfAborted(signal);
      const from = at + done;
      const pieceBytes = Math.min(length - done, PIECE_BYTES - (from % PIECE_BYTES));
      yield { bytes: await bytesAt(source, from, pieceBytes, signal), at: from };
      done += pieceBytes;
    }
  }
}

/** Cuts places at the end of a volume that is shorter than it says. */
export function insideOf(
  sizeBytes: number,
  places: readonly Place[],
): { readonly places: readonly Place[]; readonly damage?: RestoreError } {
  const inside = places
    .filter(({ at }) => at < sizeBytes)
    .map(({ at, length }) => ({ at, length: Math.min(length, sizeBytes - at) }));
  const isCut = places.some(({ at, length }) => at + length > sizeBytes);
  return isCut ? { places: inside, damage: cutOff(sizeBytes) } : { places: inside };
}

/** For what lies behind the end of a volume that was cut off. */
export function cutOff(sizeBytes: number): RestoreError {
  return new RestoreError('CORRUPT', 'the volume ends before this part of it', {
    where: { structure: 'data area', expected: 'more', found: `${sizeBytes} bytes` },
    hint: 'The disk or its image was cut off; what lies before its end is read.',
  });
}
