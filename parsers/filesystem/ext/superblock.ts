import { layout, RestoreError } from '../../../core/index.ts';
import { continueCrc32c } from './checksum.ts';
import { COMPAT, INCOMPAT, RO_COMPAT } from './features.ts';

const CHECKSUM_AT = 0x3fc;

/** Kernel documentation, filesystems/ext4, "Super Block". */
const SuperBlock = {
  s_inodes_count: layout.u32le(0x0),
  s_blocks_count_lo: layout.u32le(0x4),
  s_free_blocks_count_lo: layout.u32le(0xc),
  s_first_data_block: layout.u32le(0x14),
  s_log_block_size: layout.u32le(0x18),
  s_log_cluster_size: layout.u32le(0x1c),
  s_blocks_per_group: layout.u32le(0x20),
  s_clusters_per_group: layout.u32le(0x24),
  s_inodes_per_group: layout.u32le(0x28),
  s_magic: layout.u16le(0x38),
  s_state: layout.u16le(0x3a),
  s_rev_level: layout.u32le(0x4c),
  s_first_ino: layout.u32le(0x54),
  s_inode_size: layout.u16le(0x58),
  s_block_group_nr: layout.u16le(0x5a),
  s_feature_compat: layout.u32le(0x5c),
  s_feature_incompat: layout.u32le(0x60),
  s_feature_ro_compat: layout.u32le(0x64),
  s_uuid: layout.bytes(0x68, 16),
  s_volume_name: layout.text(0x78, 16),
  s_reserved_gdt_blocks: layout.u16le(0xce),
  s_journal_uuid: layout.bytes(0xd0, 16),
  s_journal_inum: layout.u32le(0xe0),
  s_journal_dev: layout.u32le(0xe4),
  s_last_orphan: layout.u32le(0xe8),
  s_hash_seed: layout.bytes(0xec, 16),
  s_jnl_backup_type: layout.u8(0xfd),
  s_desc_size: layout.u16le(0xfe),
  s_first_meta_bg: layout.u32le(0x104),
  s_jnl_blocks: layout.bytes(0x10c, 68),
  s_blocks_count_hi: layout.u32le(0x150),
  s_free_blocks_count_hi: layout.u32le(0x158),
  s_flags: layout.u32le(0x160),
  s_checksum_type: layout.u8(0x175),
  s_backup_bgs: [layout.u32le(0x24c), layout.u32le(0x250)],
  s_checksum_seed: layout.u32le(0x270),
  s_encoding: layout.u16le(0x27c),
  s_encoding_flags: layout.u16le(0x27e),
  s_checksum: layout.u32le(CHECKSUM_AT),
} as const;

export const SUPERBLOCK_BYTES = 1024;
/** Where the primary superblock lies, whatever the block size. */
export const SUPERBLOCK_AT = 1024;
const MAGIC = 0xef53;
const CHECKSUM_CRC32C = 1;
const DYNAMIC_REVISION = 1;
const BLOCK_SIZE_MAX = 64 * 1024;
const STATE_CLEAN = 0x1;
const STATE_ERRORS = 0x2;
const FLAG_UNSIGNED_HASH = 0x2;

/** A parsed and checked superblock: every size and count in it is safe to calculate with. */
export interface Superblock {
  /** Offset of this copy on the volume. */
  readonly offset: number;
  /** Its 1,024 bytes. */
  readonly raw: Uint8Array;
  readonly blockSize: number;
  /** Bytes of an allocation unit; more than a block with `bigalloc`. */
  readonly clusterSize: number;
  readonly blockCount: number;
  readonly freeBlockCount: number;
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly groupCount: number;
  readonly inodeCount: number;
  readonly inodesPerGroup: number;
  readonly inodeSize: number;
  /** The first inode that is not reserved. */
  readonly firstInode: number;
  readonly descriptorSize: number;
  /** The first group of descriptors that lie by `meta_bg`'s rule. */
  readonly firstMetaGroup: number;
  readonly reservedDescriptorBlocks: number;
  readonly backupGroups: readonly [number, number];
  /** The group in which this copy says it lies. */
  readonly groupNumber: number;
  readonly compat: number;
  readonly incompat: number;
  readonly roCompat: number;
  readonly uuid: Uint8Array;
  readonly label: string;
  /** Metadata carries crc32c sums (`metadata_csum`). */
  readonly hasChecksums: boolean;
  /** It names an algorithm for sums and says that there are none: tune2fs clears both, or neither. */
  readonly hasLostChecksums: boolean;
  /** What every sum but the superblock's own begins with. */
  readonly checksumSeed: number;
  readonly needsRecovery: boolean;
  /** It was not unmounted, or errors were met while it was mounted. */
  readonly state: { readonly clean: boolean; readonly errors: boolean };
  readonly journal: JournalPlace | undefined;
  readonly lastOrphan: number;
  readonly hash: { readonly seed: Uint8Array; readonly unsigned: boolean };
  readonly encoding: { readonly number: number; readonly strict: boolean };
}

