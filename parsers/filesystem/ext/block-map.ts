import type { ContentRun } from '../content.ts';
import { ExtentMap } from './extent-map.ts';
import { IndirectMap } from './indirect-map.ts';
import type { Inode } from './inode.ts';
import type { BlockMap } from './map-piece.ts';
import type { ExtVolume } from './volume.ts';

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
    const { runs, end, damage } = await map.piece(at, signal);
    if (damage !== undefined) throw damage;
    for (const run of runs) {
      if (run.offset < size) yield { ...run, length: Math.min(run.length, size - run.offset) };
    }
    at = end;
  }
}
