import { hasCompat, type Superblock } from './superblock.ts';
import { INCOMPAT, RO_COMPAT } from './features.ts';

/** What Linux's ext2 and ext3 know; a volume that has more is ext4. As `blkid` tells them apart. */
const OLD_INCOMPAT = INCOMPAT.filetype | INCOMPAT.needs_recovery | INCOMPAT.meta_bg;
const OLD_RO_COMPAT = RO_COMPAT.sparse_super | RO_COMPAT.large_file | RO_COMPAT.btree_dir;

export function typeOf(superblock: Superblock): 'ext2' | 'ext3' | 'ext4' {
  const isNew =
    (superblock.incompat & ~OLD_INCOMPAT) !== 0 || (superblock.roCompat & ~OLD_RO_COMPAT) !== 0;
  if (isNew) return 'ext4';
  return hasCompat(superblock, 'has_journal') ? 'ext3' : 'ext2';
}

export function uuidText(uuid: Uint8Array): string {
  if (uuid.every((byte) => byte === 0)) return '';
  const digits = Buffer.from(uuid).toString('hex');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/u, '$1-$2-$3-$4-$5');
}