/** Where the journal is, when there is one. */
export interface JournalPlace {
  /** Its inode; 0 when it lies on another device. */
  readonly inode: number;
  readonly device: number;
  readonly uuid: Uint8Array;
  /** The inode's `i_block` (60 bytes), `i_size_high` and `i_size`, kept for when it is damaged. */
  readonly backup: Uint8Array | undefined;
}

/** True when `bytes`, those of a superblock, carry its signature. */
export function hasSuperblockMagic(bytes: Uint8Array): boolean {
  return SuperBlock.s_magic(layout.viewOf(bytes)) === MAGIC;
}

/** `s_rev_level`: 0 for the first ext2, 1 since. */
export function revisionOf(bytes: Uint8Array): number {
  return SuperBlock.s_rev_level(layout.viewOf(bytes));
}

/** True when the optional feature is there. */
export function hasCompat(superblock: Superblock, feature: keyof typeof COMPAT): boolean {
  return (superblock.compat & COMPAT[feature]) !== 0;
}
export function hasIncompat(superblock: Superblock, feature: keyof typeof INCOMPAT): boolean {
  return (superblock.incompat & INCOMPAT[feature]) !== 0;
}
export function hasRoCompat(superblock: Superblock, feature: keyof typeof RO_COMPAT): boolean {
  return (superblock.roCompat & RO_COMPAT[feature]) !== 0;
}

/**
 * Reads what the 1,024 bytes of a superblock say, and checks all of it that others calculate with.
 *
 * @param offset where they lie on the volume, for errors.
 * @throws RestoreError `CORRUPT` when they contradict themselves or their checksum.
 */
export function parseSuperblock(raw: Uint8Array, offset: number): Superblock {
  const view = layout.viewOf(raw);
  if (!hasSuperblockMagic(raw)) {
    throw bad('s_magic', offset, '0xef53', `0x${SuperBlock.s_magic(view).toString(16)}`);
  }
  const dynamic = SuperBlock.s_rev_level(view) >= DYNAMIC_REVISION;
  const features = {
    compat: dynamic ? SuperBlock.s_feature_compat(view) : 0,
    incompat: dynamic ? SuperBlock.s_feature_incompat(view) : 0,
    roCompat: dynamic ? SuperBlock.s_feature_ro_compat(view) : 0,
  };
  const hasChecksums = (features.roCompat & RO_COMPAT.metadata_csum) !== 0;
  if (hasChecksums) verifyChecksum(raw, offset);
  const geometry = geometryOf(view, offset, features, dynamic);
  const uuid = SuperBlock.s_uuid(view);
  const state = SuperBlock.s_state(view);
  return {
    offset,
    raw,
    ...features,
    ...geometry,
    uuid,
    label: SuperBlock.s_volume_name(view),
    hasChecksums,
    hasLostChecksums: !hasChecksums && SuperBlock.s_checksum_type(view) !== 0,
    checksumSeed:
      (features.incompat & INCOMPAT.metadata_csum_seed) === 0
        ? continueCrc32c(0xffff_ffff, uuid)
        : SuperBlock.s_checksum_seed(view),
    needsRecovery: (features.incompat & INCOMPAT.needs_recovery) !== 0,
    state: { clean: (state & STATE_CLEAN) !== 0, errors: (state & STATE_ERRORS) !== 0 },
    journal: (features.compat & COMPAT.has_journal) === 0 ? undefined : journalOf(view),
    lastOrphan: SuperBlock.s_last_orphan(view),
    groupNumber: SuperBlock.s_block_group_nr(view),
    hash: {
      seed: SuperBlock.s_hash_seed(view),
      unsigned: (SuperBlock.s_flags(view) & FLAG_UNSIGNED_HASH) !== 0,
    },
    encoding: {
      number: SuperBlock.s_encoding(view),
      strict: (SuperBlock.s_encoding_flags(view) & 1) !== 0,
    },
  };
}

