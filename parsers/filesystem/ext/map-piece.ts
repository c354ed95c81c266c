import { type Extent, isRestoreError, type RestoreError } from '../../../core/index.ts';
import type { ContentRun } from '../content.ts';

/** A stretch of a file of which it is known where every byte lies. Offsets in bytes of the file. */
export interface MapPiece {
  readonly start: number;
  readonly end: number;
  /** Ascending, inside the piece; all between them reads as zeros. */
  readonly runs: readonly ContentRun[];
  /** Why nothing is known of this part of the file; `runs` is empty then, and means nothing. */
  readonly damage?: RestoreError;
}

/**
 * Where a file's blocks lie, read piece by piece: a damaged part of the map is no matter to who
 * reads elsewhere, and a huge file opens as quickly as a small one.
 */
export interface BlockMap {
  /** The piece that holds the byte at `offset` of the file. */
  piece(offset: number, signal?: AbortSignal): Promise<MapPiece>;
  /**
   * All that the file occupies on the volume: content, what is set aside for it, and the map's own
   * blocks.
   *
   * @throws RestoreError `CORRUPT` when any part of the map is damaged.
   */
  owned(signal?: AbortSignal): AsyncIterable<Extent>;
}

/** The piece that `make` makes, or one that says how this part of the map is damaged. */
export async function pieceOrDamage(
  start: number,
  end: number,
  make: () => Promise<MapPiece> | MapPiece,
): Promise<MapPiece> {
  try {
    return await make();
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    return { start, end, runs: [], damage: error };
  }
}
