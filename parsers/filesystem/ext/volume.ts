import {
  type BlockSource,
  RestoreError,
  readBytes,
  type SparseSource,
} from '../../../core/index.ts';
import type { Volume } from '../driver.ts';
import type { Superblock } from './superblock.ts';

/** A volume whose superblock is known: what all other parts of the driver read from. */
export interface ExtVolume extends Volume {
  readonly superblock: Superblock;
}

/** @throws RestoreError `CORRUPT` unless `[block, block + count)` lies inside the file system. */
export function checkBlocks(
  { superblock }: ExtVolume,
  block: number,
  count: number,
  structure: string,
): void {
  if (block > 0 && block >= superblock.firstDataBlock && block + count <= superblock.blockCount) {
    return;
  }
  throw new RestoreError('CORRUPT', 'a reference leads outside the file system', {
    where: {
      structure,
      expected: `blocks ${superblock.firstDataBlock} to ${superblock.blockCount - 1}`,
      found: count === 1 ? block : `${count} at ${block}`,
    },
  });
}

/** One block of metadata; a view that must not be written to. */
export async function readBlock(
  volume: ExtVolume,
  block: number,
  structure: string,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  checkBlocks(volume, block, 1, structure);
  const { blockSize } = volume.superblock;
  return readWithin(volume.metadata, block * blockSize, blockSize, structure, signal);
}

/**
 * Bytes of metadata, as a view when they are cached.
 *
 * @throws RestoreError `CORRUPT` when the range leaves the volume: a truncated one, since what lies
 *   inside the file system was checked before.
 */
export async function readWithin(
  source: BlockSource | SparseSource,
  offset: number,
  length: number,
  structure: string,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (offset + length > source.size) throw beyondVolume(source, offset, length, structure);
  return source.peek(offset, length) ?? (await readBytes(source, offset, length, signal));
}

function beyondVolume(
  source: BlockSource,
  offset: number,
  length: number,
  structure: string,
): RestoreError {
  return new RestoreError('CORRUPT', 'the volume ends before its file system', {
    where: {
      structure,
      offset,
      expected: `at most ${source.size} bytes`,
      found: `${length} bytes`,
    },
  });
}
