import { type FileKind, RestoreError } from '../../../core/index.ts';
import { continueCrc32c } from './checksum.ts';
import { INCOMPAT } from './features.ts';
import { hasRoCompat, type Superblock } from './superblock.ts';

/** Kernel documentation, filesystems/ext4, "Inode Table"; byte offsets. */
export const INODE = {
  i_mode: 0x0,
  i_uid: 0x2,
  i_size_lo: 0x4,
  i_atime: 0x8,
  i_ctime: 0xc,
  i_mtime: 0x10,
  i_gid: 0x18,
  i_links_count: 0x1a,
  i_blocks_lo: 0x1c,
  i_flags: 0x20,
  i_block: 0x28,
  i_generation: 0x64,
  i_file_acl_lo: 0x68,
  i_size_high: 0x6c,
  i_blocks_high: 0x74,
  i_file_acl_high: 0x76,
  i_uid_high: 0x78,
  i_gid_high: 0x7a,
  i_checksum_lo: 0x7c,
  i_extra_isize: 0x80,
  i_checksum_hi: 0x82,
  i_ctime_extra: 0x84,
  i_mtime_extra: 0x88,
  i_atime_extra: 0x8c,
  i_crtime: 0x90,
  i_crtime_extra: 0x94,
} as const;

/** `i_flags`, of the same page. */
export const INODE_FLAG = {
  encrypt: 0x800,
  index: 0x1000,
  huge_file: 0x4_0000,
  extents: 0x8_0000,
  verity: 0x10_0000,
  ea_inode: 0x20_0000,
  inline_data: 0x1000_0000,
  casefold: 0x4000_0000,
} as const;

/** Bytes of an inode without its extra fields. */
export const INODE_BASE_BYTES = 128;
const I_BLOCK_BYTES = 60;

const KINDS: Readonly<Record<number, FileKind>> = {
  0x1000: 'fifo',
  0x2000: 'character-device',
  0x4000: 'directory',
  0x6000: 'block-device',
  0x8000: 'file',
  0xa000: 'symlink',
  0xc000: 'socket',
};

/** Little-endian fields of a record; a listing of many files makes no view of each. */
export function u16(raw: Uint8Array, at: number): number {
  return (raw[at] as number) | ((raw[at + 1] as number) << 8);
}
export function u32(raw: Uint8Array, at: number): number {
  return (u16(raw, at) | (u16(raw, at + 2) << 16)) >>> 0;
}

/** An inode that has passed its checks. */
export class Inode {
  readonly number: number;
  /** Its record of `superblock.inodeSize` bytes; not to be written to. */
  readonly raw: Uint8Array;
  readonly kind: FileKind;
  readonly flags: number;
  readonly size: number;
  readonly superblock: Superblock;

  constructor(number: number, raw: Uint8Array, kind: FileKind, superblock: Superblock) {
    this.number = number;
    this.raw = raw;
    this.kind = kind;
    this.superblock = superblock;
    this.flags = u32(raw, INODE.i_flags);
    const low = u32(raw, INODE.i_size_lo);
    const isWide =
      kind === 'file' || (kind === 'directory' && (superblock.incompat & INCOMPAT.large_dir) !== 0);
    this.size = isWide ? u32(raw, INODE.i_size_high) * 2 ** 32 + low : low;
  }

  has(flag: keyof typeof INODE_FLAG): boolean {
    return (this.flags & INODE_FLAG[flag]) !== 0;
  }

  get links(): number {
    return u16(this.raw, INODE.i_links_count);
  }

  get generation(): number {
    return u32(this.raw, INODE.i_generation);
  }

  /** `i_block`: pointers, an extent tree's root, a short symbolic link, or the file itself. */
  get blockField(): Uint8Array {
    return this.raw.subarray(INODE.i_block, INODE.i_block + I_BLOCK_BYTES);
  }

