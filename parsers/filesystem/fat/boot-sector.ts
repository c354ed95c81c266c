import { layout, RestoreError } from '../../../core/index.ts';
import {
  BOOT_DIRTY,
  BOOT_SIGNATURE,
  Bpb,
  Bpb16,
  Bpb32,
  EXT_FLAGS_ACTIVE_FAT,
  EXT_FLAGS_ONE_FAT,
  EXTENDED_BOOT_SIGNATURES,
} from './layout.ts';

export type FatType = 'FAT12' | 'FAT16' | 'FAT32';

/** Where everything on a volume lies; offsets in bytes from its start. */
export interface Geometry {
  readonly type: FatType;
  readonly sectorBytes: number;
  readonly clusterBytes: number;
  /** Usable clusters; they are numbered from 2. */
  readonly clusterCount: number;
  readonly fatAt: number;
  readonly fatBytes: number;
  /** The FATs to read, best first: numbers from 0. */
  readonly fats: readonly number[];
  /** The root directory of FAT12 and FAT16. */
  readonly rootAt: number;
  readonly rootBytes: number;
  /** The root directory of FAT32; 0 on the others. */
  readonly rootCluster: number;
  /** Where cluster 2 begins. */
  readonly dataAt: number;
  readonly totalBytes: number;
  readonly fsInfoAt: number | undefined;
  readonly serialNumber: number | undefined;
  /** The boot sector says that the volume is in use. */
  readonly isDirty: boolean;
}

const SECTOR_SIZES: readonly number[] = [512, 1024, 2048, 4096];
/** EB xx 90 or E9 xx xx. */
const JUMPS: readonly number[] = [0xeb, 0xe9];
/** "FAT Type Determination". */
const FAT12_CLUSTERS_MAX = 4084;
const FAT16_CLUSTERS_MAX = 65_524;
const FAT32_CLUSTERS_MAX = 0x0fff_fff5;
const FATS_MAX = 16;

/**
 * True when a sector is a FAT boot sector, by its BIOS parameter block: its own signature is text that
 * some formatters leave out, and 0xAA55 is missing on some media.
 */
export function isBootSector(sector: Uint8Array): boolean {
  const view = layout.viewOf(sector);
  const media = Bpb.media(view);
  return (
    (JUMPS.includes(Bpb.jmpBoot(view)) || Bpb.signature(view) === BOOT_SIGNATURE) &&
    SECTOR_SIZES.includes(Bpb.bytsPerSec(view)) &&
    isPowerOfTwo(Bpb.secPerClus(view)) &&
    Bpb.rsvdSecCnt(view) > 0 &&
    Bpb.numFATs(view) > 0 &&
    Bpb.numFATs(view) <= FATS_MAX &&
    (media === 0xf0 || media >= 0xf8) &&
    (Bpb.totSec16(view) > 0 || Bpb.totSec32(view) > 0) &&
    (Bpb.fatSz16(view) > 0 || (Bpb32.fatSz32(view) > 0 && Bpb.rootEntCnt(view) === 0))
  );
}

/**
 * The geometry that a boot sector states ("FAT Data Structure", "FAT Type Determination").
 *
 * The count of clusters alone tells FAT12 from FAT16. A volume whose 16-bit FAT size is 0 is FAT32
 * whatever its count: formatters make small ones, and their table has no other size.
 *
 * @throws RestoreError `CORRUPT` when it contradicts itself, `UNSUPPORTED` for a later version.
 */
export function geometryOf(sector: Uint8Array): Geometry {
  const view = layout.viewOf(sector);
  const sectorBytes = Bpb.bytsPerSec(view);
  const is32 = Bpb.fatSz16(view) === 0;
  if (is32 && Bpb32.fsVer(view) !== 0) throw laterVersion(Bpb32.fsVer(view));
  const fatSectors = is32 ? Bpb32.fatSz32(view) : Bpb.fatSz16(view);
  const totalSectors = Bpb.totSec16(view) || Bpb.totSec32(view);
  const fatSector = Bpb.rsvdSecCnt(view);
  const rootSector = fatSector + Bpb.numFATs(view) * fatSectors;
  const rootBytes = Bpb.rootEntCnt(view) * 32;
  const dataSector = rootSector + Math.ceil(rootBytes / sectorBytes);
  const clusters = Math.floor((totalSectors - dataSector) / Bpb.secPerClus(view));
  const type = is32 ? 'FAT32' : clusters <= FAT12_CLUSTERS_MAX ? 'FAT12' : 'FAT16';
  const most = is32 ? FAT32_CLUSTERS_MAX : FAT16_CLUSTERS_MAX;
  if (!(clusters >= 1 && clusters <= most)) throw impossible(type, most, clusters);
  const fatBytes = fatSectors * sectorBytes;
  return {
    type,
    sectorBytes,
    clusterBytes: Bpb.secPerClus(view) * sectorBytes,
    clusterCount: Math.min(clusters, entriesIn(fatBytes, type) - 2),
    fatAt: fatSector * sectorBytes,
    fatBytes,
    fats: fatsToRead(view, is32),
    rootAt: rootSector * sectorBytes,
    rootBytes: is32 ? 0 : rootBytes,
    rootCluster: is32 ? Bpb32.rootClus(view) : 0,
    dataAt: dataSector * sectorBytes,
    totalBytes: totalSectors * sectorBytes,
    fsInfoAt: is32 ? fsInfoAt(view, sectorBytes) : undefined,
    serialNumber: serialNumberOf(view, is32),
    isDirty: ((is32 ? Bpb32 : Bpb16).reserved1(view) & BOOT_DIRTY) !== 0,
  };
}

function entriesIn(fatBytes: number, type: FatType): number {
  const bits = { FAT12: 12, FAT16: 16, FAT32: 32 } as const;
  return Math.floor((fatBytes * 8) / bits[type]);
}

/** All copies in their order; the one that is kept up, where mirroring is off ("BPB_ExtFlags"). */
function fatsToRead(view: DataView, is32: boolean): readonly number[] {
  const count = Bpb.numFATs(view);
  const flags = is32 ? Bpb32.extFlags(view) : 0;
  if ((flags & EXT_FLAGS_ONE_FAT) === 0) return Array.from({ length: count }, (_, index) => index);
  const active = flags & EXT_FLAGS_ACTIVE_FAT;
  if (active < count) return [active];
  throw new RestoreError('CORRUPT', 'the boot sector names a FAT that is not there', {
    where: { structure: 'BPB_ExtFlags', expected: `a number below ${count}`, found: active },
  });
}

function fsInfoAt(view: DataView, sectorBytes: number): number | undefined {
  const sector = Bpb32.fsInfo(view);
  return sector > 0 && sector < Bpb.rsvdSecCnt(view) ? sector * sectorBytes : undefined;
}

function serialNumberOf(view: DataView, is32: boolean): number | undefined {
  const { bootSig, volID } = is32 ? Bpb32 : Bpb16;
  return EXTENDED_BOOT_SIGNATURES.includes(bootSig(view)) ? volID(view) : undefined;
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}

function impossible(type: FatType, most: number, found: number): RestoreError {
  return new RestoreError('CORRUPT', 'the boot sector states an impossible count of clusters', {
    where: { structure: 'BIOS parameter block', expected: `1 to ${most} on ${type}`, found },
  });
}

function laterVersion(found: number): RestoreError {
  return new RestoreError('UNSUPPORTED', 'this version of FAT32 is not known', {
    where: { structure: 'BPB_FSVer', expected: 0, found },
  });
}
