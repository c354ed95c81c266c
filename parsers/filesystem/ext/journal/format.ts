import { layout, RestoreError } from '../../../../core/index.ts';
import { continueCrc32c } from '../checksum.ts';

/**
 * jbd2 on disk: kernel documentation, filesystems/ext4, "Journal (jbd2)". All of it is big-endian.
 */
export const JOURNAL_MAGIC = 0xc03b3998;

export const BLOCK_TYPE = {
  descriptor: 1,
  commit: 2,
  superblockV1: 3,
  superblockV2: 4,
  revoke: 5,
} as const;

/** "Block Header". */
export const BlockHeader = {
  h_magic: layout.u32be(0x0),
  h_blocktype: layout.u32be(0x4),
  h_sequence: layout.u32be(0x8),
} as const;
export const BLOCK_HEADER_BYTES = 12;

/** "Super Block". */
const JournalSuper = {
  s_blocksize: layout.u32be(0xc),
  s_maxlen: layout.u32be(0x10),
  s_first: layout.u32be(0x14),
  s_sequence: layout.u32be(0x18),
  s_start: layout.u32be(0x1c),
  s_errno: layout.u32be(0x20),
  s_feature_compat: layout.u32be(0x24),
  s_feature_incompat: layout.u32be(0x28),
  s_feature_ro_compat: layout.u32be(0x2c),
  s_uuid: layout.bytes(0x30, 16),
  s_nr_users: layout.u32be(0x40),
  s_checksum_type: layout.u8(0x50),
  s_num_fc_blks: layout.u32be(0x54),
  s_checksum: layout.u32be(0xfc),
} as const;
const SUPER_BYTES = 1024;
const CHECKSUM_AT = 0xfc;

const COMPAT_CHECKSUM = 0x1;
const INCOMPAT = {
  revoke: 0x1,
  '64bit': 0x2,
  asyncCommit: 0x4,
  checksumV2: 0x8,
  checksumV3: 0x10,
  fastCommit: 0x20,
} as const;
const INCOMPAT_KNOWN = 0x3f;
const CHECKSUM_CRC32C = 4;
const FAST_BLOCKS_DEFAULT = 256;
/** A journal is never given fewer for its full commits. */
const LOG_BLOCKS_MIN = 1024;

/** What the journal's superblock says, checked. Block numbers count from the journal's beginning. */
export interface JournalFormat {
  readonly blockSize: number;
  /** Blocks of the journal, its superblock among them. */
  readonly length: number;
  /** The log goes round from `first` up to, but not including, `last`. */
  readonly first: number;
  readonly last: number;
  /** Where the log begins; 0 when it is empty. */
  readonly start: number;
  /** The transaction that the log begins with. */
  readonly sequence: number;
  /** Not 0 when the file system met an error while it was mounted. */
  readonly errorNumber: number;
  readonly wide: boolean;
  readonly asyncCommit: boolean;
  /** 0: none, 1: in the commit block over the transaction, 2 and 3: in every block and tag. */
  readonly checksums: 0 | 1 | 2 | 3;
  readonly checksumSeed: number;
  readonly fast: { readonly first: number; readonly end: number } | undefined;
}

/**
 * Reads the journal's superblock.
 *
 * @param block its first block.
 * @param available blocks that the journal's file has.
 * @throws RestoreError `CORRUPT`, or `UNSUPPORTED` for a feature that is not known.
 */
export function parseJournalSuper(
  block: Uint8Array,
  blockSize: number,
  available: number,
): JournalFormat {
  const view = layout.viewOf(block);
  expectField('h_magic', JOURNAL_MAGIC, BlockHeader.h_magic(view));
  const type = BlockHeader.h_blocktype(view);
  if (type !== BLOCK_TYPE.superblockV1 && type !== BLOCK_TYPE.superblockV2) {
    throw bad('h_blocktype', 'a superblock (3 or 4)', type);
  }
  expectField('s_blocksize', blockSize, JournalSuper.s_blocksize(view));
  const features = type === BLOCK_TYPE.superblockV1 ? NO_FEATURES : featuresOf(block, view);
  const length = JournalSuper.s_maxlen(view);
  if (length < 2 || length > available) throw bad('s_maxlen', `2 to ${available}`, length);
  const first = JournalSuper.s_first(view);
  const { last, fast } = areasOf(view, length, features.fastCommit);
  // The kernel refuses a shorter log (`journal_reset`); no tool makes one.
  const most = Math.min(last - 1, length + 1 - LOG_BLOCKS_MIN);
  if (first === 0 || first > most) throw bad('s_first', `1 to ${most}`, first);
  const start = JournalSuper.s_start(view);
  if (start >= length) throw bad('s_start', `below ${length}`, start);
  return {
    blockSize,
    length,
    first,
    last,
    start,
    sequence: JournalSuper.s_sequence(view),
    errorNumber: JournalSuper.s_errno(view),
    wide: features.wide,
    asyncCommit: features.asyncCommit,
    checksums: features.checksums,
    checksumSeed: continueCrc32c(0xffff_ffff, JournalSuper.s_uuid(view)),
    fast,
  };
}

