import { type BlockSource, layout, readBytes } from '../../../core/index.ts';
import { corrupt } from './damage.ts';
import { BootSector } from './layout.ts';

/** What the boot sector says of the volume, checked. */
export interface Geometry {
  readonly sectorBytes: number;
  readonly clusterBytes: number;
  readonly clusterCount: number;
  readonly totalBytes: number;
  readonly recordBytes: number;
  /** Where `$MFT` and the copy of its first records begin, in bytes. */
  readonly mftAt: number;
  readonly mirrorAt: number;
  /** As `blkid` prints it. */
  readonly serial: string;
}

export const BOOT_BYTES = 512;
const SIGNATURE_AT = 3;
const SIGNATURE = 'NTFS    ';
const CLUSTER_BYTES_MAX = 2 * 1024 * 1024;
const SECTOR_SIZES = [512, 1024, 2048, 4096] as const;
const RECORD_BYTES_MIN = 512;
const RECORD_BYTES_MAX = 4096;

export function hasSignature(sector: Uint8Array): boolean {
  const found = sector.subarray(SIGNATURE_AT, SIGNATURE_AT + SIGNATURE.length);
  return String.fromCharCode(...found) === SIGNATURE;
}

/** @throws RestoreError `CORRUPT` when a field makes no sense. */
export function parseBootSector(sector: Uint8Array): Geometry {
  if (!hasSignature(sector)) throw damaged('the signature', SIGNATURE, 'another');
  const view = layout.viewOf(sector);
  const sectorBytes = BootSector.sectorBytes(view);
  if (!SECTOR_SIZES.some((size) => size === sectorBytes)) {
    throw damaged('the sector size', '512, 1024, 2048 or 4096', sectorBytes);
  }
  const clusterBytes = sectorBytes * sectorsPerCluster(BootSector.sectorsPerCluster(view));
  const totalBytes = BootSector.totalSectors(view) * sectorBytes;
  if (!Number.isSafeInteger(totalBytes) || totalBytes < clusterBytes) {
    throw damaged('the size of the volume', 'some clusters', totalBytes);
  }
  const clusterCount = Math.ceil(totalBytes / clusterBytes);
  const placeOf = (cluster: number, what: string): number => {
    if (cluster > 0 && cluster < clusterCount) return cluster * clusterBytes;
    throw damaged(`the place of ${what}`, `a cluster below ${clusterCount}`, cluster);
  };
  return {
    sectorBytes,
    clusterBytes,
    clusterCount,
    totalBytes,
    recordBytes: recordSize(BootSector.clustersPerRecord(view), clusterBytes),
    mftAt: placeOf(BootSector.mftCluster(view), '$MFT'),
    mirrorAt: placeOf(BootSector.mirrorCluster(view), '$MFTMirr'),
    serial: serialOf(view),
  };
}

export function serialOf(view: DataView): string {
  const half = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');
  return half(BootSector.serialHigh(view)) + half(BootSector.serialLow(view));
}

/**
 * The copy behind the volume's last cluster, in the last sector of a partition that it fills. The
 * sector size, known only from it, is tried through.
 */
export async function readBackup(source: BlockSource): Promise<Uint8Array | undefined> {
  for (const sectorBytes of SECTOR_SIZES) {
    const at = source.size - sectorBytes;
    if (at < BOOT_BYTES) break;
    const sector = await readBytes(source, at, BOOT_BYTES);
    if (!hasSignature(sector)) continue;
    const geometry = parseBootSector(sector);
    if (geometry.sectorBytes === sectorBytes && geometry.totalBytes <= source.size) return sector;
  }
  return undefined;
}

/** Up to 128 as it is; above, a negative power of two in one byte (2 MiB clusters have 0xF4). */
function sectorsPerCluster(value: number): number {
  const count = value <= 128 ? value : 2 ** (256 - value);
  if (Number.isInteger(Math.log2(count)) && count * 512 <= CLUSTER_BYTES_MAX) return count;
  throw damaged('the cluster size', 'a power of two up to 2 MiB', `${value}`);
}

/** In clusters, or as a negative power of two in bytes. */
function recordSize(value: number, clusterBytes: number): number {
  const bytes = value < 128 ? value * clusterBytes : 2 ** (256 - value);
  const isPower = Number.isInteger(Math.log2(bytes));
  if (isPower && bytes >= RECORD_BYTES_MIN && bytes <= RECORD_BYTES_MAX) return bytes;
  throw damaged('the size of file records', 'a power of two from 512 to 4096', `${value}`);
}

function damaged(what: string, expected: string, found: string | number): Error {
  return corrupt(`the boot sector is damaged: ${what}`, {
    structure: 'boot sector',
    offset: 0,
    expected,
    found,
  });
}
