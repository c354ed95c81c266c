import { isRestoreError, RestoreError } from '../../../core/index.ts';
import type { Volume } from '../driver.ts';
import { firstBlockOf } from './groups.ts';
import { mendSuperblock } from './mend-superblock.ts';
import {
  hasSuperblockMagic,
  isProven,
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
  const raw = await readFirst(volume);
  return raw !== undefined && hasSuperblockMagic(raw) ? raw : undefined;
}

/**
 * The superblock: the primary one or, when that is damaged, what it was before one bit of it flipped,
 * by its own sum, or the first copy that is sound; the volume's health tells of it.
 *
 * A primary one without sums is taken for damaged when its sum still holds with them, or when a copy
 * with a sound sum has them: tune2fs, which may switch them off, does that in all copies.
 *
 * @throws RestoreError `CORRUPT` when there is no sound one.
 */
export async function readSuperblock(volume: Volume): Promise<Superblock> {
  const first = await readFirst(volume);
  const { superblock, damage } = tryParse(first);
  if (superblock?.hasChecksums === true) return superblock;
  const isLost = superblock?.hasLostChecksums === true;
  if (superblock !== undefined && !isLost && !(await isContradicted(volume, superblock))) {
    return superblock;
  }
  const mended = first === undefined ? undefined : mendSuperblock(first);
  if (mended !== undefined) {
    volume.health.damage(damage);
    volume.health.note('partly damaged', {
      message: 'a bit of the superblock had flipped; by its checksum it is known which',
      where: { structure: 'superblock', offset: SUPERBLOCK_AT },
    });
    return mended;
  }
  const backup = await findBackup(volume);
  if (superblock !== undefined && !isOfSameVolume(superblock, backup)) return superblock;
  if (backup === undefined) throw damage;
  volume.health.damage(damage);
  volume.health.note('partly damaged', {
    message: `read by the superblock's copy in group ${backup.groupNumber}`,
    where: { structure: 'superblock', offset: backup.offset },
  });
  return backup;
}

/** A superblock at the primary one's place of which one bit had flipped, put right. */
export async function readMended(volume: Volume): Promise<Superblock | undefined> {
  const first = await readFirst(volume);
  return first === undefined ? undefined : mendSuperblock(first);
}

async function readFirst(volume: Volume): Promise<Uint8Array | undefined> {
  if (volume.metadata.size < SUPERBLOCK_AT + SUPERBLOCK_BYTES) return undefined;
  return await readCopy(volume, SUPERBLOCK_AT);
}

/** @returns what is wrong, too, should the superblock not be believed after all. */
function tryParse(first: Uint8Array | undefined): {
  superblock?: Superblock;
  damage: RestoreError;
} {
  try {
    if (first === undefined || !hasSuperblockMagic(first)) {
      throw damaged('s_magic', '0xef53', 'another');
    }
    const superblock = parseSuperblock(first, SUPERBLOCK_AT);
    const found = 'switched off, and not by tune2fs';
    return { superblock, damage: damaged('s_feature_ro_compat', 'checksums', found) };
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    return { damage: error };
  }
}

function damaged(structure: string, expected: string, found: string): RestoreError {
  return new RestoreError('CORRUPT', 'the superblock is damaged', {
    where: { structure, offset: SUPERBLOCK_AT, expected, found },
  });
}

/** True when the first copy is sound by its own sum, and the primary one has none. */
async function isContradicted(volume: Volume, superblock: Superblock): Promise<boolean> {
  const offset = firstBlockOf(superblock, 1) * superblock.blockSize;
  if (superblock.groupCount < 2 || offset + SUPERBLOCK_BYTES > volume.metadata.size) return false;
  const raw = await readCopy(volume, offset);
  return isProven(raw) && isOfSameVolume(superblock, soundCopy(raw, offset));
}

/** Copies from an earlier format may still lie where they were. */
function isOfSameVolume(superblock: Superblock, copy: Superblock | undefined): boolean {
  return copy?.hasChecksums === true && Buffer.compare(superblock.uuid, copy.uuid) === 0;
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