/** Bytes of one tag of a descriptor block; "journal_block_tag_s" and "journal_block_tag3_s". */
export function tagBytesOf(format: JournalFormat): number {
  if (format.checksums === 3) return 16;
  return 8 + (format.wide ? 4 : 0) + (format.checksums === 2 ? 2 : 0);
}

/** True when `left` comes after `right` in the circle of 32-bit transaction numbers. */
export function isLater(left: number, right: number): boolean {
  return ((left - right) | 0) > 0;
}

type Features = Pick<JournalFormat, 'wide' | 'asyncCommit' | 'checksums'> & {
  readonly fastCommit: boolean;
};

const NO_FEATURES: Features = { wide: false, asyncCommit: false, checksums: 0, fastCommit: false };

function featuresOf(block: Uint8Array, view: DataView): Features {
  const incompat = JournalSuper.s_feature_incompat(view);
  const readOnly = JournalSuper.s_feature_ro_compat(view);
  if ((incompat & ~INCOMPAT_KNOWN) !== 0) throw unknown('s_feature_incompat', incompat);
  if (readOnly !== 0) throw unknown('s_feature_ro_compat', readOnly);
  const checksums = checksumsOf(view, incompat);
  if (checksums >= 2) verifySuper(block, view);
  return {
    wide: (incompat & INCOMPAT['64bit']) !== 0,
    asyncCommit: (incompat & INCOMPAT.asyncCommit) !== 0,
    fastCommit: (incompat & INCOMPAT.fastCommit) !== 0,
    checksums,
  };
}

/** At most one kind may be there, as the kernel's `journal_get_superblock` has it. */
function checksumsOf(view: DataView, incompat: number): 0 | 1 | 2 | 3 {
  const v1 = (JournalSuper.s_feature_compat(view) & COMPAT_CHECKSUM) !== 0;
  const v2 = (incompat & INCOMPAT.checksumV2) !== 0;
  const v3 = (incompat & INCOMPAT.checksumV3) !== 0;
  if (Number(v1) + Number(v2) + Number(v3) > 1) {
    throw bad('s_feature_incompat', 'one kind of checksum', `0x${incompat.toString(16)}`);
  }
  return v3 ? 3 : v2 ? 2 : v1 ? 1 : 0;
}

function verifySuper(block: Uint8Array, view: DataView): void {
  expectField('s_checksum_type', CHECKSUM_CRC32C, JournalSuper.s_checksum_type(view));
  const expected = sumWithout(0xffff_ffff, block.subarray(0, SUPER_BYTES), CHECKSUM_AT);
  expectField('s_checksum', expected, JournalSuper.s_checksum(view));
}

const NO_SUM = new Uint8Array(4);

/** The sum over `bytes`, the four at `at`, which hold the sum itself, taken as zeros. */
export function sumWithout(seed: number, bytes: Uint8Array, at: number): number {
  const head = continueCrc32c(seed, bytes.subarray(0, at));
  return continueCrc32c(continueCrc32c(head, NO_SUM), bytes.subarray(at + 4));
}

/** The fast commits have the journal's end; one block before it stays unused. */
function areasOf(
  view: DataView,
  length: number,
  fastCommit: boolean,
): Pick<JournalFormat, 'last' | 'fast'> {
  if (!fastCommit) return { last: length, fast: undefined };
  const count = JournalSuper.s_num_fc_blks(view) || FAST_BLOCKS_DEFAULT;
  if (length - count < LOG_BLOCKS_MIN) return { last: length, fast: undefined };
  return { last: length - count, fast: { first: length - count + 1, end: length } };
}

function expectField(structure: string, expected: number, found: number): void {
  if (expected !== found) throw bad(structure, expected, found);
}

function bad(structure: string, expected: string | number, found: string | number): RestoreError {
  return new RestoreError('CORRUPT', "the journal's superblock is damaged", {
    where: { structure, expected, found },
  });
}

function unknown(structure: string, found: number): RestoreError {
  return new RestoreError('UNSUPPORTED', 'the journal uses what is not read', {
    where: { structure, found: `0x${found.toString(16)}` },
  });
}
