import { type FileSystem, isRestoreError, layout, type SpaceUse } from '../../../core/index.ts';
import { bytesAt } from '../bytes-at.ts';
import type { FileSystemDriver, Identification, Volume } from '../driver.ts';
import { type Geometry, geometryOf } from './boot-sector.ts';
import { DirectoryContent } from './directory-content.ts';
import { FatFileSystem } from './file-system.ts';
import { findBootSector } from './find-boot-sector.ts';
import { FSI_LEAD_SIG, FSI_STRUC_SIG, FsInfo } from './layout.ts';
import { FatTable } from './table.ts';
import { FatTables } from './tables.ts';

export const fatDriver: FileSystemDriver = {
  name: 'FAT',

  async identify(volume: Volume): Promise<Identification | undefined> {
    const found = await findBootSector(volume.metadata);
    if (found === undefined) return undefined;
    try {
      const geometry = geometryOf(found.sector);
      const content = new DirectoryContent(volume, geometry, tablesOf(volume, geometry));
      return { type: geometry.type, label: await labelOf(content), uuid: uuidOf(geometry) };
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT') && !isRestoreError(error, 'UNSUPPORTED')) throw error;
      return { type: 'FAT', label: '', uuid: '' };
    }
  },

  async open(volume: Volume): Promise<FileSystem> {
    const found = await findBootSector(volume.metadata);
    const { sector, at } = found ?? { sector: await bytesAt(volume.metadata, 0, 512), at: 0 };
    const geometry = geometryOf(sector);
    const tables = tablesOf(volume, geometry);
    tellOfBootSector(volume, geometry, at);
    await tellOfFlags(volume, geometry, tables);
    const content = new DirectoryContent(volume, geometry, tables);
    return new FatFileSystem(volume, geometry, tables, content, {
      type: geometry.type,
      label: await labelOf(content),
      uuid: uuidOf(geometry),
      space: await spaceOf(volume, geometry, tables),
    });
  },
};

/** FAT[1] ("FAT Type Determination"): set while all is well; FAT12 has none. */
const CLEAN_FLAGS = {
  FAT12: undefined,
  FAT16: { wasUnmounted: 0x8000, hadNoErrors: 0x4000 },
  FAT32: { wasUnmounted: 0x0800_0000, hadNoErrors: 0x0400_0000 },
} as const;

function tablesOf(volume: Volume, geometry: Geometry): FatTables {
  const { type, fats, fatAt, fatBytes, clusterCount } = geometry;
  const tables = fats.map(
    (number) =>
      new FatTable(volume, {
        kind: type,
        name: `FAT ${number + 1}`,
        at: fatAt + number * fatBytes,
        clusterCount,
      }),
  );
  return new FatTables(tables, volume.health);
}

function tellOfBootSector({ health, data }: Volume, geometry: Geometry, at: number): void {
  if (at !== 0) {
    health.note('partly damaged', {
      message: 'the boot sector is damaged; its backup is used',
      where: { structure: 'boot sector', offset: at },
    });
  }
  if (geometry.totalBytes > data.size) {
    health.note('partly damaged', {
      message: 'the volume is shorter than its boot sector says; what lay at its end is missing',
      where: { structure: 'boot sector', expected: geometry.totalBytes, found: data.size },
    });
  }
}

async function tellOfFlags(volume: Volume, geometry: Geometry, tables: FatTables): Promise<void> {
  const flags = CLEAN_FLAGS[geometry.type];
  const value = flags === undefined ? 0 : await whenSound(tables.first((table) => table.entry(1)));
  const isIn = (flag: number | undefined): boolean =>
    flag === undefined || value === undefined || (value & flag) !== 0;
  if (geometry.isDirty || !isIn(flags?.wasUnmounted)) {
    volume.health.note('stale', {
      message: 'the volume was in use: the last changes may be missing or half done',
      where: { structure: geometry.isDirty ? 'boot sector' : 'FAT[1]' },
    });
  }
  if (!isIn(flags?.hadNoErrors)) {
    volume.health.note('stale', {
      message: 'the system that wrote the volume met errors of its medium',
      where: { structure: 'FAT[1]' },
    });
  }
}

async function spaceOf(volume: Volume, geometry: Geometry, tables: FatTables): Promise<SpaceUse> {
  const { clusterCount, clusterBytes, type } = geometry;
  const free =
    type === 'FAT32'
      ? await freeByInfo(volume, geometry)
      : await whenSound(tables.first((table) => table.countFree()));
  const totalBytes = clusterCount * clusterBytes;
  return free === undefined ? { totalBytes } : { totalBytes, freeBytes: free * clusterBytes };
}

/** "FAT32 FSInfo Sector Structure": the count of free clusters, where it is known. */
async function freeByInfo({ metadata }: Volume, geometry: Geometry): Promise<number | undefined> {
  const { fsInfoAt, clusterCount } = geometry;
  if (fsInfoAt === undefined || fsInfoAt + 512 > metadata.size) return undefined;
  const view = layout.viewOf(await bytesAt(metadata, fsInfoAt, 512));
  const isInfo = FsInfo.leadSig(view) === FSI_LEAD_SIG && FsInfo.strucSig(view) === FSI_STRUC_SIG;
  const free = FsInfo.freeCount(view);
  return isInfo && free <= clusterCount ? free : undefined;
}

/** The label of the root directory: the boot sector's copy is not kept up. */
async function labelOf(content: DirectoryContent): Promise<string> {
  return (await whenSound(content.label())) ?? '';
}

function uuidOf({ serialNumber }: Geometry): string {
  if (serialNumber === undefined) return '';
  const hex = serialNumber.toString(16).toUpperCase().padStart(8, '0');
  return `${hex.slice(0, 4)}-${hex.slice(4)}`;
}

/** Nothing where the structures are damaged: what else there is can be read all the same. */
async function whenSound<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (isRestoreError(error, 'CORRUPT')) return undefined;
    throw error;
  }
}
