import { layout } from '../../../core/index.ts';
import { serial } from './fixed.ts';
import type { Signature } from './signature.ts';
import { labelAt, type Window } from './window.ts';

/** FAT specification 1.03, section 3. */
const BootSector = {
  sectorBytes: layout.u16le(11),
  clusterSectors: layout.u8(13),
  reservedSectors: layout.u16le(14),
  fats: layout.u8(16),
  rootEntries: layout.u16le(17),
  sectors16: layout.u16le(19),
  media: layout.u8(21),
  fatSectors16: layout.u16le(22),
  sectors32: layout.u32le(32),
  fatSectors32: layout.u32le(36),
} as const;

const BOOT_SIGNATURE = 0x29;
const NO_NAME = 'NO NAME';
const FAT12_CLUSTERS_MAX = 4084;
const FAT16_CLUSTERS_MAX = 65_524;

/** A FAT boot sector whose numbers make sense. Its kind follows from the count of clusters alone. */
export async function fatSignature(window: Window): Promise<Signature | undefined> {
  const head = await window.bytes(0, 512);
  if (head === undefined) return undefined;
  const view = layout.viewOf(head);
  const sectorBytes = BootSector.sectorBytes(view);
  const clusterSectors = BootSector.clusterSectors(view);
  const media = BootSector.media(view);
  const fats = BootSector.fats(view);
  const reserved = BootSector.reservedSectors(view);
  const isSound =
    [512, 1024, 2048, 4096].includes(sectorBytes) &&
    clusterSectors > 0 &&
    (clusterSectors & (clusterSectors - 1)) === 0 &&
    (media === 0xf0 || media >= 0xf8) &&
    fats > 0 &&
    fats <= 4 &&
    reserved > 0;
  if (!isSound) return undefined;
  const fatSectors = BootSector.fatSectors16(view) || BootSector.fatSectors32(view);
  const sectors = BootSector.sectors16(view) || BootSector.sectors32(view);
  const rootSectors = Math.ceil((BootSector.rootEntries(view) * 32) / sectorBytes);
  const clusters = Math.floor(
    (sectors - reserved - fats * fatSectors - rootSectors) / clusterSectors,
  );
  if (fatSectors === 0 || clusters <= 0) return undefined;
  const is32 = BootSector.fatSectors16(view) === 0;
  const type = is32
    ? 'FAT32'
    : clusters <= FAT12_CLUSTERS_MAX
      ? 'FAT12'
      : clusters <= FAT16_CLUSTERS_MAX
        ? 'FAT16'
        : 'FAT32';
  const at = is32 ? 66 : 38;
  if (head[at] !== BOOT_SIGNATURE) return { kind: 'file system', type, label: '', uuid: '' };
  const label = labelAt(head, at + 5, 11);
  return {
    kind: 'file system',
    type,
    label: label === NO_NAME ? '' : label,
    uuid: serial(head, at + 1),
  };
}
