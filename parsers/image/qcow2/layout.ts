/**
 * The fixed structures of qcow2, versions 2 and 3, big-endian.
 *
 * @see https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.rst ("Header")
 */
import { layout } from '../../../core/index.ts';

const { bits64be, u32be, u64be, u8 } = layout;

/** "QFI\xfb" */
export const MAGIC = 0x514649fb;

export const Header = {
  magic: u32be(0),
  version: u32be(4),
  backing_file_offset: u64be(8),
  backing_file_size: u32be(16),
  cluster_bits: u32be(20),
  size: u64be(24),
  crypt_method: u32be(32),
  l1_size: u32be(36),
  l1_table_offset: u64be(40),
  nb_snapshots: u32be(60),
  incompatible_features: bits64be(72),
  compatible_features: bits64be(80),
  autoclear_features: bits64be(88),
  refcount_order: u32be(96),
  header_length: u32be(100),
  compression_type: u8(104),
} as const;

export const HEADER_BYTES_V2 = 72;
export const HEADER_BYTES_V3 = 104;

/** "Header extensions" */
export const Extension = { type: u32be(0), length: u32be(4) } as const;
export const EXTENSION_HEADER_BYTES = 8;

export const EXTENSIONS = {
  end: 0,
  backingFormat: 0xe2792aca,
  featureNames: 0x6803f857,
  dataFile: 0x44415441,
} as const;

export const INCOMPATIBLE = {
  dirty: 1n << 0n,
  corrupt: 1n << 1n,
  externalDataFile: 1n << 2n,
  compressionType: 1n << 3n,
  extendedL2: 1n << 4n,
} as const;

/** "Feature name table": 48 bytes an entry. */
export const FeatureName = { type: u8(0), bit: u8(1), name: layout.text(2, 46) } as const;
export const FEATURE_NAME_BYTES = 48;
export const FEATURE_TYPE_INCOMPATIBLE = 0;
