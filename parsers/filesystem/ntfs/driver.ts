import { HealthLog, isAllZero, isRestoreError, layout, readBytes } from '../../../core/index.ts';
import type { FileSystemDriver, Identification, Volume } from '../driver.ts';
import {
  BOOT_BYTES,
  type Geometry,
  hasSignature,
  parseBootSector,
  readBackup,
  serialOf,
} from './boot-sector.ts';
import { corrupt } from './damage.ts';
import { FileLoader } from './file-loader.ts';
import { NtfsFileSystem } from './file-system.ts';
import { RECORD_NUMBER } from './layout.ts';
import { openMft, readRecordAt } from './open-mft.ts';
import { type CaseRules, caseRulesOf } from './upcase.ts';
import {
  noteLogState,
  openSystemFile,
  orNoted,
  readVolumeInformation,
  volumeInformationOf,
} from './volume-information.ts';

const TYPE_NAME = 'NTFS';
const ROOT_SEQUENCE = 5;
const UPCASE_BYTES_MAX = 1024 * 1024;

/** NTFS by its boot sector, which may be damaged behind its signature. */
export const ntfsDriver: FileSystemDriver = { name: 'NTFS', identify, open };

/**
 * The same, where the boot sector has been overwritten with zeros, and its copy at the end of the
 * volume leads to an MFT. To be tried last: another file system may have been made since.
 */
export const ntfsByBackupDriver: FileSystemDriver = {
  name: 'NTFS without its boot sector',
  identify: identifyByBackup,
  open,
};

async function identifyByBackup(volume: Volume): Promise<Identification | undefined> {
  if (await mayBeOfAnotherKind(volume)) return undefined;
  try {
    const sector = await readBackup(volume.metadata);
    if (sector === undefined) return undefined;
    const geometry = parseBootSector(sector);
    await openMft({ ...volume, health: new HealthLog() }, geometry);
    return { type: TYPE_NAME, label: await labelOf(volume, geometry), uuid: geometry.serial };
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    return undefined;
  }
}

/** Signatures of what begins with zeros, and leaves the volume's end as it was. */
const FOREIGN_SIGNATURES = [
  { at: 512, text: 'LABELONE' },
  { at: 4086, text: 'SWAPSPACE2' },
  { at: 0x1_0040, text: '_BHRfS_M' },
] as const;

async function mayBeOfAnotherKind({ metadata }: Volume): Promise<boolean> {
  if (metadata.size < BOOT_BYTES) return true;
  if (!isAllZero(await readBytes(metadata, 0, BOOT_BYTES))) return true;
  for (const { at, text } of FOREIGN_SIGNATURES) {
    if (at + text.length > metadata.size) continue;
    const found = await readBytes(metadata, at, text.length);
    if (String.fromCharCode(...found) === text) return true;
  }
  return false;
}

async function identify(volume: Volume): Promise<Identification | undefined> {
  if (volume.metadata.size < BOOT_BYTES) return undefined;
  const sector = await readBytes(volume.metadata, 0, BOOT_BYTES);
  if (!hasSignature(sector)) return undefined;
  const uuid = serialOf(layout.viewOf(sector));
  try {
    const geometry = await readGeometry(volume);
    return { type: TYPE_NAME, label: await labelOf(volume, geometry), uuid: geometry.serial };
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    return { type: TYPE_NAME, label: '', uuid };
  }
}

/** Reads `$Volume` where the MFT begins, without opening the MFT. */
async function labelOf(volume: Volume, geometry: Geometry): Promise<string> {
  const number = RECORD_NUMBER.VOLUME;
  const at = geometry.mftAt + number * geometry.recordBytes;
  return volumeInformationOf(await readRecordAt(volume, geometry, number, at)).label;
}

async function open(volume: Volume): Promise<NtfsFileSystem> {
  const { health } = volume;
  const geometry = await readGeometry(volume);
  noteShortVolume(volume, geometry);
  const mft = await openMft(volume, geometry);
  const loader = new FileLoader(mft, volume.metadata, geometry);
  const information = await readVolumeInformation(loader, health);
  await noteLogState(loader, health);
  const rules = await readCaseRules(loader, volume);
  const root = await orNoted(health, () => mft.read(RECORD_NUMBER.ROOT));
  const rootSequence = root?.sequence ?? ROOT_SEQUENCE;
  return new NtfsFileSystem({ volume, geometry, loader, rules, information, rootSequence });
}

/** From the first sector, or from its copy at the volume's end. */
async function readGeometry(volume: Volume): Promise<Geometry> {
  try {
    return parseBootSector(await readBytes(volume.metadata, 0, BOOT_BYTES));
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    const backup = await readBackup(volume.metadata);
    if (backup === undefined) throw error;
    volume.health.note('partly damaged', {
      message: `${error.message}; its copy at the end of the volume is read instead`,
      where: error.where,
    });
    return parseBootSector(backup);
  }
}

function noteShortVolume({ health, metadata }: Volume, { totalBytes }: Geometry): void {
  if (totalBytes <= metadata.size) return;
  health.damage(
    corrupt('the volume is longer than what is here of it', {
      structure: 'boot sector',
      expected: `${totalBytes} bytes`,
      found: metadata.size,
    }),
  );
}

async function readCaseRules(loader: FileLoader, { health }: Volume): Promise<CaseRules> {
  const read = async (stream: string): Promise<Uint8Array | undefined> => {
    const content = await openSystemFile(loader, RECORD_NUMBER.UPCASE, stream);
    if (content === undefined || content.size > UPCASE_BYTES_MAX) return undefined;
    return readBytes(content, 0, content.size);
  };
  const table = await orNoted(health, () => read(''));
  const information = await orNoted(health, () => read('$Info'));
  return caseRulesOf(table, information, health);
}
