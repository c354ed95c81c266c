/**
 * The fixed structures of VHD, big-endian.
 *
 * @see "Virtual Hard Disk Image Format Specification", version 1.0, Microsoft, 2006
 */
import { layout } from '../../../core/index.ts';

const { bytes, text, u16be, u32be, u64be, u8 } = layout;

export const FOOTER_BYTES = 512;
export const FOOTER_COOKIE = 'conectix';

/** "Hard Disk Footer Format" */
export const Footer = {
  cookie: text(0, 8, 'latin1'),
  fileFormatVersion: u32be(12),
  dataOffset: u64be(16),
  dataOffsetHighWord: u32be(16),
  creatorApplication: text(28, 4, 'latin1'),
  currentSize: u64be(48),
  cylinders: u16be(56),
  heads: u8(58),
  sectorsPerTrack: u8(59),
  diskType: u32be(60),
  checksum: u32be(64),
  uniqueId: bytes(68, 16),
} as const;
export const FOOTER_CHECKSUM_AT = 64;

export const DISK_TYPES: Readonly<Record<number, 'fixed' | 'dynamic' | 'differencing'>> = {
  2: 'fixed',
  3: 'dynamic',
  4: 'differencing',
};

export const HEADER_BYTES = 1024;
export const HEADER_COOKIE = 'cxsparse';

/** "Dynamic Disk Header Format" */
export const Header = {
  cookie: text(0, 8, 'latin1'),
  tableOffset: u64be(16),
  headerVersion: u32be(24),
  maxTableEntries: u32be(28),
  blockSize: u32be(32),
  checksum: u32be(36),
  parentUniqueId: bytes(40, 16),
  parentUnicodeName: bytes(64, 512),
} as const;
export const HEADER_CHECKSUM_AT = 36;

export const LOCATORS_AT = 576;
export const LOCATOR_BYTES = 24;
export const LOCATOR_COUNT = 8;
export const Locator = {
  platformCode: text(0, 4, 'latin1'),
  platformDataLength: u32be(8),
  platformDataOffset: u64be(16),
} as const;

export const BLOCK_UNUSED = 0xffffffff;
