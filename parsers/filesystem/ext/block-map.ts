import type { ContentRun } from '../content.ts';
import { ExtentMap } from './extent-map.ts';
import { IndirectMap } from './indirect-map.ts';
import type { Inode } from './inode.ts';
import type { ExtVolume } from './volume.ts';

/** A stretch of a file of which it is known where every byte lies. Offsets in bytes of the file. */
export interface MapPiece {
  readonly start: number;
  readonly end: number;
  /** Ascending, inside the piece; all between them reads as zeros. */
  readonly runs: readonly ContentRun[];
}

/**
 * Where a file's blocks lie, read piece by piece: a damaged part of the map is no matter to who
 * reads elsewhere, and a huge file opens as quickly as a small one.
 */
export interface BlockMap {
  /**
   * The piece that holds the byte at `offset` of the file.
   *
   * @throws RestoreError `CORRUPT` when that part of the map is damaged.
   */
  piece(offset: number, signal?: AbortSignal): Promise<MapPiece>;
}

/** The map of a file that is neither inline nor a short symbolic link. */
export function blockMapOf(volume: ExtVolume, inode: Inode): BlockMap {
  return inode.has('extents') ? new ExtentMap(volume, inode) : new IndirectMap(volume, inode);
}

/**
 * All runs of `[0, size)`, for files of which much is known to be there: a journal, a directory.
 *
 * @throws RestoreError `CORRUPT` when any part of the map is damaged.
 */
export async function* runsOf(
  volume: ExtVolume,
  map: BlockMap,
  size: number,
  signal?: AbortSignal,
): AsyncGenerator<ContentRun> {
  for (let at = 0; at < size; ) {
    volume.budget.checkTime();
    const { runs, end } = await map.piece(at, signal);
    for (const run of runs) {
      if (run.offset < size) yield { ...run, length: Math.min(run.length, size - run.offset) };
    }
    at = end;
  }
}
