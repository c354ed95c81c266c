import { type FileSystem, isRestoreError, RestoreError } from '../../../core/index.ts';
import type { FileSystemDriver, Identification, Volume } from '../driver.ts';
import { findBootSector, type FoundBootSector, type Geometry, geometryOf } from './boot-region.ts';
import { Clusters } from './clusters.ts';
import { DirectoryReader } from './directory.ts';
import { ExfatFileSystem } from './file-system.ts';
import { LATIN, spaceOf, upcaseOf } from './tables.ts';

export const exfatDriver: FileSystemDriver = {
  name: 'exFAT',

  async identify(volume: Volume): Promise<Identification | undefined> {
    const found = await findBootSector(volume.metadata);
    if (found === undefined) return undefined;
    try {
      const geometry = geometryOf(found.sector);
      const { label = '' } = await readRoot(geometry, new Clusters(volume, geometry));
      return { type: 'exFAT', label, uuid: uuidOf(geometry) };
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT') && !isRestoreError(error, 'UNSUPPORTED')) throw error;
      return { type: 'exFAT', label: '', uuid: '' };
    }
  },

  async open(volume: Volume): Promise<FileSystem> {
    const found = await findBootSector(volume.metadata);
    if (found === undefined) {
      throw new RestoreError('CORRUPT', 'there is no exFAT boot sector', {
        where: { structure: 'Main Boot Sector', offset: 0 },
      });
    }
    const geometry = geometryOf(found.sector);
    tellOfBootRegion(volume, geometry, found);
    const clusters = new Clusters(volume, geometry);
    const root = await readRoot(geometry, clusters);
    const { clusterBytes, clusterCount } = geometry;
    const rules = {
      clusterBytes,
      clusterCount,
      upcase: await upcaseOf(volume, clusters, root.upcase),
    };
    return new ExfatFileSystem(volume, geometry, clusters, rules, {
      type: 'exFAT',
      label: root.label ?? '',
      uuid: uuidOf(geometry),
      space: await spaceOf(geometry, clusters, root.bitmaps),
    });
  },
};

/** The tables that the root directory names. Damage shows when it is listed. */
async function readRoot(geometry: Geometry, clusters: Clusters): Promise<DirectoryReader> {
  const { clusterBytes, clusterCount } = geometry;
  const reader = new DirectoryReader({ clusterBytes, clusterCount, upcase: LATIN });
  try {
    const { pieces } = await clusters.piecesOf('root');
    for await (const { bytes, at } of pieces) {
      reader.read(bytes, at);
      const isAll = reader.bitmaps.length > 0 && reader.upcase !== undefined;
      if (reader.isEnded || (isAll && reader.label !== undefined)) break;
    }
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
  }
  return reader;
}

function tellOfBootRegion(
  { health, data }: Volume,
  geometry: Geometry,
  found: FoundBootSector,
): void {
  const structure = 'Main Boot Sector';
  if (found.at !== 0) {
    health.note('partly damaged', {
      message: 'the boot region is damaged; its backup is used',
      where: { structure, offset: found.at },
    });
  }
  if (!found.isSound) {
    health.note('partly damaged', {
      message: 'the checksums of the boot region and of its backup are wrong',
      where: { structure },
    });
  }
  if (geometry.totalBytes > data.size) {
    health.note('partly damaged', {
      message: 'the volume is shorter than its boot sector says; what lay at its end is missing',
      where: { structure, expected: geometry.totalBytes, found: data.size },
    });
  }
  if (geometry.isDirty) {
    health.note('stale', {
      message: 'the volume was in use: the last changes may be missing or half done',
      where: { structure: 'VolumeFlags' },
    });
  }
  if (geometry.hadMediaFailure) {
    health.note('stale', {
      message: 'the system that wrote the volume met errors of its medium',
      where: { structure: 'VolumeFlags' },
    });
  }
}

function uuidOf({ serialNumber }: Geometry): string {
  const hex = serialNumber.toString(16).toUpperCase().padStart(8, '0');
  return `${hex.slice(0, 4)}-${hex.slice(4)}`;
}