  /** The block with extended attributes, or 0. */
  get attributeBlock(): number {
    const high = u16(this.raw, INODE.i_file_acl_high);
    const isWide = (this.superblock.incompat & INCOMPAT['64bit']) !== 0;
    return (isWide ? high * 2 ** 32 : 0) + u32(this.raw, INODE.i_file_acl_lo);
  }

  /** Bytes of fields behind the first 128. */
  get extraSize(): number {
    return this.raw.byteLength > INODE_BASE_BYTES ? u16(this.raw, INODE.i_extra_isize) : 0;
  }

  /** Bytes that its content occupies. */
  get allocated(): number {
    const low = u32(this.raw, INODE.i_blocks_lo);
    if (!hasRoCompat(this.superblock, 'huge_file')) return low * 512;
    const count = u16(this.raw, INODE.i_blocks_high) * 2 ** 32 + low;
    return count * (this.has('huge_file') ? this.superblock.blockSize : 512);
  }

  /** What the sums of its directory and extent blocks begin with. */
  get checksumSeed(): number {
    const head = new Uint8Array(8);
    const view = new DataView(head.buffer);
    view.setUint32(0, this.number, true);
    view.setUint32(4, this.generation, true);
    return continueCrc32c(this.superblock.checksumSeed, head);
  }
}

/**
 * Checks an inode's record.
 *
 * @param raw of `superblock.inodeSize` bytes.
 * @param offset where it lies on the volume, for errors.
 * @throws RestoreError `CORRUPT` when it is not in use, contradicts itself or fails its checksum.
 */
export function decodeInode(
  superblock: Superblock,
  number: number,
  raw: Uint8Array,
  offset: number,
): Inode {
  const mode = (raw[0] as number) | ((raw[1] as number) << 8);
  const kind = KINDS[mode & 0xf000];
  if (superblock.hasChecksums) verifyChecksum(superblock, number, raw, offset);
  if (kind === undefined) throw bad(number, offset, 'a file type', `i_mode 0o${mode.toString(8)}`);
  const inode = new Inode(number, raw, kind, superblock);
  const { extraSize } = inode;
  if (extraSize % 4 !== 0 || INODE_BASE_BYTES + extraSize > Math.max(raw.byteLength, 128)) {
    throw bad(number, offset, `at most ${raw.byteLength - 128}`, `i_extra_isize ${extraSize}`);
  }
  if (inode.links === 0) throw bad(number, offset, 'a file in use', 'i_links_count 0');
  if (!Number.isSafeInteger(inode.size)) throw bad(number, offset, 'a size', `${inode.size} bytes`);
  return inode;
}

const scratch = new Uint8Array(8 + 64 * 1024);
const scratchView = new DataView(scratch.buffer);

/** In one piece, since a listing does it for every file: number, generation, record. */
function verifyChecksum(
  superblock: Superblock,
  number: number,
  raw: Uint8Array,
  offset: number,
): void {
  const length = raw.byteLength;
  scratch.set(raw, 8);
  scratchView.setUint32(0, number, true);
  scratchView.setUint32(4, scratchView.getUint32(8 + INODE.i_generation, true), true);
  const low = scratchView.getUint16(8 + INODE.i_checksum_lo, true);
  scratchView.setUint16(8 + INODE.i_checksum_lo, 0);
  let found = low;
  const isWide =
    length > INODE_BASE_BYTES && scratchView.getUint16(8 + INODE.i_extra_isize, true) >= 4;
  if (isWide) {
    found += scratchView.getUint16(8 + INODE.i_checksum_hi, true) * 0x1_0000;
    scratchView.setUint16(8 + INODE.i_checksum_hi, 0);
  }
  const sum = continueCrc32c(superblock.checksumSeed, scratch.subarray(0, 8 + length));
  const expected = isWide ? sum : sum & 0xffff;
  if (expected !== found) throw bad(number, offset, `i_checksum ${expected}`, found);
}

function bad(
  number: number,
  offset: number,
  expected: string,
  found: string | number,
): RestoreError {
  return new RestoreError('CORRUPT', 'an inode is damaged', {
    where: { structure: `inode ${number}`, offset, expected, found },
  });
}
