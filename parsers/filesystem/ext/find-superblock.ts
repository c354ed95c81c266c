import { isRestoreError, RestoreError } from '../../../core/index.ts';
import type { Volume } from '../driver.ts';
import {
  hasSuperblockMagic,
  parseSuperblock,
  revisionOf,
  SUPERBLOCK_AT,
  SUPERBLOCK_BYTES,
  type Superblock,
} from './superblock.ts';

/** Groups that hold a copy under `sparse_super`, and under `sparse_super2` as mke2fs has it. */
const BACKUP_GROUPS = [1, 3, 5, 7, 9, 25, 27, 49, 81] as const;
const BLOCK_SIZES = [4096, 1024, 2048, 65_536, 8192, 16_384, 32_768] as const;

/** The primary superblock's bytes; `undefined` when its signature is not there. */
export async function readPrimary(volume: Volume): Promise<Uint8Array | undefined> {
  if (volume.metadata.size < SUPERBLOCK_AT + SUPERBLOCK_BYTES) return undefined;
  const raw = await readCopy(volume, SUPERBLOCK_AT);
  return hasSuperblockMagic(raw) ? raw : undefined;
}

/**
 * The superblock: the primary one or, when that is damaged, the first copy that is sound; the
 * volume's health tells of it.
 *
 * @throws RestoreError `CORRUPT` when there is no sound one.
 */
export async function readSuperblock(volume: Volume): Promise<Superblock> {
  let damage = new RestoreError('CORRUPT', 'there is no superblock', {
    where: { structure: 's_magic', offset: SUPERBLOCK_AT, expected: '0xef53' },
  });
  const primary = await readPrimary(volume);
  try {
    if (primary !== undefined) return parseSuperblock(primary, SUPERBLOCK_AT);
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    damage = error;
  }
  const backup = await findBackup(volume);
  if (backup === undefined) throw damage;
  volume.health.damage(damage);
  volume.health.note('partly damaged', {
    message: `read by the superblock's copy in group ${backup.groupNumber}`,
    where: { structure: 'superblock', offset: backup.offset },
  });
  return backup;
}

/** The first sound copy of the superblock at the places where mke2fs puts them. */
export async function findBackup(volume: Volume): Promise<Superblock | undefined> {
  for (const blockSize of BLOCK_SIZES) {
    for (const group of BACKUP_GROUPS) {
      const offset = blockSize * (8 * blockSize * group + (blockSize === 1024 ? 1 : 0));
      if (offset + SUPERBLOCK_BYTES > volume.metadata.size) break;
      const raw = await readCopy(volume, offset);
      if (!hasSuperblockMagic(raw)) continue;
      const found = soundCopy(raw, offset);
      if (found?.blockSize !== blockSize) continue;
      // The first ext2 did not number its copies.
      if (found.groupNumber === group || revisionOf(raw) === 0) return found;
    }
  }
  return undefined;
}

function soundCopy(raw: Uint8Array, offset: number): Superblock | undefined {
  try {
    return parseSuperblock(raw, offset);
  } catch (error) {
    if (isRestoreError(error, 'CORRUPT')) return undefined;
    throw error;
  }
}

/** A copy of the bytes: a superblock is kept, the cached line is not. */
async function readCopy({ metadata }: Volume, offset: number): Promise<Uint8Array> {
  const raw = new Uint8Array(SUPERBLOCK_BYTES);
  await metadata.readInto(raw, offset);
  return raw;
}
