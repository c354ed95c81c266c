/** Master boot records, extended partitions included: UEFI 2.10, section 5.2. */
import {
  type BlockSource,
  type Finding,
  isRestoreError,
  layout,
  readBytes,
  type SectorSize,
} from '../../core/index.ts';
import type { PartitionRange } from './partition.ts';

export interface MbrPartition extends PartitionRange {
  readonly type: number;
}

export interface Mbr {
  /** The first sector, which can be changed and written back. */
  readonly sector: Uint8Array;
  /** Announces a GPT. */
  readonly isProtective: boolean;
  readonly signature: number;
  /** What an entry covers that only announces a GPT or holds logical partitions is not among them. */
  readonly partitions: readonly MbrPartition[];
  readonly findings: readonly Finding[];
}

export const SIGNATURE_AT = 440;
const MAGIC = 0xaa55;
const ENTRIES_AT = 446;
const ENTRY_BYTES = 16;
const TYPE_PROTECTIVE = 0xee;
const TYPES_EXTENDED: ReadonlySet<number> = new Set([0x05, 0x0f, 0x85]);
/** More logical partitions than any system makes. */
const LOGICAL_MAX = 128;
/** Boot records of one chain; Linux gives up after 100 without a partition. */
const CHAIN_MAX = 256;
const FIRST_LOGICAL = 5;

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

/**
 * The disk's boot record; `undefined` where there is none. Damage in a chain of logical partitions is
 * a finding.
 */
export async function readMbr(
  disk: BlockSource,
  sectorSize: SectorSize = disk.sectorSize,
): Promise<Mbr | undefined> {
  if (disk.size < 2 * sectorSize) return undefined;
  const sector = await readBytes(disk, 0, sectorSize);
  const entries = entriesOf(sector);
  if (entries === undefined || !entries.every(hasSoundStatus)) return undefined;
  const reader = new MbrReader(disk, sectorSize);
  for (const [index, entry] of entries.entries()) {
    if (entry.count === 0 || entry.type === TYPE_PROTECTIVE) continue;
    if (TYPES_EXTENDED.has(entry.type)) await reader.addLogical(entry.first, entry.count);
    else reader.add(index + 1, entry.first, entry);
  }
  return {
    sector,
    isProtective: entries.some(({ type }) => type === TYPE_PROTECTIVE),
    signature: Sector.signature(layout.viewOf(sector)),
    partitions: reader.partitions.sort((a, b) => a.number - b.number),
    findings: reader.findings,
  };
}

class MbrReader {
  readonly partitions: MbrPartition[] = [];
  readonly findings: Finding[] = [];
  readonly #disk: BlockSource;
  readonly #sectorSize: SectorSize;
  #nextLogical = FIRST_LOGICAL;

  constructor(disk: BlockSource, sectorSize: SectorSize) {
    this.#disk = disk;
    this.#sectorSize = sectorSize;
  }

  add(number: number, first: number, { type, count }: EntryFields): void {
    const offset = first * this.#sectorSize;
    const length = count * this.#sectorSize;
    const isInside = offset + length <= this.#disk.size;
    this.partitions.push({ number, offset, length, isInside, type });
  }

  /**
   * What lies in an extended partition: a chain of boot records. Each names partitions relative to
   * itself and the next record relative to the extended partition; numbers are given as Linux
   * (block/partitions/msdos.c, `parse_extended`) gives them.
   */
  async addLogical(start: number, count: number): Promise<void> {
    const visited = new Set<number>();
    let at = start;
    let recordCount = count;
    for (let links = 0; links < CHAIN_MAX; links += 1) {
      if (visited.has(at)) return this.#note('the chain of logical partitions is a circle', at);
      visited.add(at);
      const entries = await this.#extendedRecord(at);
      if (entries === undefined) return;
      for (const [index, entry] of entries.entries()) {
        if (entry.count === 0 || TYPES_EXTENDED.has(entry.type)) continue;
        if (index >= 2 && !isWithin(entry, at, recordCount, start, count)) continue;
        if (this.#nextLogical >= FIRST_LOGICAL + LOGICAL_MAX) {
          return this.#note(`there are more than ${LOGICAL_MAX} logical partitions`, at);
        }
        this.add(this.#nextLogical, at + entry.first, entry);
        this.#nextLogical += 1;
      }
      const next = entries.find(({ type, count: size }) => size > 0 && TYPES_EXTENDED.has(type));
      if (next === undefined) return;
      at = start + next.first;
      recordCount = next.count;
    }
    this.#note(`the chain of logical partitions has more than ${CHAIN_MAX} records`, at);
  }

  async #extendedRecord(at: number): Promise<EntryFields[] | undefined> {
    const offset = at * this.#sectorSize;
    if (offset + this.#sectorSize > this.#disk.size) {
      this.#note('the chain of logical partitions leaves the disk', at);
      return undefined;
    }
    try {
      const entries = entriesOf(await readBytes(this.#disk, offset, this.#sectorSize));
      if (entries === undefined) this.#note('a record of the chain is not a boot record', at);
      return entries;
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      this.#note(`a record of the chain cannot be read: ${error.message}`, at);
      return undefined;
    }
  }

  #note(what: string, sector: number): void {
    this.findings.push({
      message: `${what}; logical partitions behind it are not known`,
      where: { structure: 'extended boot record', offset: sector * this.#sectorSize },
    });
  }
}

/** The third and fourth entry of a chained record hold rubbish sometimes: Linux takes what fits. */
function isWithin(
  entry: EntryFields,
  at: number,
  recordCount: number,
  start: number,
  count: number,
): boolean {
  if (entry.first + entry.count > recordCount) return false;
  return at + entry.first >= start && at + entry.first + entry.count <= start + count;
}

function entriesOf(sector: Uint8Array): EntryFields[] | undefined {
  const view = layout.viewOf(sector);
  if (Sector.magic(view) !== MAGIC) return undefined;
  return Array.from({ length: 4 }, (_, index) => {
    const at = ENTRIES_AT + index * ENTRY_BYTES;
    return {
      status: Entry.status(view, at),
      type: Entry.type(view, at),
      first: Entry.firstSector(view, at),
      count: Entry.sectors(view, at),
    };
  });
}

/** Boot sectors of file systems end alike, with code where a table would be. */
function hasSoundStatus({ status }: EntryFields): boolean {
  return (status & 0x7f) === 0;
}