/** True for the bytes of a superblock whose own sum says that they are as they were written. */
export function isProven(bytes: Uint8Array): boolean {
  const view = layout.viewOf(bytes);
  const hasSum =
    SuperBlock.s_magic(view) === MAGIC &&
    SuperBlock.s_rev_level(view) >= DYNAMIC_REVISION &&
    (SuperBlock.s_feature_ro_compat(view) & RO_COMPAT.metadata_csum) !== 0 &&
    SuperBlock.s_checksum_type(view) === CHECKSUM_CRC32C;
  return hasSum && checksumOf(bytes) === SuperBlock.s_checksum(view);
}

function checksumOf(raw: Uint8Array): number {
  return continueCrc32c(0xffff_ffff, raw.subarray(0, CHECKSUM_AT));
}

function verifyChecksum(raw: Uint8Array, offset: number): void {
  const view = layout.viewOf(raw);
  const type = SuperBlock.s_checksum_type(view);
  if (type !== CHECKSUM_CRC32C) throw bad('s_checksum_type', offset, CHECKSUM_CRC32C, type);
  const expected = checksumOf(raw);
  const found = SuperBlock.s_checksum(view);
  if (expected !== found) throw bad('s_checksum', offset, expected, found);
}

function journalOf(view: DataView): JournalPlace {
  return {
    inode: SuperBlock.s_journal_inum(view),
    device: SuperBlock.s_journal_dev(view),
    uuid: SuperBlock.s_journal_uuid(view),
    backup: SuperBlock.s_jnl_backup_type(view) === 1 ? SuperBlock.s_jnl_blocks(view) : undefined,
  };
}

type Geometry = Pick<
  Superblock,
  | 'blockSize'
  | 'clusterSize'
  | 'blockCount'
  | 'freeBlockCount'
  | 'firstDataBlock'
  | 'blocksPerGroup'
  | 'groupCount'
  | 'inodeCount'
  | 'inodesPerGroup'
  | 'inodeSize'
  | 'firstInode'
  | 'descriptorSize'
  | 'firstMetaGroup'
  | 'reservedDescriptorBlocks'
  | 'backupGroups'
>;

interface Features {
  readonly compat: number;
  readonly incompat: number;
  readonly roCompat: number;
}

function geometryOf(
  view: DataView,
  offset: number,
  features: Features,
  dynamic: boolean,
): Geometry {
  const blockSize = sizeByShift(SuperBlock.s_log_block_size(view), 's_log_block_size', offset);
  const bigalloc = (features.roCompat & RO_COMPAT.bigalloc) !== 0;
  const wide = (features.incompat & INCOMPAT['64bit']) !== 0;
  const clusterShift = SuperBlock.s_log_cluster_size(view);
  if (bigalloc && clusterShift > 20)
    throw bad('s_log_cluster_size', offset, 'at most 20', clusterShift);
  const clusterSize = bigalloc ? 1024 * 2 ** clusterShift : blockSize;
  if (clusterSize < blockSize)
    throw bad('s_log_cluster_size', offset, 'a block or more', clusterShift);
  const high = (value: number): number => (wide ? value * 2 ** 32 : 0);
  const blockCount = SuperBlock.s_blocks_count_lo(view) + high(SuperBlock.s_blocks_count_hi(view));
  if (!Number.isSafeInteger(blockCount * blockSize) || blockCount === 0) {
    throw bad('s_blocks_count', offset, 'a size that a disk can have', blockCount);
  }
  const layoutOfGroups = groupsOf(view, offset, { blockSize, clusterSize, blockCount });
  return {
    blockSize,
    clusterSize,
    blockCount,
    freeBlockCount:
      SuperBlock.s_free_blocks_count_lo(view) + high(SuperBlock.s_free_blocks_count_hi(view)),
    ...layoutOfGroups,
    ...inodesOf(view, offset, { blockSize, dynamic, groupCount: layoutOfGroups.groupCount }),
    descriptorSize: descriptorSizeOf(view, offset, wide, blockSize),
    firstMetaGroup: SuperBlock.s_first_meta_bg(view),
    reservedDescriptorBlocks: SuperBlock.s_reserved_gdt_blocks(view),
    backupGroups: [SuperBlock.s_backup_bgs[0](view), SuperBlock.s_backup_bgs[1](view)],
  };
}

