import { layout } from '../../../core/index.ts';

const { u8, u16le, u32le, u64le } = layout;

/**
 * On-disk structures of NTFS. Microsoft has not published them; names and offsets are those of
 * ntfs-3g's `layout.h` and of the Linux kernel's `fs/ntfs3/ntfs.h`, which agree.
 */

/** `NTFS_BOOT_SECTOR`: the first sector of the volume, and behind its last cluster again. */
export const BootSector = {
  sectorBytes: u16le(0x0b),
  sectorsPerCluster: u8(0x0d),
  totalSectors: u64le(0x28),
  mftCluster: u64le(0x30),
  mirrorCluster: u64le(0x38),
  clustersPerRecord: u8(0x40),
  clustersPerIndexBlock: u8(0x44),
  serialLow: u32le(0x48),
  serialHigh: u32le(0x4c),
} as const;

/** `MFT_RECORD`. */
export const Record = {
  magic: u32le(0x00),
  fixupsAt: u16le(0x04),
  fixupCount: u16le(0x06),
  sequence: u16le(0x10),
  links: u16le(0x12),
  attributesAt: u16le(0x14),
  flags: u16le(0x16),
  bytesInUse: u32le(0x18),
  baseLow: u32le(0x20),
  baseHigh: u16le(0x24),
  baseSequence: u16le(0x26),
} as const;
export const RECORD_IN_USE = 0x0001;
export const RECORD_IS_DIRECTORY = 0x0002;

export const MAGIC = { FILE: 0x454c_4946, BAAD: 0x4441_4142, INDX: 0x5844_4e49 } as const;

/** `ATTR_RECORD`; the second half for non-resident attributes. */
export const AttributeHeader = {
  type: u32le(0x00),
  length: u32le(0x04),
  nonResident: u8(0x08),
  nameLength: u8(0x09),
  nameAt: u16le(0x0a),
  flags: u16le(0x0c),
  instance: u16le(0x0e),
  valueLength: u32le(0x10),
  valueAt: u16le(0x14),
  lowestCluster: u64le(0x10),
  highestClusterLow: u32le(0x18),
  highestClusterHigh: u32le(0x1c),
  runsAt: u16le(0x20),
  compressionUnit: u8(0x22),
  allocatedBytes: u64le(0x28),
  dataBytes: u64le(0x30),
  initializedBytes: u64le(0x38),
  compressedBytes: u64le(0x40),
} as const;

export const TYPE = {
  STANDARD_INFORMATION: 0x10,
  ATTRIBUTE_LIST: 0x20,
  FILE_NAME: 0x30,
  SECURITY_DESCRIPTOR: 0x50,
  VOLUME_NAME: 0x60,
  VOLUME_INFORMATION: 0x70,
  DATA: 0x80,
  INDEX_ROOT: 0x90,
  INDEX_ALLOCATION: 0xa0,
  REPARSE_POINT: 0xc0,
  EA: 0xe0,
  END: 0xffff_ffff,
} as const;

export const ATTRIBUTE_COMPRESSED = 0x00ff;
export const ATTRIBUTE_ENCRYPTED = 0x4000;
export const ATTRIBUTE_SPARSE = 0x8000;

/** `STANDARD_INFORMATION`; the identifier of the security descriptor since NTFS 3.0 only. */
export const Standard = {
  fileAttributes: u32le(0x20),
  flags: u32le(0x28),
  securityId: u32le(0x34),
} as const;
export const STANDARD_BYTES_MIN = 0x30;
export const STANDARD_BYTES_WITH_SECURITY = 0x48;
/** Windows 10 keeps it where the version number of a file was; known from dfir_ntfs. */
export const STANDARD_CASE_SENSITIVE = 0x1;
export const TIMES = { CREATED: 0x00, MODIFIED: 0x08, CHANGED: 0x10, ACCESSED: 0x18 } as const;

/** `FILE_NAME_ATTR`, in file records and, as the key, in the entries of directories. */
export const FileName = {
  parentLow: u32le(0x00),
  parentHigh: u16le(0x04),
  parentSequence: u16le(0x06),
  fileAttributes: u32le(0x38),
  nameLength: u8(0x40),
  namespace: u8(0x41),
} as const;
export const FILE_NAME_AT = 0x42;

export const NAMESPACE = { POSIX: 0, WINDOWS: 1, DOS: 2, WINDOWS_AND_DOS: 3 } as const;

export const DOS_ATTRIBUTE = {
  DIRECTORY: 0x10,
  NORMAL: 0x80,
  REPARSE_POINT: 0x400,
  /** In `$FILE_NAME` alone: the file is a directory. */
  HAS_NAME_INDEX: 0x1000_0000,
} as const;

/** `ATTR_LIST_ENTRY`. */
export const ListEntry = {
  type: u32le(0x00),
  length: u16le(0x04),
  nameLength: u8(0x06),
  nameAt: u8(0x07),
  lowestCluster: u64le(0x08),
  recordLow: u32le(0x10),
  recordHigh: u16le(0x14),
  sequence: u16le(0x16),
  instance: u16le(0x18),
} as const;
export const LIST_ENTRY_BYTES = 0x1a;

/** `INDEX_ROOT` before its `INDEX_HEADER`. */
export const IndexRoot = { type: u32le(0), collation: u32le(4), blockBytes: u32le(8) } as const;
export const INDEX_ROOT_HEADER_AT = 16;

/** `INDEX_BLOCK` before its `INDEX_HEADER`. */
export const IndexBlock = { magic: u32le(0), cluster: u64le(0x10) } as const;
export const INDEX_BLOCK_HEADER_AT = 24;

/** `INDEX_HEADER`; offsets in it count from its own start. */
export const IndexHeader = { entriesAt: u32le(0), usedBytes: u32le(4) } as const;

/** `INDEX_ENTRY`; the block below is in its last eight bytes. */
export const IndexEntry = {
  recordLow: u32le(0),
  recordHigh: u16le(4),
  sequence: u16le(6),
  length: u16le(8),
  keyLength: u16le(10),
  flags: u16le(12),
} as const;
export const INDEX_ENTRY_KEY_AT = 16;
export const INDEX_ENTRY_HAS_CHILD = 0x1;
export const INDEX_ENTRY_IS_LAST = 0x2;

/** `VOLUME_INFORMATION`. */
export const VolumeInformation = { major: u8(8), minor: u8(9), flags: u16le(10) } as const;
export const VOLUME_IS_DIRTY = 0x0001;

/** Records with a part of their own. */
export const RECORD_NUMBER = {
  MFT: 0,
  MFT_MIRROR: 1,
  LOG_FILE: 2,
  VOLUME: 3,
  ROOT: 5,
  BITMAP: 6,
  SECURE: 9,
  UPCASE: 10,
  FIRST_USER: 16,
} as const;
