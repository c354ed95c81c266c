/** Master boot records, extended partitions included: UEFI 2.10, section 5.2. */
import { type BlockSource, layout, readBytes } from '../../core/index.ts';

/** Where a partition lies; a length of 0 for one that is not inside the disk. */
export interface PartitionRange {
  readonly number: number;
  readonly offset: number;
  readonly length: number;
}

export interface Mbr {
  /** The first sector, which can be changed and written back. */
  readonly sector: Uint8Array;
  /** Announces a GPT. */
  readonly isProtective: boolean;
  readonly signature: number;
  readonly partitions: readonly PartitionRange[];
}

export const SIGNATURE_AT = 440;
const MAGIC = 0xaa55;
const ENTRIES_AT = 446;
const ENTRY_BYTES = 16;
const TYPE_PROTECTIVE = 0xee;
const TYPES_EXTENDED: ReadonlySet<number> = new Set([0x05, 0x0f, 0x85]);
/** More logical partitions than any system makes; also ends a chain that goes in circles. */
const LOGICAL_MAX = 64;

const Sector = { signature: layout.u32le(SIGNATURE_AT), magic: layout.u16le(510) } as const;
const Entry = {
  status: layout.u8(0),
  type: layout.u8(4),
  firstSector: layout.u32le(8),
  sectors: layout.u32le(12),
} as const;

interface EntryFields {
  readonly status: number;
  readonly type: number;
  readonly first: number;
  readonly count: number;
}

/** The disk's boot record; `undefined` where there is none. */
export async function readMbr(disk: BlockSource): Promise<Mbr | undefined> {
  if (disk.size < 2 * disk.sectorSize) return undefined;
  const sector = await readBytes(disk, 0, disk.sectorSize);
  const entries = entriesOf(sector);
  if (entries === undefined) return undefined;
  const partitions: PartitionRange[] = [];
  for (const [index, { type, first, count }] of entries.entries()) {
    if (type === 0 || count === 0) continue;
    if (TYPES_EXTENDED.has(type)) partitions.push(...(await logicalPartitions(disk, first)));
    else partitions.push(range(disk, index + 1, first, count));
  }
  return {
    sector,
    isProtective: entries.some(({ type }) => type === TYPE_PROTECTIVE),
    signature: Sector.signature(layout.viewOf(sector)),
    partitions,
  };
}

/** What lies in an extended partition: a chain of boot records, each with one partition. */
async function logicalPartitions(disk: BlockSource, start: number): Promise<PartitionRange[]> {
  const found: PartitionRange[] = [];
  let at = start;
  for (let number = 5; number < 5 + LOGICAL_MAX; number += 1) {
    const offset = at * disk.sectorSize;
    if (offset + disk.sectorSize > disk.size) break;
    const [own, next] = entriesOf(await readBytes(disk, offset, disk.sectorSize)) ?? [];
    if (own === undefined || own.type === 0) break;
    found.push(range(disk, number, at + own.first, own.count));
    if (next === undefined || next.type === 0) break;
    at = start + next.first;
  }
  return found;
}

function entriesOf(sector: Uint8Array): EntryFields[] | undefined {
  const view = layout.viewOf(sector);
  if (Sector.magic(view) !== MAGIC) return undefined;
  const entries = Array.from({ length: 4 }, (_, index) => {
    const at = ENTRIES_AT + index * ENTRY_BYTES;
    return {
      status: Entry.status(view, at),
      type: Entry.type(view, at),
      first: Entry.firstSector(view, at),
      count: Entry.sectors(view, at),
    };
  });
  // Boot sectors of file systems end alike, with code where a table would be.
  return entries.every(({ status }) => (status & 0x7f) === 0) ? entries : undefined;
}

function range(disk: BlockSource, number: number, first: number, count: number): PartitionRange {
  const offset = first * disk.sectorSize;
  const length = count * disk.sectorSize;
  const isInside = offset > 0 && offset + length <= disk.size;
  return { number, offset, length: isInside ? length : 0 };
}
