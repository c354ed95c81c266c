import { throwIfAborted } from '../../../../core/index.ts';
import { type ExtVolume, readWithin } from '../volume.ts';
import type { InodeGroup } from './inode-groups.ts';

/** A line of the metadata's cache. */
const PIECE_BYTES = 64 * 1024;

/** Inodes that lie one behind the other. */
export interface InodePiece {
  /** Number of the first one. */
  readonly first: number;
  readonly bytes: Uint8Array;
}

/** A group's inodes that may be in use, as they are stored. */
export async function* scanGroup(
  volume: ExtVolume,
  { first, table, account }: InodeGroup,
  signal?: AbortSignal,
): AsyncGenerator<InodePiece> {
  const { metadata, superblock } = volume;
  const { inodeSize, inodesPerGroup } = superblock;
  const end = table + (account?.usedInodes ?? inodesPerGroup) * inodeSize;
  for (let at = table; at < end; ) {
    throwIfAborted(signal);
    volume.budget.checkTime();
    const length = Math.min(PIECE_BYTES - (at % PIECE_BYTES), end - at);
    const bytes = await readWithin(metadata, at, length, 'inode table', signal);
    yield { first: first + (at - table) / inodeSize, bytes };
    at += length;
  }
}
