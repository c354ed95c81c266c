/** GUID partition tables: UEFI 2.10, section 5.3. */
import { crc32 } from 'node:zlib';
import { type BlockSource, layout, RestoreError, readBytes } from '../../core/index.ts';
import type { PartitionRange } from './mbr.ts';

const SIGNATURE = 'EFI PART';
const HEADER_BYTES_MIN = 92;
const ENTRIES_MAX = 1024;
const ENTRY_BYTES_MAX = 4096;
export const GUID_BYTES = 16;
/** Offsets of what is replaced: in the header, and in an entry. */
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

/** Section 5.3.3, table 5.6. */
const Entry = {
  typeGuid: layout.bytes(0, GUID_BYTES),
  firstLba: layout.u64le(32),
  lastLba: layout.u64le(40),
} as const;

/** One of the two copies, as whole sectors that can be changed and written back. */
export interface GptCopy {
  readonly headerOffset: number;
  readonly header: Uint8Array;
  readonly headerSize: number;
  readonly arrayOffset: number;
  readonly array: Uint8Array;
  readonly arrayBytes: number;
  readonly entryBytes: number;
}

export interface Gpt {
  readonly primary: GptCopy;
  readonly backup: GptCopy;
  readonly diskGuid: Uint8Array;
  /** Entries that are in use, with their numbers from 1. */
  readonly partitions: readonly (PartitionRange & { readonly entryAt: number })[];
}

/**
 * Both copies, which must agree and check out in every respect.
 *
 * @throws RestoreError `CORRUPT`, `UNSUPPORTED`.
 */
export async function readGpt(disk: BlockSource): Promise<Gpt> {
  const { sectorSize } = disk;
  const primary = await readCopy(disk, 1);
  const backupLba = Header.alternateLba(layout.viewOf(primary.header));
  if (backupLba <= 1 || (backupLba + 1) * sectorSize > disk.size) {
    throw corrupt('GPT header', sectorSize, 'a backup inside the disk', `sector ${backupLba}`);
  }
  const backup = await readCopy(disk, backupLba);
  const [first, second] = [layout.viewOf(primary.header), layout.viewOf(backup.header)];
  const agree =
    Header.alternateLba(second) === 1 &&
    equal(Header.diskGuid(first), Header.diskGuid(second)) &&
    primary.entryBytes === backup.entryBytes &&
    equal(
      primary.array.subarray(0, primary.arrayBytes),
      backup.array.subarray(0, backup.arrayBytes),
    );
  if (!agree) {
    throw corrupt('backup GPT', backup.headerOffset, 'the same as the primary', 'another table');
  }
  const diskGuid = Header.diskGuid(first).slice();
  return { primary, backup, diskGuid, partitions: [...partitionsOf(disk, primary)] };
}

/** Puts right both checksums, after the header or the array have been changed. */
export function seal({ header, headerSize, array, arrayBytes }: GptCopy): void {
  const view = layout.viewOf(header);
  view.setUint32(ARRAY_CRC_AT, crc32(array.subarray(0, arrayBytes)), true);
  view.setUint32(HEADER_CRC_AT, 0, true);
  view.setUint32(HEADER_CRC_AT, crc32(header.subarray(0, headerSize)), true);
}

async function readCopy(disk: BlockSource, lba: number): Promise<GptCopy> {
  const { sectorSize } = disk;
  const headerOffset = lba * sectorSize;
  const which = lba === 1 ? 'primary GPT' : 'backup GPT';
  const header = await readBytes(disk, headerOffset, sectorSize);
  const view = layout.viewOf(header);
  const signature = Header.signature(view);
  if (signature !== SIGNATURE) throw corrupt(which, headerOffset, SIGNATURE, 'other bytes');
  const headerSize = Header.headerSize(view);
  if (headerSize < HEADER_BYTES_MIN || headerSize > sectorSize) {
    throw corrupt(which, headerOffset, `a header of ${HEADER_BYTES_MIN} bytes`, `${headerSize}`);
  }
  const unsealed = header.slice(0, headerSize);
  layout.viewOf(unsealed).setUint32(HEADER_CRC_AT, 0, true);
  const found = crc32(unsealed);
  const expected = Header.headerCrc(view);
  if (found !== expected) throw corrupt(which, headerOffset, `checksum ${expected}`, `${found}`);
  if (Header.myLba(view) !== lba) {
    throw corrupt(which, headerOffset, `sector ${lba}`, `sector ${Header.myLba(view)}`);
  }
  const entryBytes = Header.entryBytes(view);
  const entryCount = Header.entryCount(view);
  const isKnown = entryBytes >= 128 && entryBytes <= ENTRY_BYTES_MAX && entryBytes % 8 === 0;
  if (!isKnown || entryCount > ENTRIES_MAX) {
    throw new RestoreError('UNSUPPORTED', 'a partition table of unusual dimensions', {
      where: {
        structure: which,
        offset: headerOffset,
        expected: `at most ${ENTRIES_MAX} entries of 128 to ${ENTRY_BYTES_MAX} bytes`,
        found: `${entryCount} of ${entryBytes}`,
      },
    });
  }
  const arrayBytes = entryCount * entryBytes;
  const arrayOffset = Header.entriesLba(view) * sectorSize;
  const stored = Math.ceil(arrayBytes / sectorSize) * sectorSize;
  if (arrayOffset < 2 * sectorSize || arrayOffset + stored > disk.size) {
    throw corrupt(which, headerOffset, 'entries inside the disk', `offset ${arrayOffset}`);
  }
  const array = await readBytes(disk, arrayOffset, stored);
  const arrayCrc = crc32(array.subarray(0, arrayBytes));
  if (arrayCrc !== Header.arrayCrc(view)) {
    throw corrupt(which, arrayOffset, `checksum ${Header.arrayCrc(view)}`, `${arrayCrc}`);
  }
  return { headerOffset, header, headerSize, arrayOffset, array, arrayBytes, entryBytes };
}

function* partitionsOf(
  disk: BlockSource,
  { array, arrayBytes, entryBytes }: GptCopy,
): Generator<PartitionRange & { readonly entryAt: number }> {
  const view = layout.viewOf(array);
  for (let entryAt = 0; entryAt < arrayBytes; entryAt += entryBytes) {
    if (Entry.typeGuid(view, entryAt).every((byte) => byte === 0)) continue;
    const offset = Entry.firstLba(view, entryAt) * disk.sectorSize;
    const end = (Entry.lastLba(view, entryAt) + 1) * disk.sectorSize;
    const isInside = offset < end && end <= disk.size;
    yield {
      number: entryAt / entryBytes + 1,
      entryAt,
      offset: isInside ? offset : 0,
      length: isInside ? end - offset : 0,
    };
  }
}

function equal(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}

function corrupt(structure: string, offset: number, expected: string, found: string): RestoreError {
  return new RestoreError('CORRUPT', 'the partition table is damaged', {
    where: { structure, offset, expected, found },
    hint: 'Nothing was changed. Attach the copy without a new identity, or repair the table on it first (sgdisk --verify).',
  });
}
