import { layout, readBytes, type SectorSize } from '../../../core/index.ts';
import { corrupt, isPowerOfTwo, needBetween, unsupported } from '../checks.ts';
import type { ImageFile } from '../image.ts';
import {
  ENTRY_COUNT_LIMIT,
  hasSignature,
  ITEMS,
  LOCATOR_ENTRIES_AT,
  LOCATOR_ENTRY_BYTES,
  LOCATOR_TYPE_VHDX,
  Locator,
  LocatorEntry,
  METADATA_ENTRY_BYTES,
  METADATA_REQUIRED,
  METADATA_SIGNATURE,
  METADATA_TABLE_BYTES,
  MetadataEntry,
  MetadataTable,
  MIB,
  PARAMETER_FIXED,
  PARAMETER_HAS_PARENT,
} from './layout.ts';
import type { VhdxRegion } from './regions.ts';

const SIZE_LIMIT_BYTES = 64 * 2 ** 40;
const BLOCK_LIMIT_BYTES = 256 * MIB;

export interface VhdxMetadata {
  readonly size: number;
  readonly blockBytes: number;
  readonly sectorSize: SectorSize;
  readonly fixed: boolean;
  /** The parent locator's keys and values; `undefined` when the disk has no parent. */
  readonly parentLocator: ReadonlyMap<string, string> | undefined;
}

type Items = ReadonlyMap<string, DataView>;

/**
 * @see [MS-VHDX] section 2.6
 * @throws RestoreError `CORRUPT`, `UNSUPPORTED` for a required item that is not known.
 */
export async function readMetadata(file: ImageFile, region: VhdxRegion): Promise<VhdxMetadata> {
  const items = await readItems(file, region);
  const parameters = need(file, items, 'fileParameters');
  const blockBytes = layout.u32le(0)(parameters);
  const flags = layout.u32le(4)(parameters);
  needBetween(file, 'metadata item File Parameters, BlockSize', blockBytes, MIB, BLOCK_LIMIT_BYTES);
  if (!isPowerOfTwo(blockBytes)) {
    throw corrupt(file, 'the block size is not a power of two', {
      structure: 'metadata item File Parameters, BlockSize',
      found: blockBytes,
    });
  }
  const sectorSize = layout.u32le(0)(need(file, items, 'logicalSectorSize'));
  if (sectorSize !== 512 && sectorSize !== 4096) {
    throw corrupt(file, 'the sector size is impossible', {
      structure: 'metadata item Logical Sector Size',
      expected: '512 or 4096',
      found: sectorSize,
    });
  }
  const size = layout.u64le(0)(need(file, items, 'virtualDiskSize'));
  needBetween(file, 'metadata item Virtual Disk Size', size, 0, SIZE_LIMIT_BYTES);
  needBetween(file, 'metadata item Virtual Disk Size modulo sector size', size % sectorSize, 0, 0);
  const hasParent = (flags & PARAMETER_HAS_PARENT) !== 0;
  return {
    size,
    blockBytes,
    sectorSize,
    fixed: (flags & PARAMETER_FIXED) !== 0,
    parentLocator: hasParent ? parseLocator(file, need(file, items, 'parentLocator')) : undefined,
  };
}

async function readItems(file: ImageFile, region: VhdxRegion): Promise<Items> {
  needBetween(file, 'metadata region length', region.length, METADATA_TABLE_BYTES, 2 ** 32);
  const table = layout.viewOf(await readBytes(file.source, region.at, METADATA_TABLE_BYTES));
  if (!hasSignature(table, 0, METADATA_SIGNATURE)) {
    throw corrupt(file, 'the metadata table is missing', {
      structure: 'metadata table',
      offset: region.at,
      expected: METADATA_SIGNATURE,
      found: JSON.stringify(layout.text(0, 8, 'latin1')(table)),
    });
  }
  const items = new Map<string, DataView>();
  const count = MetadataTable.entryCount(table);
  needBetween(file, 'metadata table field EntryCount', count, 0, ENTRY_COUNT_LIMIT);
  for (let index = 1; index <= count; index += 1) {
    const at = index * METADATA_ENTRY_BYTES;
    const id = MetadataEntry.itemId(table, at);
    if (Object.values<string>(ITEMS).includes(id)) {
      items.set(id, await readItem(file, region, table, at));
    } else if ((MetadataEntry.flags(table, at) & METADATA_REQUIRED) !== 0) {
      throw unsupported(file, 'the image has required metadata that is not known', {
        structure: 'metadata table entry',
        offset: region.at + at,
        found: id,
      });
    }
  }
  return items;
}

async function readItem(
  file: ImageFile,
  region: VhdxRegion,
  table: DataView,
  at: number,
): Promise<DataView> {
  const offset = MetadataEntry.offset(table, at);
  const length = MetadataEntry.length(table, at);
  needBetween(file, 'metadata item length', length, 0, MIB);
  needBetween(file, 'metadata item end', offset + length, 0, region.length);
  return layout.viewOf(await readBytes(file.source, region.at + offset, length));
}

function need(file: ImageFile, items: Items, name: keyof typeof ITEMS): DataView {
  const item = items.get(ITEMS[name]);
  if (item !== undefined) return item;
  throw corrupt(file, 'the image lacks a metadata item', {
    structure: 'metadata table',
    expected: `${name} (${ITEMS[name]})`,
    found: 'none',
  });
}

/** Section 2.6.2.6 */
function parseLocator(file: ImageFile, item: DataView): ReadonlyMap<string, string> {
  if (Locator.type(item) !== LOCATOR_TYPE_VHDX) {
    throw unsupported(file, 'the parent is not a VHDX file', {
      structure: 'parent locator field LocatorType',
      expected: LOCATOR_TYPE_VHDX,
      found: Locator.type(item),
    });
  }
  const pairs = new Map<string, string>();
  for (let index = 0; index < Locator.keyValueCount(item); index += 1) {
    const at = LOCATOR_ENTRIES_AT + index * LOCATOR_ENTRY_BYTES;
    const text = (offset: number, length: number) => layout.text(offset, length, 'utf-16le')(item);
    const key = text(LocatorEntry.keyOffset(item, at), LocatorEntry.keyLength(item, at));
    pairs.set(key, text(LocatorEntry.valueOffset(item, at), LocatorEntry.valueLength(item, at)));
  }
  return pairs;
}
