/**
 * exFAT's structures, with the names of Microsoft's "exFAT file system specification" 1.00. All
 * integers are little-endian.
 */
import { layout } from '../../../core/index.ts';

const { bytes, text, u16le, u32le, u64le, u8 } = layout;

/** Section 3.1, "Main and Backup Boot Sector". */
export const BootSector = {
  jumpBoot: bytes(0, 3),
  fileSystemName: text(3, 8, 'latin1'),
  mustBeZero: bytes(11, 53),
  volumeLength: u64le(72),
  fatOffset: u32le(80),
  fatLength: u32le(84),
  clusterHeapOffset: u32le(88),
  clusterCount: u32le(92),
  firstClusterOfRootDirectory: u32le(96),
  volumeSerialNumber: u32le(100),
  fileSystemRevision: u16le(104),
  volumeFlags: u16le(106),
  bytesPerSectorShift: u8(108),
  sectorsPerClusterShift: u8(109),
  numberOfFats: u8(110),
  bootSignature: u16le(510),
} as const;

export const FILE_SYSTEM_NAME = 'EXFAT';
/** Sectors of a boot region, the last of which holds the checksum of the others. */
export const BOOT_REGION_SECTORS = 12;
/** Bytes of the boot sector that change in use: VolumeFlags and PercentInUse. */
export const UNCHECKED_BYTES: readonly number[] = [106, 107, 112];

/** Section 3.1.13, "VolumeFlags". */
export const VOLUME_FLAGS = { activeFat: 0x01, volumeDirty: 0x02, mediaFailure: 0x04 } as const;

export const ENTRY_BYTES = 32;

/** Section 6.2.1, "EntryType". */
export const ENTRY_TYPE = {
  end: 0x00,
  inUse: 0x80,
  isSecondary: 0x40,
  isBenign: 0x20,
  allocationBitmap: 0x81,
  upcaseTable: 0x82,
  volumeLabel: 0x83,
  file: 0x85,
  streamExtension: 0xc0,
  fileName: 0xc1,
} as const;

/** Sections 7.1 and 7.2: what the tables of the root directory have in common. */
export const TableEntry = {
  bitmapFlags: u8(1),
  tableChecksum: u32le(4),
  firstCluster: u32le(20),
  dataLength: u64le(24),
} as const;

/** Section 7.3, "Volume Label Directory Entry". */
export const LabelEntry = { characterCount: u8(1) } as const;
export const LABEL_UNITS_MAX = 11;
export const LABEL_AT = 2;

/** Section 7.4, "File Directory Entry". */
export const FileEntry = {
  entryType: u8(0),
  secondaryCount: u8(1),
  setChecksum: u16le(2),
  fileAttributes: u16le(4),
  createTimestamp: u32le(8),
  lastModifiedTimestamp: u32le(12),
  lastAccessedTimestamp: u32le(16),
  create10msIncrement: u8(20),
  lastModified10msIncrement: u8(21),
  createUtcOffset: u8(22),
  lastModifiedUtcOffset: u8(23),
  lastAccessedUtcOffset: u8(24),
} as const;

export const FILE_ATTRIBUTES = { directory: 0x10, mask: 0x37 } as const;

/** Section 7.6, "Stream Extension Directory Entry". */
export const StreamEntry = {
  generalSecondaryFlags: u8(1),
  nameLength: u8(3),
  nameHash: u16le(4),
  validDataLength: u64le(8),
  firstCluster: u32le(20),
  dataLength: u64le(24),
} as const;

export const STREAM_FLAGS = { noFatChain: 0x02 } as const;

/** Section 7.7, "File Name Directory Entry". */
export const NAME_AT = 2;
export const NAME_UNITS = 15;
