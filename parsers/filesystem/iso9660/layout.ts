/**
 * The structures of ISO 9660, with the names of ECMA-119 (4th edition), and those of Rock Ridge (IEEE
 * P1282) in the System Use Sharing Protocol (IEEE P1281). Byte positions count from 0 here and from 1
 * there.
 */
import { layout } from '../../../core/index.ts';

const { bytes, text, u16be, u16le, u32be, u32le, u8 } = layout;

export const SECTOR_BYTES = 2048;
/** ECMA-119 6.2.1: the system area comes first. */
export const FIRST_DESCRIPTOR_SECTOR = 16;

/** 8.1, 8.4 and 8.5: what the descriptors that are read have in common. */
export const VolumeDescriptor = {
  type: u8(0),
  identifier: text(1, 5, 'latin1'),
  version: u8(6),
  volumeIdentifier: bytes(40, 32),
  volumeSpaceSize: u32le(80),
  escapeSequences: bytes(88, 3),
  logicalBlockSize: u16le(128),
  logicalBlockSizeBig: u16be(130),
  creationTime: bytes(813, 17),
  modificationTime: bytes(830, 17),
} as const;

export const STANDARD_IDENTIFIER = 'CD001';
export const DESCRIPTOR = { primary: 1, supplementary: 2, terminator: 255 } as const;
/** The root's directory record inside a descriptor. */
export const ROOT_RECORD_AT = 156;

/** 9.1, "Format of a Directory Record". */
export const DirectoryRecord = {
  length: u8(0),
  extendedAttributeLength: u8(1),
  extent: u32le(2),
  extentBig: u32be(6),
  dataLength: u32le(10),
  dataLengthBig: u32be(14),
  recordingDate: bytes(18, 7),
  fileFlags: u8(25),
  fileUnitSize: u8(26),
  interleaveGapSize: u8(27),
  nameLength: u8(32),
} as const;

export const RECORD_NAME_AT = 33;
export const RECORD_LENGTH_MIN = 34;

export const FILE_FLAGS = { directory: 0x02, associated: 0x04, multiExtent: 0x80 } as const;

/** P1281 4: each entry has a signature, its length, a version. */
export const SYSTEM_USE_HEADER_BYTES = 4;

/** P1281 5.1, CE. */
export const Continuation = { block: u32le(4), offset: u32le(12), length: u32le(20) } as const;
/** P1281 5.3, SP. */
export const SharingProtocol = { check: u16be(4), skipped: u8(6) } as const;
export const SP_CHECK = 0xbeef;
/** P1282 4.1.1, PX. */
export const PosixAttributes = {
  mode: u32le(4),
  links: u32le(12),
  uid: u32le(20),
  gid: u32le(28),
} as const;
/** P1282 4.1.2, PN. */
export const PosixDevice = { high: u32le(4), low: u32le(12) } as const;
/** P1282 4.1.5, CL. */
export const ChildLink = { block: u32le(4) } as const;
/** The size of a zisofs file before it was compressed. */
export const Zisofs = { size: u32le(8) } as const;

/** P1282 4.1.3 and 4.1.4: flags of SL, of its components, and of NM. */
export const COMPONENT = { continues: 0x01, current: 0x02, parent: 0x04, root: 0x08 } as const;
/** P1282 4.1.6: which times a TF holds, in this order. */
export const TIME_FLAGS = {
  created: 0x01,
  modified: 0x02,
  accessed: 0x04,
  changed: 0x08,
  long: 0x80,
} as const;
