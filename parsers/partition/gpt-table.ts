import {
  type BlockSource,
  type Finding,
  type RestoreError,
  type SectorSize,
} from '../../core/index.ts';
import { type GptCopy, type InspectedCopy, inspectGptCopy } from './gpt.ts';
import { type GptEntry, gptEntries } from './gpt-entries.ts';
import { formatGuid } from './guid.ts';
import type { Partition, PartitionTable } from './partition.ts';
import { nameOfGuid } from './types.ts';

const SECTOR_SIZES: readonly SectorSize[] = [512, 4096];

/**
 * A disk's GUID partition table, from whichever of its two copies can be trusted, or from what both
 * agree on. Looked for in the disk's own sectors first and in those of the other size then: an image
 * can come from a disk whose sectors were not those that the image claims.
 *
 * @returns `undefined` when there is neither copy.
 */
export async function readGptTable(disk: BlockSource): Promise<PartitionTable | undefined> {
  let second: PartitionTable | undefined;
  for (const sectorSize of new Set([disk.sectorSize, ...SECTOR_SIZES])) {
    const copies = await findCopies(disk, sectorSize);
    if (copies === undefined) continue;
    const table = tableFrom(disk, sectorSize, copies);
    if (table.partitions.length > 0 || isSound(copies.primary)) return table;
    second ??= table;
  }
  return second;
}

interface Copies {
  readonly primary: InspectedCopy | undefined;
  readonly backup: InspectedCopy | undefined;
}

async function findCopies(disk: BlockSource, sectorSize: SectorSize): Promise<Copies | undefined> {
  const primary = await inspectGptCopy(disk, 1, sectorSize);
  const last = Math.floor(disk.size / sectorSize) - 1;
  const stated = primary?.copy?.alternateLba ?? last;
  let backup = stated > 1 ? await inspectGptCopy(disk, stated, sectorSize) : undefined;
  if (backup === undefined && last > 1) backup = await inspectGptCopy(disk, last, sectorSize);
  const isThere = primary?.isThere === true || backup?.isThere === true;
  return isThere ? { primary, backup } : undefined;
}

function tableFrom(disk: BlockSource, sectorSize: SectorSize, copies: Copies): PartitionTable {
  const { primary } = copies;
  const findings: Finding[] = problemsOf(copies);
  if (sectorSize !== disk.sectorSize) {
    findings.push({
      message: `the table counts in sectors of ${sectorSize} bytes, the disk in ${disk.sectorSize}: it was imaged from another kind of disk`,
    });
  }
  const { copy, entries } = choose(disk, copies, findings);
  return {
    kind: 'gpt',
    id: copy === undefined ? '' : formatGuid(copy.diskGuid),
    sectorSize,
    partitions: entries.map(partitionOf),
    findings,
    isFaint: primary?.isThere !== true,
  };
}

/** Whose entries count. */
function choose(
  disk: BlockSource,
  { primary, backup }: Copies,
  findings: Finding[],
): { copy: GptCopy | undefined; entries: readonly GptEntry[] } {
  const [first, second] = [primary?.copy, backup?.copy];
  if (first !== undefined && isSound(primary)) {
    if (second !== undefined && isSound(backup) && !sameEntries(first, second)) {
      findings.push({ message: 'the backup GPT is another table than the primary, which is used' });
    }
    return { copy: first, entries: [...gptEntries(disk, first)] };
  }
  if (second !== undefined && isSound(backup)) {
    findings.push({ message: 'the partitions are those of the backup GPT' });
    return { copy: second, entries: [...gptEntries(disk, second)] };
  }
  if (first === undefined || second === undefined) return { copy: undefined, entries: [] };
  return { copy: first, entries: agreed(disk, first, second, findings) };
}

/** Both copies fail their checksums: what stands in both, byte for byte, is hardly damage. */
function agreed(
  disk: BlockSource,
  first: GptCopy,
  second: GptCopy,
  findings: Finding[],
): readonly GptEntry[] {
  const kept: GptEntry[] = [];
  for (const entry of gptEntries(disk, first)) {
    const end = entry.entryAt + first.entryBytes;
    const isSame =
      first.entryBytes === second.entryBytes &&
      end <= second.arrayBytes &&
      first.array.subarray(entry.entryAt, end).some((byte) => byte !== 0) &&
      Buffer.compare(
        first.array.subarray(entry.entryAt, end),
        second.array.subarray(entry.entryAt, end),
      ) === 0;
    if (isSame) kept.push(entry);
  }
  findings.push({
    message: `both copies of the GPT are damaged; listed are the ${kept.length} partitions that both name alike`,
  });
  return kept;
}

function problemsOf({ primary, backup }: Copies): Finding[] {
  const missing: Finding[] = [];
  if (primary === undefined) missing.push({ message: 'the primary GPT is gone' });
  if (backup === undefined) missing.push({ message: 'the backup GPT is not at its place' });
  const problems = [...(primary?.problems ?? []), ...(backup?.problems ?? [])];
  return [...missing, ...problems.map(findingOf)];
}

function findingOf({ message, where }: RestoreError): Finding {
  return { message, where };
}

function isSound(inspected: InspectedCopy | undefined): boolean {
  return inspected?.copy !== undefined && inspected.problems.length === 0;
}

function sameEntries(first: GptCopy, second: GptCopy): boolean {
  return (
    first.entryBytes === second.entryBytes &&
    Buffer.compare(
      first.array.subarray(0, first.arrayBytes),
      second.array.subarray(0, second.arrayBytes),
    ) === 0
  );
}

function partitionOf(entry: GptEntry): Partition {
  const { number, offset, length, isInside, name } = entry;
  const id = formatGuid(entry.typeGuid);
  return {
    ...{ number, offset, length, isInside, name },
    type: { id, name: nameOfGuid(id) },
    uuid: formatGuid(entry.uniqueGuid),
  };
}
