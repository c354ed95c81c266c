import type { BlockSource, Finding, SectorSize, SparseSource } from '../../core/index.ts';

/** One disk of a machine. The source stays the caller's and must stay open while volumes are in use. */
export interface MachineDisk {
  readonly id: string;
  readonly source: BlockSource;
}

/** What a volume may hold. */
const CONTENT_KINDS = [
  'file system',
  /** Of LVM2. */
  'physical volume',
  'swap',
  /** Of Linux MD or of a controller's firmware. */
  'raid member',
  'encrypted',
  /** Of something else that spreads volumes over disks: ZFS, Storage Spaces, LDM, VMFS, bcache, … */
  'pool member',
  /** A partition table inside a partition or logical volume. */
  'partition table',
  /** Set aside for what is no file system: boot loaders, a journal kept apart, Windows' own use. */
  'reserved',
  /** Zeros, where anything known would have begun. */
  'empty',
  'unknown',
  /** Where it would say what it is, it cannot be read. */
  'unreadable',
] as const;

export type ContentKind = (typeof CONTENT_KINDS)[number];

export interface VolumeContent {
  readonly kind: ContentKind;
  /** `ext4`, `NTFS`, `LUKS`, `MD RAID`, …; empty when nothing is known. */
  readonly type: string;
  readonly label: string;
  /** As `blkid` prints it. */
  readonly uuid: string;
  /** True when `openFileSystem` reads it. */
  readonly isReadable: boolean;
}

/** A partition, a bare disk or a logical volume. */
export interface Volume {
  /** `disk0/p1` for the first partition, also where a disk is one bare volume; `vg/lv`. */
  readonly id: string;
  readonly kind: 'partition' | 'whole disk' | 'logical volume';
  /** Ids of the disks on which it lies. */
  readonly disks: readonly string[];
  /** Partition number as Linux has it; 1 for a whole disk; none for a logical volume. */
  readonly number?: number;
  /** GPT partition name, or `vg/lv`; empty for most. */
  readonly name: string;
  /** PARTUUID, or the logical volume's UUID; empty where there is none. */
  readonly uuid: string;
  /** Of a partition: number or GUID, and its name. */
  readonly partitionType?: { readonly id: string; readonly name: string };
  /** Bytes from its disk's start; none for a logical volume. */
  readonly offset?: number;
  readonly length: number;
  readonly content: VolumeContent;
  readonly findings: readonly Finding[];
  /**
   * Its bytes. Closing them leaves the disks open.
   *
   * @throws RestoreError `CORRUPT` when a part of it is on no disk of the machine, `UNSUPPORTED` for
   *   kinds of logical volumes that are not read.
   */
  open(): SparseSource;
}

export interface DiskVolumes {
  readonly id: string;
  readonly size: number;
  readonly sectorSize: SectorSize;
  /** `none` for a bare volume and for an empty or unknown disk. */
  readonly table: 'gpt' | 'mbr' | 'none';
  /** The GPT's disk GUID, or the boot record's signature as eight digits; empty without. */
  readonly tableId: string;
  readonly volumes: readonly Volume[];
  readonly findings: readonly Finding[];
}

export interface PhysicalVolume {
  readonly uuid: string;
  /** Its name inside the group: `pv0`. */
  readonly name: string;
  /** Ids of the volumes that carry it: none when it is missing, several when it cannot be told which. */
  readonly volumes: readonly string[];
}

export interface VolumeGroup {
  readonly name: string;
  readonly uuid: string;
  /** Which state of its metadata this is. */
  readonly sequence: number;
  readonly extentBytes: number;
  readonly physicalVolumes: readonly PhysicalVolume[];
  /** Those that people see; what LVM hides as parts of others is not among them. */
  readonly volumes: readonly Volume[];
  readonly findings: readonly Finding[];
}

/** All volumes of one machine at one time. */
export interface MachineVolumes {
  readonly disks: readonly DiskVolumes[];
  readonly groups: readonly VolumeGroup[];
  /** Every volume once: those of the disks, then the logical ones. */
  readonly volumes: readonly Volume[];
}
