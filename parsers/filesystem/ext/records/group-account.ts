import { hasRoCompat, type Superblock } from '../superblock.ts';

/** Kernel documentation, filesystems/ext4, "Block Group Descriptors"; offsets of both halves. */
const BG_BLOCK_BITMAP = [0x0, 0x20] as const;
const BG_INODE_BITMAP = [0x4, 0x24] as const;
const BG_FLAGS = 0x12;
const BG_ITABLE_UNUSED_LO = 0x1c;
const BG_ITABLE_UNUSED_HI = 0x32;
const INODE_UNINIT = 0x1;
const BLOCK_UNINIT = 0x2;

/** What a group says of its own use. */
export interface GroupAccount {
  /** Block numbers. */
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  /** False where the bitmap on the volume was never written. */
  readonly hasBlockBitmap: boolean;
  /** Behind this many inodes of the group none was ever used. */
  readonly usedInodes: number;
}

/** @param descriptor of `superblock.descriptorSize` bytes. */
export function accountOf(superblock: Superblock, descriptor: Uint8Array): GroupAccount {
  const view = new DataView(descriptor.buffer, descriptor.byteOffset, descriptor.byteLength);
  const isWide = descriptor.byteLength >= 64;
  const wide = ([low, high]: readonly [number, number]): number =>
    view.getUint32(low, true) + (isWide ? view.getUint32(high, true) * 2 ** 32 : 0);
  // Without a sum over it, the account is not kept.
  const isKept = superblock.hasChecksums || hasRoCompat(superblock, 'uninit_bg');
  const flags = isKept ? view.getUint16(BG_FLAGS, true) : 0;
  const unused =
    view.getUint16(BG_ITABLE_UNUSED_LO, true) +
    (isWide ? view.getUint16(BG_ITABLE_UNUSED_HI, true) * 2 ** 16 : 0);
  const { inodesPerGroup } = superblock;
  const isNew = (flags & INODE_UNINIT) !== 0;
  return {
    blockBitmap: wide(BG_BLOCK_BITMAP),
    inodeBitmap: wide(BG_INODE_BITMAP),
    hasBlockBitmap: (flags & BLOCK_UNINIT) === 0,
    usedInodes: isNew ? 0 : Math.max(0, inodesPerGroup - (isKept ? unused : 0)),
  };
}
