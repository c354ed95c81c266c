/**
 * The fixed structures of VMDK, little-endian.
 *
 * @see "Virtual Disk Format 5.0", VMware, 2011 ("Hosted Sparse Extents", "ESX Server Sparse
 *   Extents", "Stream-Optimized Compressed Sparse Extents")
 */
import { layout } from '../../../core/index.ts';

const { u16le, u32le, u64le, u8 } = layout;

/** "KDMV" as it stands in the file. */
export const SPARSE_MAGIC = 0x564d444b;
/** "COWD" */
export const COWD_MAGIC = 0x44574f43;

export const SparseHeader = {
  magicNumber: u32le(0),
  version: u32le(4),
  flags: u32le(8),
  capacity: u64le(12),
  grainSize: u64le(20),
  descriptorOffset: u64le(28),
  descriptorSize: u64le(36),
  numGTEsPerGT: u32le(44),
  gdOffset: u64le(56),
  overHead: u64le(64),
  uncleanShutdown: u8(72),
  newlines: u32le(73),
  compressAlgorithm: u16le(77),
} as const;

/** `gdOffset` of a header that was written before the grain directory's place was known. */
export const GD_AT_END_HIGH_WORD = layout.u32le(60);
/** "\n \r\n": whoever turned the file into text and back has changed these. */
export const NEWLINES = 0x0a0d200a;

export const FLAGS = {
  newlines: 1 << 0,
  zeroedGrains: 1 << 2,
  compressed: 1 << 16,
  markers: 1 << 17,
} as const;

export const COMPRESSION_DEFLATE = 1;

/** Stream-optimized files: `GrainMarker`, and `Marker` with its type. */
export const GrainMarker = { lba: layout.bits64le(0), size: u32le(8) } as const;
export const GRAIN_MARKER_BYTES = 12;
export const Marker = { numSectors: u64le(0), size: u32le(8), type: u32le(12) } as const;
export const MARKER_FOOTER = 3;
export const MARKER_END_OF_STREAM = 0;

/** "ESX Server Sparse Extents": `COWDisk_Header`. */
export const CowdHeader = {
  magicNumber: u32le(0),
  version: u32le(4),
  numSectors: u32le(12),
  grainSize: u32le(16),
  gdOffset: u32le(20),
  numGDEntries: u32le(24),
} as const;
export const COWD_GT_ENTRIES = 4096;