function sizeByShift(shift: number, structure: string, offset: number): number {
  const size = shift > 16 ? Number.POSITIVE_INFINITY : 1024 * 2 ** shift;
  if (size > BLOCK_SIZE_MAX) throw bad(structure, offset, 'at most 6', shift);
  return size;
}

function groupsOf(
  view: DataView,
  offset: number,
  {
    blockSize,
    clusterSize,
    blockCount,
  }: Record<'blockSize' | 'clusterSize' | 'blockCount', number>,
): Pick<Geometry, 'firstDataBlock' | 'blocksPerGroup' | 'groupCount'> {
  const firstDataBlock = SuperBlock.s_first_data_block(view);
  if (firstDataBlock > 1 || firstDataBlock >= blockCount) {
    throw bad('s_first_data_block', offset, '0 or 1', firstDataBlock);
  }
  const blocksPerGroup = SuperBlock.s_blocks_per_group(view);
  const most = 8 * blockSize * (clusterSize / blockSize);
  if (blocksPerGroup < 8 || blocksPerGroup > most) {
    throw bad('s_blocks_per_group', offset, `8 to ${most}`, blocksPerGroup);
  }
  const groupCount = Math.ceil((blockCount - firstDataBlock) / blocksPerGroup);
  if (groupCount >= 2 ** 32) throw bad('s_blocks_count', offset, 'below 2^32 groups', groupCount);
  return { firstDataBlock, blocksPerGroup, groupCount };
}

function inodesOf(
  view: DataView,
  offset: number,
  { blockSize, dynamic, groupCount }: { blockSize: number; dynamic: boolean; groupCount: number },
): Pick<Geometry, 'inodeCount' | 'inodesPerGroup' | 'inodeSize' | 'firstInode'> {
  const inodeSize = dynamic ? SuperBlock.s_inode_size(view) : 128;
  if (inodeSize < 128 || inodeSize > blockSize || !Number.isInteger(Math.log2(inodeSize))) {
    throw bad('s_inode_size', offset, `a power of two, 128 to ${blockSize}`, inodeSize);
  }
  const inodesPerGroup = SuperBlock.s_inodes_per_group(view);
  if (inodesPerGroup === 0 || inodesPerGroup > 8 * blockSize) {
    throw bad('s_inodes_per_group', offset, `1 to ${8 * blockSize}`, inodesPerGroup);
  }
  const inodeCount = SuperBlock.s_inodes_count(view);
  if (inodeCount < 11 || inodeCount > groupCount * inodesPerGroup) {
    throw bad('s_inodes_count', offset, `11 to ${groupCount * inodesPerGroup}`, inodeCount);
  }
  const firstInode = dynamic ? SuperBlock.s_first_ino(view) : 11;
  return { inodeCount, inodesPerGroup, inodeSize, firstInode };
}

function descriptorSizeOf(
  view: DataView,
  offset: number,
  wide: boolean,
  blockSize: number,
): number {
  if (!wide) return 32;
  const size = SuperBlock.s_desc_size(view);
  if (size < 64 || size > blockSize || !Number.isInteger(Math.log2(size))) {
    throw bad('s_desc_size', offset, `a power of two, 64 to ${blockSize}`, size);
  }
  return size;
}

function bad(
  structure: string,
  offset: number,
  expected: string | number,
  found: string | number,
): RestoreError {
  return new RestoreError('CORRUPT', 'the superblock is damaged', {
    where: { structure, offset, expected, found },
    hint: 'Look at an older restore point, or export the disk and run e2fsck on the copy.',
  });
}
