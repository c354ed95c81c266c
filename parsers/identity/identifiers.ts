/** What names itself by an identifier that a second copy would repeat. Bytes only, and few. */
import { type BlockSource, borrowed, slice } from '../../core/index.ts';
import { isLocal, readGroupStates } from '../volume/lvm/copies.ts';
import { readLvmLabel } from '../volume/lvm/label.ts';
import { findSignatures } from '../volume/signatures/find-signatures.ts';

/** An identifier found in a partition. */
export interface FoundIdentifier {
  readonly kind: string;
  readonly name: string;
  readonly value: string;
}

/** Kinds as the report calls them, where that is not the signature's own word. */
const KINDS: Readonly<Record<string, string>> = {
  ext2: 'ext2/3/4',
  ext3: 'ext2/3/4',
  ext4: 'ext2/3/4',
  FAT12: 'FAT',
  FAT16: 'FAT',
  FAT32: 'FAT',
  'MD RAID': 'md RAID',
};
const SERIAL_NUMBERS: ReadonlySet<string> = new Set(['NTFS', 'exFAT', 'FAT']);

/**
 * Identifiers of what begins at `offset`: one for most kinds, two for LVM.
 *
 * @throws RestoreError `CORRUPT` when the bytes cannot be read, as the disk does.
 */
export async function findIdentifiers(
  disk: BlockSource,
  offset: number,
  length: number,
): Promise<FoundIdentifier[]> {
  const volume = slice(borrowed(disk), offset, Math.min(length, disk.size - offset));
  const found: FoundIdentifier[] = [];
  for (const { type, kind: contentKind, uuid } of await findSignatures(volume)) {
    if (contentKind === 'physical volume') found.push(...(await lvmIdentifiers(volume, uuid)));
    else if (uuid !== '') {
      const kind = KINDS[type] ?? type;
      found.push({ kind, name: SERIAL_NUMBERS.has(kind) ? 'serial number' : 'UUID', value: uuid });
    }
  }
  return found;
}

async function lvmIdentifiers(volume: BlockSource, uuid: string): Promise<FoundIdentifier[]> {
  const found = [{ kind: 'LVM', name: 'physical volume UUID', value: uuid }];
  try {
    const label = await readLvmLabel(volume);
    if (label === undefined) return found;
    const { states } = await readGroupStates([{ volume: '', disk: '', source: volume, label }]);
    const groups = states.map(({ group }) => ({
      ...{ kind: 'LVM', name: `UUID of volume group ${group.name}`, value: group.uuid },
    }));
    return [...found, ...groups];
  } catch (error) {
    if (!isLocal(error)) throw error;
    return found;
  }
}
