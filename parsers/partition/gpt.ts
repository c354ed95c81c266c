/** One copy of a GUID partition table: UEFI 2.10, section 5.3. */
import { crc32 } from 'node:zlib';
import {
  type BlockSource,
  isRestoreError,
  layout,
  readBytes,
  RestoreError,
  type SectorSize,
} from '../../core/index.ts';

const SIGNATURE = 'EFI PART';
const HEADER_BYTES_MIN = 92;
const ENTRIES_MAX = 1024;
const ENTRY_BYTES_MIN = 128;
const ENTRY_BYTES_MAX = 4096;
export const GUID_BYTES = 16;
/** Offsets of what a new identity replaces: in the header, and in an entry. */
export const DISK_GUID_AT = 56;
export const UNIQUE_GUID_AT = 16;
const HEADER_CRC_AT = 16;
const ARRAY_CRC_AT = 88;

/** Section 5.3.2, table 5.5. */
const Header = {
  signature: layout.text(0, 8, 'latin1'),
  headerSize: layout.u32le(12),
  headerCrc: layout.u32le(HEADER_CRC_AT),
  myLba: layout.u64le(24),
  alternateLba: layout.u64le(32),
  diskGuid: layout.bytes(DISK_GUID_AT, GUID_BYTES),
  entriesLba: layout.u64le(72),
  entryCount: layout.u32le(80),
  entryBytes: layout.u32le(84),
  arrayCrc: layout.u32le(ARRAY_CRC_AT),
} as const;

/** One of the two copies, as whole sectors that can be changed and written back. */
export interface GptCopy {
  readonly sectorSize: SectorSize;
  readonly lba: number;
  readonly alternateLba: number;
  readonly headerOffset: number;
  readonly header: Uint8Array;
  readonly headerSize: number;
  readonly diskGuid: Uint8Array;
  readonly arrayOffset: number;
  readonly array: Uint8Array;
  readonly arrayBytes: number;
  readonly entryBytes: number;
}

/** What stands where a copy should: itself as far as it makes sense, and what is wrong with it. */
export interface InspectedCopy {
  readonly copy: GptCopy | undefined;
  /** Its signature stands there; where the sector cannot be read at all, nothing speaks for a copy. */
  readonly isThere: boolean;
  /** `CORRUPT` and `UNSUPPORTED`; a copy without any is sound. */
  readonly problems: readonly RestoreError[];
}

/**
 * Looks at the copy whose header is the sector `lba`.
 *
 * @returns `undefined` when no header begins there.
 */
export async function inspectGptCopy(
  disk: BlockSource,
  lba: number,
  sectorSize: SectorSize = disk.sectorSize,
): Promise<InspectedCopy | undefined> {
  const headerOffset = lba * sectorSize;
  if (!(headerOffset >= 0 && headerOffset + sectorSize <= disk.size)) return undefined;
  const problems: RestoreError[] = [];
  let isThere = false;
  try {
    const header = await readBytes(disk, headerOffset, sectorSize);
    if (Header.signature(layout.viewOf(header)) !== SIGNATURE) return undefined;
    isThere = true;
    const copy = await readParts(disk, { lba, header, headerOffset, sectorSize }, problems);
    return { copy, isThere, problems };
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT') && !isRestoreError(error, 'UNSUPPORTED')) throw error;
    return { copy: undefined, isThere, problems: [...problems, error] };
  }
}

/** Puts right both checksums, after the header or the array have been changed. */
export function seal({ header, headerSize, array, arrayBytes }: GptCopy): void {
  const view = layout.viewOf(header);
  view.setUint32(ARRAY_CRC_AT, crc32(array.subarray(0, arrayBytes)), true);
  view.setUint32(HEADER_CRC_AT, 0, true);
  view.setUint32(HEADER_CRC_AT, crc32(header.subarray(0, headerSize)), true);
}

/** @throws RestoreError `CORRUPT`: the partition table is damaged. */
export function damagedGpt(
  structure: string,
  offset: number,
  expected: string,
  found: string,
): RestoreError {
  return new RestoreError('CORRUPT', 'the partition table is damaged', {
    where: { structure, offset, expected, found },
    hint: 'Nothing was changed. Repair the table on a writable copy (sgdisk --verify), or attach the copy without a new identity.',
  });
}

interface Place {
  readonly lba: number;
  readonly header: Uint8Array;
  readonly headerOffset: number;
  readonly sectorSize: SectorSize;
}

/** Gathers what can be lived with in `problems`, and throws the rest. */
async function readParts(
  disk: BlockSource,
  { lba, header, headerOffset, sectorSize }: Place,
  problems: RestoreError[],
): Promise<GptCopy> {
  const which = lba === 1 ? 'primary GPT' : 'backup GPT';
  const view = layout.viewOf(header);
  const headerSize = Header.headerSize(view);
  if (headerSize < HEADER_BYTES_MIN || headerSize > sectorSize) {
    throw damagedGpt(which, headerOffset, `a header of ${HEADER_BYTES_MIN} bytes`, `${headerSize}`);
  }
  const found = headerChecksum(header, headerSize);
  const expected = Header.headerCrc(view);
  if (found !== expected) {
    problems.push(damagedGpt(which, headerOffset, `checksum ${expected}`, `${found}`));
  }
  const myLba = Header.myLba(view);
  if (myLba !== lba) {
    problems.push(damagedGpt(which, headerOffset, `sector ${lba}`, `sector ${myLba}`));
  }
  const { entryBytes, arrayBytes } = dimensions(view, which, headerOffset);
  const arrayOffset = Header.entriesLba(view) * sectorSize;
  const stored = Math.ceil(arrayBytes / sectorSize) * sectorSize;
  if (arrayOffset < 2 * sectorSize || arrayOffset + stored > disk.size) {
    throw damagedGpt(which, headerOffset, 'entries inside the disk', `offset ${arrayOffset}`);
  }
  const array = await readBytes(disk, arrayOffset, stored);
  const arrayCrc = crc32(array.subarray(0, arrayBytes));
  if (arrayCrc !== Header.arrayCrc(view)) {
    const wanted = `checksum ${Header.arrayCrc(view)}`;
    problems.push(damagedGpt(which, arrayOffset, wanted, `${arrayCrc}`));
  }
  return {
    ...{ sectorSize, lba, alternateLba: Header.alternateLba(view), headerOffset, header },
    ...{ headerSize, diskGuid: Header.diskGuid(view).slice() },
    ...{ arrayOffset, array, arrayBytes, entryBytes },
  };
}

function headerChecksum(header: Uint8Array, headerSize: number): number {
  const unsealed = header.slice(0, headerSize);
  layout.viewOf(unsealed).setUint32(HEADER_CRC_AT, 0, true);
  return crc32(unsealed);
}

function dimensions(
  view: DataView,
  which: string,
  offset: number,
): { entryBytes: number; arrayBytes: number } {
  const entryBytes = Header.entryBytes(view);
  const entryCount = Header.entryCount(view);
  const isKnown =
    entryBytes >= ENTRY_BYTES_MIN && entryBytes <= ENTRY_BYTES_MAX && entryBytes % 8 === 0;
  if (isKnown && entryCount <= ENTRIES_MAX) {
    return { entryBytes, arrayBytes: entryCount * entryBytes };
  }
  throw new RestoreError('UNSUPPORTED', 'a partition table of unusual dimensions', {
    where: {
      ...{ structure: which, offset },
      expected: `at most ${ENTRIES_MAX} entries of ${ENTRY_BYTES_MIN} to ${ENTRY_BYTES_MAX} bytes`,
      found: `${entryCount} of ${entryBytes}`,
    },
  });
}
