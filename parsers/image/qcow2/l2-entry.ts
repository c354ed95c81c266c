import type { RestoreError } from '../../../core/index.ts';
import { corrupt } from '../checks.ts';
import type { ImageFile } from '../image.ts';
import type { PackedCluster } from '../unpack.ts';
import type { Qcow2Header } from './header.ts';

/**
 * Entries are taken as two 32-bit halves: a cluster descriptor is read for every 64 KiB of a disk,
 * and BigInt would cost three times as much.
 */
export const L1_RESERVED_HIGH = 0x7f000000;
const RESERVED_HIGH = 0x3f000000;
const COMPRESSED_HIGH = 0x40000000;
const COPIED_HIGH = 0x80000000;
const OFFSET_HIGH = 0x00ffffff;
const ZERO_LOW = 0x1;
const SUBCLUSTER_COUNT = 32;

/** A part of one cluster that comes from one place. */
export type Piece =
  | { readonly kind: 'data'; readonly at: number; readonly length: number }
  | { readonly kind: 'zero' | 'parent'; readonly length: number }
  | {
      readonly kind: 'packed';
      readonly cluster: PackedCluster;
      readonly skip: number;
      readonly length: number;
    };

/** Which entry is being read: for checks and messages. */
export interface Slot {
  readonly file: ImageFile;
  readonly header: Qcow2Header;
  /** Byte offset of the entry in the file. */
  readonly at: number;
  /** Offset on the disk of the cluster that it describes. */
  readonly clusterStart: number;
}

export interface Entry {
  readonly packed: PackedCluster | undefined;
  /** Host offset of the cluster; `undefined` when it has none. */
  readonly hostAt: number | undefined;
  /** One bit a subcluster: allocated here, reads as zeros. */
  readonly allocated: number;
  readonly zeros: number;
}

/** Bits 9 to 55 of an entry. */
export function offsetOf(high: number, low: number): number {
  return (high & OFFSET_HIGH) * 2 ** 32 + (low & 0xfffffe00 ? (low & 0xfffffe00) >>> 0 : 0);
}

/** @see qcow2.rst, "L2 table entry", "Extended L2 Entries" */
export function entryOf(slot: Slot, view: DataView, at: number): Entry {
  const high = view.getUint32(at);
  const low = view.getUint32(at + 4);
  if ((high & COMPRESSED_HIGH) !== 0) return packedEntry(slot, high, low);
  const { extendedL2, version, externalData, clusterBytes } = slot.header;
  const zeroFlag = (low & ZERO_LOW) !== 0;
  const offset = offsetOf(high, low);
  const zeroFlagAllowed = version >= 3 && !extendedL2;
  if ((high & RESERVED_HIGH) !== 0 || (low & 0x1fe) !== 0 || (zeroFlag && !zeroFlagAllowed)) {
    throw damaged(slot, high, low, 'reserved bits clear');
  }
  if (offset % clusterBytes !== 0) throw damaged(slot, high, low, 'the offset of a cluster');
  const copied = (high & COPIED_HIGH) !== 0;
  const present = offset > 0 || (copied && externalData);
  if (copied && !present && !zeroFlag) throw damaged(slot, high, low, 'an offset other than 0');
  if (externalData && present && offset !== slot.clusterStart) {
    throw damaged(slot, high, low, `the disk offset ${slot.clusterStart}, as data files ask`);
  }
  const hostAt = present ? offset : undefined;
  if (extendedL2) return extendedEntry(slot, view, at, hostAt);
  if (zeroFlag) return { packed: undefined, hostAt, allocated: 0, zeros: 0xffffffff };
  return { packed: undefined, hostAt, allocated: present ? 0xffffffff : 0, zeros: 0 };
}

/** The part of the cluster from `within` on, up to where its source changes. */
export function subclusterPiece(slot: Slot, entry: Entry, within: number): Piece {
  const { clusterBytes } = slot.header;
  if (entry.packed !== undefined) {
    return { kind: 'packed', cluster: entry.packed, skip: within, length: clusterBytes - within };
  }
  const subclusterBytes = clusterBytes / SUBCLUSTER_COUNT;
  const first = Math.floor(within / subclusterBytes);
  const kind = kindOf(entry, first);
  let end = first + 1;
  while (end < SUBCLUSTER_COUNT && kindOf(entry, end) === kind) end += 1;
  const length = end * subclusterBytes - within;
  if (kind !== 'data') return { kind, length };
  return { kind, at: (entry.hostAt as number) + within, length };
}

function kindOf({ allocated, zeros }: Entry, subcluster: number): 'data' | 'zero' | 'parent' {
  if ((zeros >>> subcluster) & 1) return 'zero';
  return (allocated >>> subcluster) & 1 ? 'data' : 'parent';
}

function extendedEntry(slot: Slot, view: DataView, at: number, hostAt: number | undefined): Entry {
  const zeros = view.getUint32(at + 8);
  const allocated = view.getUint32(at + 12);
  if ((zeros & allocated) !== 0 || (allocated !== 0 && hostAt === undefined)) {
    throw damaged(slot, zeros, allocated, 'a subcluster bitmap that fits its entry');
  }
  return { packed: undefined, hostAt, allocated, zeros };
}

/** @see qcow2.rst, "Compressed Clusters Descriptor" */
function packedEntry(slot: Slot, high: number, low: number): Entry {
  const { clusterBits, externalData } = slot.header;
  if (externalData) throw damaged(slot, high, low, 'no compressed cluster beside a data file');
  const sizeShift = 62 - (clusterBits - 8) - 32;
  const offsetHigh = high & (2 ** sizeShift - 1);
  if ((high & COPIED_HIGH) !== 0 || offsetHigh > OFFSET_HIGH) {
    throw damaged(slot, high, low, 'a compressed cluster descriptor');
  }
  const at = offsetHigh * 2 ** 32 + low;
  const sectorCount = ((high & 0x3fffffff) >>> sizeShift) + 1;
  if (at >= slot.file.source.size || at === 0) {
    throw damaged(slot, high, low, `an offset inside the file's ${slot.file.source.size} bytes`);
  }
  // The last sector of the last compressed cluster need not be whole.
  const packedBytes = Math.min(sectorCount * 512 - (at % 512), slot.file.source.size - at);
  const packed = { at, packedBytes, diskOffset: slot.clusterStart };
  return { packed, hostAt: undefined, allocated: 0, zeros: 0 };
}

function damaged(slot: Slot, high: number, low: number, expected: string): RestoreError {
  return corrupt(slot.file, 'an L2 entry is damaged', {
    structure: 'L2 entry',
    offset: slot.at,
    expected,
    found: `0x${((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString(16)}`,
  });
}
