import type { Finding, SectorSize } from '../../core/index.ts';

/** Where a partition lies on its disk, in bytes, as the table says. */
export interface PartitionRange {
  /** As Linux counts: GPT and primary partitions by their slot from 1, logical ones from 5. */
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  /** False when a part of it lies beyond the disk's end, or it has no length. */
  readonly isInside: boolean;
}

export interface Partition extends PartitionRange {
  /** The type's number or GUID as written by tools (`0x83`, a lower-case GUID), and its name. */
  readonly type: { readonly id: string; readonly name: string };
  /** PARTUUID as `blkid` prints it. */
  readonly uuid: string;
  /** PARTLABEL; empty where the table has none. */
  readonly name: string;
}

export interface PartitionTable {
  readonly kind: 'gpt' | 'mbr';
  /** Disk GUID, or the boot record's signature as eight digits. */
  readonly id: string;
  /** The unit in which the table counts; not always the disk's own. */
  readonly sectorSize: SectorSize;
  readonly partitions: readonly Partition[];
  readonly findings: readonly Finding[];
  /**
   * True when all that speaks for the table is a backup at the disk's end: a file system that was made
   * on the whole disk afterwards leaves that behind.
   */
  readonly isFaint: boolean;
}
