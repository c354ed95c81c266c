import { layout, RestoreError, type SparseSource } from '../../../core/index.ts';
import { bytesAt } from '../bytes-at.ts';
import {
  DESCRIPTOR,
  FIRST_DESCRIPTOR_SECTOR,
  ROOT_RECORD_AT,
  SECTOR_BYTES,
  STANDARD_IDENTIFIER,
  VolumeDescriptor,
} from './layout.ts';
import { bigEndianText } from './names.ts';
import { recordAt, type RawRecord } from './record.ts';
import { timeIdentity } from './times.ts';

/** What one of a volume's trees begins with. */
export interface Descriptor {
  readonly blockBytes: number;
  readonly totalBytes: number;
  readonly root: RawRecord;
  readonly label: string;
  readonly uuid: string;
}

export interface Descriptors {
  readonly primary: Descriptor;
  readonly joliet: Descriptor | undefined;
}

const DESCRIPTORS_MAX = 100;
const BLOCK_SIZES: readonly number[] = [512, 1024, 2048];
/** Joliet: UCS-2 of level 1, 2 or 3. */
const JOLIET_ESCAPES: readonly string[] = ['%/@', '%/C', '%/E'];

/** True when a primary descriptor is where it belongs (ECMA-119 8.1). */
export async function hasPrimary(volume: SparseSource): Promise<boolean> {
  const sector = await descriptorAt(volume, FIRST_DESCRIPTOR_SECTOR);
  return sector !== undefined;
}

/** @throws RestoreError `CORRUPT` when the primary one is missing or contradicts itself. */
export async function readDescriptors(volume: SparseSource): Promise<Descriptors> {
  let primary: Descriptor | undefined;
  let joliet: Descriptor | undefined;
  for (let index = 0; index < DESCRIPTORS_MAX; index += 1) {
    const number = FIRST_DESCRIPTOR_SECTOR + index;
    const sector = await descriptorAt(volume, number);
    if (sector === undefined) break;
    const view = layout.viewOf(sector);
    const type = VolumeDescriptor.type(view);
    if (type === DESCRIPTOR.terminator) break;
    if (type === DESCRIPTOR.primary) primary ??= parse(sector, number, false);
    if (type === DESCRIPTOR.supplementary && isJoliet(view)) joliet ??= parse(sector, number, true);
  }
  if (primary !== undefined) return { primary, joliet };
  throw new RestoreError('CORRUPT', 'the primary volume descriptor is missing', {
    where: { structure: 'volume descriptors', offset: FIRST_DESCRIPTOR_SECTOR * SECTOR_BYTES },
  });
}

async function descriptorAt(volume: SparseSource, sector: number): Promise<Uint8Array | undefined> {
  const at = sector * SECTOR_BYTES;
  if (at + SECTOR_BYTES > volume.size) return undefined;
  const bytes = await bytesAt(volume, at, SECTOR_BYTES);
  const isOne = VolumeDescriptor.identifier(layout.viewOf(bytes)) === STANDARD_IDENTIFIER;
  return isOne ? bytes : undefined;
}

function isJoliet(view: DataView): boolean {
  const escape = String.fromCharCode(...VolumeDescriptor.escapeSequences(view));
  return VolumeDescriptor.version(view) === 1 && JOLIET_ESCAPES.includes(escape);
}

function parse(sector: Uint8Array, number: number, isWide: boolean): Descriptor {
  const view = layout.viewOf(sector);
  const sectorAt = number * SECTOR_BYTES;
  const blockBytes = VolumeDescriptor.logicalBlockSize(view);
  const big = VolumeDescriptor.logicalBlockSizeBig(view);
  if (!BLOCK_SIZES.includes(blockBytes) || (big !== blockBytes && big !== 0)) {
    throw new RestoreError('CORRUPT', 'a volume descriptor states an impossible block size', {
      where: {
        structure: 'Logical Block Size',
        offset: sectorAt + 128,
        found: `${blockBytes}, ${big}`,
      },
    });
  }
  const root = recordAt(sector, ROOT_RECORD_AT, sectorAt, blockBytes);
  if (root === undefined || root.error !== undefined) {
    throw (
      root?.error ??
      new RestoreError('CORRUPT', 'a volume descriptor has no root directory', {
        where: {
          structure: 'Directory Record for Root Directory',
          offset: sectorAt + ROOT_RECORD_AT,
        },
      })
    );
  }
  const label = VolumeDescriptor.volumeIdentifier(view);
  return {
    blockBytes,
    totalBytes: VolumeDescriptor.volumeSpaceSize(view) * blockBytes,
    root,
    label: trimmed(isWide ? bigEndianText(label) : String.fromCharCode(...label)),
    uuid:
      timeIdentity(VolumeDescriptor.modificationTime(view)) ||
      timeIdentity(VolumeDescriptor.creationTime(view)),
  };
}

/** Padded by blanks, by some writers with zeros. */
function trimmed(label: string): string {
  const end = label.indexOf('\0');
  return (end < 0 ? label : label.slice(0, end)).trimEnd();
}
