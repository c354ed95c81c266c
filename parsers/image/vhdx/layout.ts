/**
 * The fixed structures of VHDX, little-endian.
 *
 * @see [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File Format",
 *   https://learn.microsoft.com/openspecs/windows_protocols/ms-vhdx/
 */
import { layout } from '../../../core/index.ts';

const { u16le, u32le, u64le } = layout;

export const MIB = 1024 * 1024;
const KIB = 1024;

/** Section 2.2.1 */
export const FILE_SIGNATURE = 'vhdxfile';

/** Section 2.2.2 */
export const HEADERS_AT = [64 * KIB, 128 * KIB] as const;
export const HEADER_BYTES = 4096;
export const HEADER_SIGNATURE = 'head';
export const Header = {
  checksum: u32le(4),
  sequenceNumber: u64le(8),
  dataWriteGuid: guid(32),
  logGuid: guid(48),
  logVersion: u16le(64),
  version: u16le(66),
  logLength: u32le(68),
  logOffset: u64le(72),
} as const;

/** Section 2.2.3 */
export const REGION_TABLES_AT = [192 * KIB, 256 * KIB] as const;
export const REGION_TABLE_BYTES = 64 * KIB;
export const REGION_SIGNATURE = 'regi';
export const REGION_ENTRIES_AT = 16;
export const REGION_ENTRY_BYTES = 32;
export const ENTRY_COUNT_LIMIT = 2047;
export const RegionTable = { checksum: u32le(4), entryCount: u32le(8) } as const;
export const Region = {
  guid: guid(0),
  fileOffset: u64le(16),
  length: u32le(24),
  required: u32le(28),
} as const;
export const REGIONS = {
  bat: '2dc27766-f623-4200-9d64-115e9bfd4a08',
  metadata: '8b7ca206-4790-4b9a-b8fe-575f050f886e',
} as const;

/** Section 2.3.1 */
export const LOG_SECTOR_BYTES = 4096;
export const LOG_SIGNATURE = 'loge';
export const LOG_HEADER_BYTES = 64;
export const LOG_DESCRIPTOR_BYTES = 32;
export const LogEntry = {
  checksum: u32le(4),
  entryLength: u32le(8),
  tail: u32le(12),
  sequenceNumber: u64le(16),
  descriptorCount: u32le(24),
  logGuid: guid(32),
  flushedFileOffset: u64le(48),
  lastFileOffset: u64le(56),
} as const;
export const LOG_ZERO = 'zero';
export const LOG_DATA = 'desc';
export const LogDescriptor = {
  trailingBytes: layout.bytes(4, 4),
  leadingBytes: layout.bytes(8, 8),
  zeroLength: u64le(8),
  fileOffset: u64le(16),
  sequenceNumber: u64le(24),
} as const;
export const LOG_SECTOR_SIGNATURE = 'data';
export const LogSector = {
  sequenceHigh: u32le(4),
  data: layout.bytes(8, 4084),
  sequenceLow: u32le(4092),
} as const;

/** Section 2.5.1 */
export const BLOCK_STATES = [
  'not present',
  'undefined',
  'zero',
  'unmapped',
  'reserved',
  // "Unmapped" in version 0.95 of the specification, which qemu still writes after.
  'unmapped',
  'fully present',
  'partially present',
] as const;
export type BlockState = (typeof BLOCK_STATES)[number];
export const CHUNK_SECTORS = 2 ** 23;

/** Section 2.6.1 */
export const METADATA_SIGNATURE = 'metadata';
export const METADATA_TABLE_BYTES = 64 * KIB;
export const METADATA_ENTRY_BYTES = 32;
export const MetadataTable = { entryCount: u16le(10) } as const;
export const MetadataEntry = {
  itemId: guid(0),
  offset: u32le(16),
  length: u32le(20),
  flags: u32le(24),
} as const;
export const METADATA_REQUIRED = 4;

/** Section 2.6.2 */
export const ITEMS = {
  fileParameters: 'caa16737-fa36-4d43-b3b6-33f0aa44e76b',
  virtualDiskSize: '2fa54224-cd1b-4876-b211-5dbed83bf4b8',
  virtualDiskId: 'beca12ab-b2e6-4523-93ef-c309e000c746',
  logicalSectorSize: '8141bf1d-a96f-4709-ba47-f233a8faab5f',
  physicalSectorSize: 'cda348c7-445d-4471-9cc9-e9885251c556',
  parentLocator: 'a8d35f2d-b30b-454d-abf7-d3d84834ab0c',
} as const;
export const PARAMETER_FIXED = 1;
export const PARAMETER_HAS_PARENT = 2;

/** Section 2.6.2.6 */
export const LOCATOR_TYPE_VHDX = 'b04aefb7-d19e-4a81-b789-25b8e9445913';
export const LOCATOR_ENTRIES_AT = 20;
export const LOCATOR_ENTRY_BYTES = 12;
export const Locator = { type: guid(0), keyValueCount: u16le(18) } as const;
export const LocatorEntry = {
  keyOffset: u32le(0),
  valueOffset: u32le(4),
  keyLength: u16le(8),
  valueLength: u16le(10),
} as const;

export const NO_GUID = '00000000-0000-0000-0000-000000000000';

/** A GUID as it is written in text: the first three groups are little-endian numbers. */
function guid(offset: number): layout.Field<string> {
  const raw = layout.bytes(offset, 16);
  return (view, at = 0) => {
    const b = Buffer.from(raw(view, at));
    const groups = [
      b.readUInt32LE(0).toString(16).padStart(8, '0'),
      b.readUInt16LE(4).toString(16).padStart(4, '0'),
      b.readUInt16LE(6).toString(16).padStart(4, '0'),
      b.toString('hex', 8, 10),
      b.toString('hex', 10, 16),
    ];
    return groups.join('-');
  };
}

/** True when the structure at `at` starts with `signature`. */
export function hasSignature(view: DataView, at: number, signature: string): boolean {
  return layout.text(0, signature.length, 'latin1')(view, at) === signature;
}
