import { layout, readBytes } from '../../../core/index.ts';
import { corrupt, needBetween, needInside, unsupported } from '../checks.ts';
import type { ImageFile } from '../image.ts';
import { checksumIsRight } from './checksum.ts';
import {
  ENTRY_COUNT_LIMIT,
  hasSignature,
  MIB,
  REGION_ENTRIES_AT,
  REGION_ENTRY_BYTES,
  REGION_SIGNATURE,
  REGION_TABLE_BYTES,
  REGION_TABLES_AT,
  REGIONS,
  Region,
  RegionTable,
} from './layout.ts';

export interface VhdxRegion {
  readonly at: number;
  readonly length: number;
}

/**
 * The places of the BAT and of the metadata.
 *
 * @see [MS-VHDX] section 2.2.3
 * @throws RestoreError `CORRUPT`, `UNSUPPORTED` for a required region that is not known.
 */
export async function readRegions(
  file: ImageFile,
): Promise<Readonly<Record<keyof typeof REGIONS, VhdxRegion>>> {
  const { view, at: tableAt } = await soundTable(file);
  const found = new Map<string, VhdxRegion>();
  const count = RegionTable.entryCount(view);
  needBetween(file, 'region table field EntryCount', count, 0, ENTRY_COUNT_LIMIT);
  for (let index = 0; index < count; index += 1) {
    const at = REGION_ENTRIES_AT + index * REGION_ENTRY_BYTES;
    const guid = Region.guid(view, at);
    const known = Object.values<string>(REGIONS).includes(guid);
    if (!known && (Region.required(view, at) & 1) === 0) continue;
    if (!known) {
      throw unsupported(file, 'the image has a required region that is not known', {
        structure: 'region table entry',
        offset: tableAt + at,
        found: guid,
      });
    }
    const region = { at: Region.fileOffset(view, at), length: Region.length(view, at) };
    needBetween(file, 'region offset modulo 1 MiB', region.at % MIB, 0, 0);
    needBetween(file, 'region offset', region.at, MIB, Number.MAX_SAFE_INTEGER);
    needInside(file, 'region', region.at, region.length);
    if (found.has(guid)) {
      throw corrupt(file, 'a region is named twice', { structure: 'region table', found: guid });
    }
    found.set(guid, region);
  }
  return { bat: need(file, found, 'bat'), metadata: need(file, found, 'metadata') };
}

function need(
  file: ImageFile,
  found: ReadonlyMap<string, VhdxRegion>,
  name: keyof typeof REGIONS,
): VhdxRegion {
  const region = found.get(REGIONS[name]);
  if (region !== undefined) return region;
  throw corrupt(file, 'the image lacks a region', {
    structure: 'region table',
    expected: `a ${name} region`,
    found: 'none',
  });
}

async function soundTable(file: ImageFile): Promise<{ view: DataView; at: number }> {
  for (const at of REGION_TABLES_AT) {
    const bytes = await readBytes(file.source, at, REGION_TABLE_BYTES);
    const view = layout.viewOf(bytes);
    if (hasSignature(view, 0, REGION_SIGNATURE) && checksumIsRight(bytes)) return { view, at };
  }
  throw corrupt(file, 'both region tables are missing or damaged', {
    structure: 'region table',
    offset: REGION_TABLES_AT[0],
    expected: `"${REGION_SIGNATURE}" and a right checksum, here or at offset ${REGION_TABLES_AT[1]}`,
    found: 'neither',
  });
}
