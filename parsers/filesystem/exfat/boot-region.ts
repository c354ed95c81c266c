import {
  isAllZero,
  layout,
  readBytes,
  RestoreError,
  type SparseSource,
} from '../../../core/index.ts';
import { bytesAt } from '../bytes-at.ts';
import { checksum32 } from './checksum.ts';
import {
  BOOT_REGION_SECTORS,
  BootSector,
  FILE_SYSTEM_NAME,
  UNCHECKED_BYTES,
  VOLUME_FLAGS,
} from './layout.ts';

/** Where everything on a volume lies; offsets in bytes from its start. */
export interface Geometry {
  readonly sectorBytes: number;
  readonly clusterBytes: number;
  /** Clusters are numbered from 2. */
  readonly clusterCount: number;
  /** Of the FAT that is in use. */
  readonly fatAt: number;
  /** Which of the two: its bitmap has the same number. */
  readonly activeFat: 0 | 1;
  readonly dataAt: number;
  readonly rootCluster: number;
  readonly totalBytes: number;
  readonly serialNumber: number;
  readonly isDirty: boolean;
  readonly hadMediaFailure: boolean;
}

export interface FoundBootSector {
  readonly sector: Uint8Array;
  readonly at: number;
  /** The region's checksum is right. */
  readonly isSound: boolean;
}

const SECTOR_BYTES = 512;
const SHIFT_MIN = 9;
const SHIFT_MAX = 12;
/** Clusters are 32 MiB at the most. */
const CLUSTER_SHIFT_MAX = 25;
const CLUSTERS_MAX = 0xffff_fff5;
const MAJOR_REVISION = 1;

/**
 * The main boot sector, or the backup when the main one is gone or fails its checksum and the backup
 * passes. A backup alone counts only where the main sector is zeroed or still looks like exFAT's: the
 * volume may have been formatted as something else since.
 */
export async function findBootSector(volume: SparseSource): Promise<FoundBootSector | undefined> {
  if (volume.size < SECTOR_BYTES) return undefined;
  const sector = await bytesAt(volume, 0, SECTOR_BYTES);
  const isMain = isBootSector(sector);
  if (isMain && (await passesChecksum(volume, sector, 0))) return { sector, at: 0, isSound: true };
  if (isMain || isAllZero(sector) || hasTrait(sector)) {
    const backup = await findBackup(volume);
    if (backup !== undefined) return backup;
  }
  return isMain ? { sector, at: 0, isSound: false } : undefined;
}

/** @throws RestoreError `CORRUPT` when the sector contradicts itself, `UNSUPPORTED` for a later version. */
export function geometryOf(sector: Uint8Array): Geometry {
  const view = layout.viewOf(sector);
  const revision = BootSector.fileSystemRevision(view);
  if (revision >> 8 !== MAJOR_REVISION) {
    throw new RestoreError('UNSUPPORTED', 'this version of exFAT is not known', {
      where: { structure: 'FileSystemRevision', expected: '1.x', found: revision >> 8 },
    });
  }
  const sectorShift = BootSector.bytesPerSectorShift(view);
  need('BytesPerSectorShift', sectorShift, SHIFT_MIN, SHIFT_MAX);
  const clusterShift = BootSector.sectorsPerClusterShift(view);
  need('SectorsPerClusterShift', clusterShift, 0, CLUSTER_SHIFT_MAX - sectorShift);
  const sectorBytes = 2 ** sectorShift;
  const clusterBytes = sectorBytes * 2 ** clusterShift;
  const totalSectors = BootSector.volumeLength(view);
  need('VolumeLength', totalSectors, 1, Math.floor(Number.MAX_SAFE_INTEGER / sectorBytes));
  const heap = BootSector.clusterHeapOffset(view);
  need('ClusterHeapOffset', heap, 2 * BOOT_REGION_SECTORS, totalSectors - 1);
  const clusterCount = BootSector.clusterCount(view);
  const heapClusters = Math.floor((totalSectors - heap) / 2 ** clusterShift);
  need('ClusterCount', clusterCount, 1, Math.min(CLUSTERS_MAX, heapClusters));
  need(
    'FirstClusterOfRootDirectory',
    BootSector.firstClusterOfRootDirectory(view),
    2,
    clusterCount + 1,
  );
  const fats = BootSector.numberOfFats(view);
  need('NumberOfFats', fats, 1, 2);
  const fatSectors = BootSector.fatLength(view);
  need('FatLength', fatSectors, Math.ceil(((clusterCount + 2) * 4) / sectorBytes), heap);
  const fatOffset = BootSector.fatOffset(view);
  need('FatOffset', fatOffset, 2 * BOOT_REGION_SECTORS, heap - fats * fatSectors);
  const flags = BootSector.volumeFlags(view);
  const activeFat = fats === 2 && (flags & VOLUME_FLAGS.activeFat) !== 0 ? 1 : 0;
  return {
    sectorBytes,
    clusterBytes,
    clusterCount,
    fatAt: (fatOffset + activeFat * fatSectors) * sectorBytes,
    activeFat,
    dataAt: heap * sectorBytes,
    rootCluster: BootSector.firstClusterOfRootDirectory(view),
    totalBytes: totalSectors * sectorBytes,
    serialNumber: BootSector.volumeSerialNumber(view),
    isDirty: (flags & VOLUME_FLAGS.volumeDirty) !== 0,
    hadMediaFailure: (flags & VOLUME_FLAGS.mediaFailure) !== 0,
  };
}

function isBootSector(sector: Uint8Array): boolean {
  const view = layout.viewOf(sector);
  return hasTrait(sector) && isAllZero(BootSector.mustBeZero(view));
}

function hasTrait(sector: Uint8Array): boolean {
  return BootSector.fileSystemName(layout.viewOf(sector)) === FILE_SYSTEM_NAME;
}

async function findBackup(volume: SparseSource): Promise<FoundBootSector | undefined> {
  for (let shift = SHIFT_MIN; shift <= SHIFT_MAX; shift += 1) {
    const at = BOOT_REGION_SECTORS * 2 ** shift;
    if (at + SECTOR_BYTES > volume.size) return undefined;
    const sector = await bytesAt(volume, at, SECTOR_BYTES);
    const isOfThisSize = BootSector.bytesPerSectorShift(layout.viewOf(sector)) === shift;
    if (isOfThisSize && isBootSector(sector) && (await passesChecksum(volume, sector, at))) {
      return { sector, at, isSound: true };
    }
  }
  return undefined;
}

/** Section 3.4, "Main and Backup Boot Checksum". */
async function passesChecksum(
  volume: SparseSource,
  sector: Uint8Array,
  at: number,
): Promise<boolean> {
  const shift = BootSector.bytesPerSectorShift(layout.viewOf(sector));
  const byteCount = BOOT_REGION_SECTORS * 2 ** shift;
  if (shift < SHIFT_MIN || shift > SHIFT_MAX || at + byteCount > volume.size) return false;
  const region = await readBytes(volume, at, byteCount);
  const stored = byteCount - 2 ** shift;
  const sum = checksum32(region.subarray(0, stored), UNCHECKED_BYTES);
  const view = layout.viewOf(region);
  for (let index = stored; index < byteCount; index += 4) {
    if (view.getUint32(index, true) !== sum) return false;
  }
  return true;
}

function need(field: string, found: number, low: number, high: number): void {
  if (found >= low && found <= high) return;
  throw new RestoreError('CORRUPT', 'the boot sector states what cannot be', {
    where: { structure: field, expected: `${low} to ${high}`, found },
  });
}
