import { type FileSystem, isRestoreError, RestoreError } from '../../../core/index.ts';
import type { FileSystemDriver, Identification, Volume } from '../driver.ts';
import { checkIncompatible } from './features.ts';
import { ExtFileSystem } from './file-system.ts';
import { findBackup, readMended, readPrimary, readSuperblock } from './find-superblock.ts';
import type { Inode } from './inode.ts';
import { InodeTable } from './inode-table.ts';
import { replayJournal } from './journal/replay.ts';
import { hasCompat, revisionOf, type Superblock } from './superblock.ts';
import { typeOf, uuidText } from './type.ts';

/** ext2, ext3 and ext4, by the primary superblock. */
export const extDriver: FileSystemDriver = {
  name: 'ext2/3/4',
  async identify(volume) {
    const primary = await readPrimary(volume);
    if (primary === undefined || revisionOf(primary) > REVISION_MAX) return undefined;
    try {
      return identificationOf(await readSuperblock(volume));
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      return { type: 'ext4', label: '', uuid: '' };
    }
  },
  open,
};

/**
 * The same, where the primary superblock is gone and a copy of it is left, or one bit of its signature is
 * another. To be tried last: another
 * file system's volume may still hold copies from earlier days.
 */
export const extByBackupDriver: FileSystemDriver = {
  name: 'ext2/3/4 without its first superblock',
  async identify(volume) {
    if (await isOfAnotherKind(volume)) return undefined;
    const found = (await readMended(volume)) ?? (await findBackup(volume));
    return found === undefined ? undefined : identificationOf(found);
  },
  open,
};

const ROOT_INODE = 2;
/** The signature is two bytes long: a third thing to know it by. */
const REVISION_MAX = 1;

async function open(volume: Volume): Promise<FileSystem> {
  const found = await readSuperblock(volume);
  checkIncompatible(found.incompat);
  const { volume: replayed, places } = await replayJournal(volume, found);
  const superblock = await readSuperblock(replayed);
  checkIncompatible(superblock.incompat);
  noteState(volume, superblock);
  const whole = { ...replayed, superblock };
  const inodes = new InodeTable(whole);
  const root = await inodes.readFile(ROOT_INODE);
  if (root.kind !== 'directory') throw rootIsNone(root);
  return new ExtFileSystem(whole, inodes, places);
}

function rootIsNone({ kind }: Inode): RestoreError {
  return new RestoreError('CORRUPT', 'the root is no directory', {
    where: { structure: `inode ${ROOT_INODE}`, expected: 'directory', found: kind },
  });
}

function noteState({ health, metadata }: Volume, superblock: Superblock): void {
  if (superblock.state.errors) {
    health.note('partly damaged', {
      message: 'Linux met errors in it while it was mounted: run e2fsck on a copy',
      where: { structure: 's_state' },
    });
  }
  if (superblock.hasLostChecksums) {
    health.note('partly damaged', {
      message:
        'checksums are switched off in an unusual way: wrong names and content would not show',
      where: { structure: 's_feature_ro_compat', expected: 'metadata_csum' },
    });
  }
  if (!superblock.state.clean && !hasCompat(superblock, 'has_journal')) {
    health.note('stale', {
      message: 'it was in use, and has no journal: the last changes may be missing or half done',
      where: { structure: 's_state' },
    });
  }
  const bytes = superblock.blockCount * superblock.blockSize;
  if (bytes > metadata.size) {
    health.note('partly damaged', {
      message: 'the volume ends before its file system: files at the end cannot be read',
      where: { structure: 's_blocks_count', expected: bytes, found: metadata.size },
    });
  }
}

function identificationOf(superblock: Superblock): Identification {
  return {
    type: typeOf(superblock),
    label: superblock.label,
    uuid: uuidText(superblock.uuid),
  };
}

/** Signatures in the first sectors that say whose the volume is now. */
const OTHERS: readonly (readonly [offset: number, text: string])[] = [
  [0, 'XFSB'],
  [0, 'LUKS\u{ba}\u{be}'],
  [3, 'NTFS    '],
  [3, 'EXFAT   '],
  [3, '-FVE-FS-'],
  [54, 'FAT'],
  [82, 'FAT32'],
  [512, 'LABELONE'],
  [512, 'EFI PART'],
  [4086, 'SWAPSPACE2'],
  [0x1_0040, '_BHRfS_M'],
  [0x8001, 'CD001'],
];

async function isOfAnotherKind({ metadata }: Volume): Promise<boolean> {
  for (const [offset, text] of OTHERS) {
    if (offset + text.length > metadata.size) continue;
    const found = new Uint8Array(text.length);
    await metadata.readInto(found, offset);
    if (Buffer.from(found).toString('latin1') === text) return true;
  }
  return false;
}
