import { type BlockSource, isAllZero, layout, readBytes } from '../../../core/index.ts';
import { isBootSector } from './boot-sector.ts';
import { Bpb, Bpb32, FSI_LEAD_SIG, FsInfo } from './layout.ts';

const SECTOR_BYTES = 512;
/** "BPB_BkBootSec": no value other than 6 is recommended. */
const BACKUP_SECTOR = 6;
const SECTOR_SIZES = [512, 1024, 2048, 4096];
const TYPE_TEXT_AT = 82;
const TYPE_TEXT = Buffer.from('FAT32   ', 'latin1');

export interface FoundBootSector {
  readonly sector: Uint8Array;
  /** Byte offset of the copy that is used; 0 for the first. */
  readonly at: number;
}

/**
 * The boot sector, or FAT32's backup of it when the first is gone. The backup is not enough by itself:
 * a volume that was formatted anew as something else may still have it. So the first must be zeroed or
 * have some trait of FAT left, and what lies between the two must not be someone else's.
 */
export async function findBootSector(volume: BlockSource): Promise<FoundBootSector | undefined> {
  if (volume.size < SECTOR_BYTES) return undefined;
  const first = await readSector(volume, 0);
  if (isBootSector(first)) return { sector: first, at: 0 };
  if (!isAllZero(first) && !hasTraitOfFat(first)) return undefined;
  for (const sectorBytes of SECTOR_SIZES) {
    const at = BACKUP_SECTOR * sectorBytes;
    if (at + SECTOR_BYTES > volume.size) break;
    const sector = await readSector(volume, at);
    if (isBackup(sector, sectorBytes) && (await isFsInfo(volume, sectorBytes))) {
      return { sector, at };
    }
  }
  return undefined;
}

async function readSector(volume: BlockSource, at: number): Promise<Uint8Array> {
  return volume.peek(at, SECTOR_BYTES) ?? (await readBytes(volume, at, SECTOR_BYTES));
}

function hasTraitOfFat(sector: Uint8Array): boolean {
  const jump = Bpb.jmpBoot(layout.viewOf(sector));
  return jump === 0xe9 || (jump === 0xeb && sector[2] === 0x90) || hasTypeText(sector);
}

function isBackup(sector: Uint8Array, sectorBytes: number): boolean {
  if (!isBootSector(sector) || !hasTypeText(sector)) return false;
  const view = layout.viewOf(sector);
  return (
    Bpb.bytsPerSec(view) === sectorBytes &&
    Bpb.fatSz16(view) === 0 &&
    Bpb32.bkBootSec(view) === BACKUP_SECTOR
  );
}

function hasTypeText(sector: Uint8Array): boolean {
  return Buffer.compare(sector.subarray(TYPE_TEXT_AT, TYPE_TEXT_AT + 8), TYPE_TEXT) === 0;
}

/** The FSInfo sector that belongs beside the boot sector, or its place wiped too. */
async function isFsInfo(volume: BlockSource, sectorBytes: number): Promise<boolean> {
  const sector = await readSector(volume, sectorBytes);
  return isAllZero(sector) || FsInfo.leadSig(layout.viewOf(sector)) === FSI_LEAD_SIG;
}
