import { type FileSystem, isRestoreError } from '../../../core/index.ts';
import { bytesAt } from '../bytes-at.ts';
import type { FileSystemDriver, Identification, Volume } from '../driver.ts';
import { type Descriptor, type Descriptors, hasPrimary, readDescriptors } from './descriptors.ts';
import { IsoFileSystem } from './file-system.ts';
import { SECTOR_BYTES, SharingProtocol, SP_CHECK } from './layout.ts';
import type { NameKind } from './names.ts';
import { recordAt } from './record.ts';
import { type IsoTree, Records } from './records.ts';

const TYPE = 'ISO 9660';

export const iso9660Driver: FileSystemDriver = {
  name: TYPE,

  async identify(volume: Volume): Promise<Identification | undefined> {
    if (!(await hasPrimary(volume.metadata))) return undefined;
    try {
      const descriptors = await readDescriptors(volume.metadata);
      return { type: TYPE, label: labelOf(descriptors), uuid: descriptors.primary.uuid };
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      return { type: TYPE, label: '', uuid: '' };
    }
  },

  async open(volume: Volume): Promise<FileSystem> {
    const descriptors = await readDescriptors(volume.metadata);
    const tree = await treeOf(volume, descriptors);
    const { totalBytes, uuid } = descriptors.primary;
    if (totalBytes > volume.data.size) {
      volume.health.note('partly damaged', {
        message: 'the volume is shorter than it says; what lay at its end is missing',
        where: { structure: 'Volume Space Size', expected: totalBytes, found: volume.data.size },
      });
    }
    return new IsoFileSystem(volume, new Records(volume, tree), {
      type: TYPE,
      label: labelOf(descriptors),
      uuid,
      space: { totalBytes, freeBytes: 0 },
    });
  },
};

/** Which tree is read: Rock Ridge before Joliet before the plain one, as in Linux. */
async function treeOf(volume: Volume, { primary, joliet }: Descriptors): Promise<IsoTree> {
  const skippedBytes = await rockRidgeOf(volume, primary);
  if (skippedBytes !== undefined) return treeAt('Rock Ridge', primary, skippedBytes);
  return joliet === undefined ? treeAt('plain', primary, 0) : treeAt('Joliet', joliet, 0);
}

function treeAt(kind: NameKind, { root, blockBytes }: Descriptor, skippedBytes: number): IsoTree {
  return { kind, rootAt: root.extentAt, rootBytes: root.dataLength, blockBytes, skippedBytes };
}

/**
 * How many bytes of each system use area come before its entries, when the volume has Rock Ridge: the
 * root's own record begins with SP (P1281 5.3), behind 14 bytes of their own on CD-ROM XA, and names
 * the extension (ER) or uses it (PX).
 */
async function rockRidgeOf(volume: Volume, primary: Descriptor): Promise<number | undefined> {
  const { extentAt } = primary.root;
  if (extentAt + SECTOR_BYTES > volume.metadata.size) return undefined;
  try {
    const sector = await bytesAt(volume.metadata, extentAt, SECTOR_BYTES);
    const record = recordAt(sector, 0, extentAt, primary.blockBytes);
    if (record === undefined) return undefined;
    for (const skipped of [0, XA_BYTES]) {
      const area = record.systemUse.subarray(skipped);
      if (area.length < 7 || area[0] !== 0x53 || area[1] !== 0x50) continue;
      const view = new DataView(area.buffer, area.byteOffset, area.byteLength);
      if (SharingProtocol.check(view) !== SP_CHECK) continue;
      const records = new Records(volume, treeAt('Rock Ridge', primary, skipped));
      const use = await records.systemUseOf(record, undefined);
      const isUsed = use.isRockRidge || use.posix !== undefined;
      return isUsed ? SharingProtocol.skipped(view) : undefined;
    }
  } catch (error) {
    // The root is read again when it is listed, and its damage told then.
    if (!isRestoreError(error, 'CORRUPT')) throw error;
  }
  return undefined;
}

const XA_BYTES = 14;
/** The room for a label in UCS-2. */
const JOLIET_LABEL_UNITS = 16;

/** Joliet's label, made longer by what of the plain one did not fit, as `blkid` has it. */
function labelOf({ primary, joliet }: Descriptors): string {
  if (joliet === undefined || joliet.label === '') return primary.label;
  const units = [...joliet.label];
  const isCut = units.length === JOLIET_LABEL_UNITS && primary.label.length > units.length;
  const isSame = units.every((unit, index) => {
    const plain = primary.label.charAt(index);
    return plain === '_' || plain.toUpperCase() === unit.toUpperCase();
  });
  return isCut && isSame ? joliet.label + primary.label.slice(units.length) : joliet.label;
}
