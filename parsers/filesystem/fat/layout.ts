/**
 * FAT's structures, with the names of Microsoft's "FAT: General Overview of On-Disk Format" 1.03.
 * All integers are little-endian.
 */
import { layout } from '../../../core/index.ts';

const { bytes, u16le, u32le, u8 } = layout;

/** "Boot Sector and BPB": sector 0, for every kind of FAT. */
export const Bpb = {
  jmpBoot: u8(0),
  bytsPerSec: u16le(11),
  secPerClus: u8(13),
  rsvdSecCnt: u16le(14),
  numFATs: u8(16),
  rootEntCnt: u16le(17),
  totSec16: u16le(19),
  media: u8(21),
  fatSz16: u16le(22),
  totSec32: u32le(32),
  /** 0xAA55; some media have none. */
  signature: u16le(510),
} as const;

/** The rest of the sector on FAT12 and FAT16. */
export const Bpb16 = { reserved1: u8(37), bootSig: u8(38), volID: u32le(39) } as const;

/** The rest of the sector on FAT32. */
export const Bpb32 = {
  fatSz32: u32le(36),
  extFlags: u16le(40),
  fsVer: u16le(42),
  rootClus: u32le(44),
  fsInfo: u16le(48),
  bkBootSec: u16le(50),
  reserved1: u8(65),
  bootSig: u8(66),
  volID: u32le(67),
} as const;

export const BOOT_SIGNATURE = 0xaa55;
/** BS_BootSig: the serial number is there; 0x28 says that the label behind it is not. */
export const EXTENDED_BOOT_SIGNATURES: readonly number[] = [0x28, 0x29];
/** BS_Reserved1 bit 0: in use, as Windows and Linux keep it. */
export const BOOT_DIRTY = 0x01;
/** BPB_ExtFlags: bit 7 set, one FAT only is kept, the one of bits 0 to 3. */
export const EXT_FLAGS_ONE_FAT = 0x80;
export const EXT_FLAGS_ACTIVE_FAT = 0x0f;

/** "FAT32 FSInfo Sector Structure". */
export const FsInfo = {
  leadSig: u32le(0),
  strucSig: u32le(484),
  freeCount: u32le(488),
} as const;

export const FSI_LEAD_SIG = 0x41615252;
export const FSI_STRUC_SIG = 0x61417272;

/** "FAT 32 Byte Directory Entry Structure". */
export const DirEntry = {
  name: bytes(0, 11),
  attr: u8(11),
  /** Lower-case flags of Windows NT: bit 3 the name, bit 4 the extension. */
  ntRes: u8(12),
  crtTimeTenth: u8(13),
  crtTime: u16le(14),
  crtDate: u16le(16),
  lstAccDate: u16le(18),
  fstClusHI: u16le(20),
  wrtTime: u16le(22),
  wrtDate: u16le(24),
  fstClusLO: u16le(26),
  fileSize: u32le(28),
} as const;

export const ENTRY_BYTES = 32;

export const ATTR = {
  volumeId: 0x08,
  directory: 0x10,
  /** Of what is stored, these are Windows' FILE_ATTRIBUTE bits. */
  dosMask: 0x37,
  longName: 0x0f,
  longNameMask: 0x3f,
} as const;

/** First byte of a short name. */
export const NAME_END = 0x00;
export const NAME_DELETED = 0xe5;
/** Stands for 0xE5, which is a letter in some code pages. */
export const NAME_E5 = 0x05;
