import {
  type BlockSource,
  type Finding,
  isRestoreError,
  type RestoreError,
} from '../../core/index.ts';
import { readGptTable } from './gpt-table.ts';
import { type Mbr, type MbrPartition, readMbr } from './mbr.ts';
import type { Partition, PartitionRange, PartitionTable } from './partition.ts';
import { nameOfNumber } from './types.ts';

/**
 * A disk's partition table: GPT where the boot record announces one or holds nothing else, as Linux
 * has it, else the boot record itself. Damage is a finding; partitions beyond the disk's end are
 * listed and marked.
 *
 * @returns `undefined` for a disk without any table.
 * @throws RestoreError `CORRUPT` when no table is found and the boot record cannot be read.
 */
export async function readPartitionTable(disk: BlockSource): Promise<PartitionTable | undefined> {
  const { mbr, damage } = await tryMbr(disk);
  const gpt = await readGptTable(disk);
  const table = choose(disk, mbr, gpt);
  if (table === undefined && damage !== undefined) throw damage;
  if (table === undefined) return undefined;
  const unread = damage === undefined ? [] : [{ message: damage.message, where: damage.where }];
  const findings = [...unread, ...table.findings, ...placeFindings(disk, table.partitions)];
  return { ...table, findings };
}

/** A boot record that cannot be read does not hide a GPT. */
async function tryMbr(disk: BlockSource): Promise<{ mbr?: Mbr; damage?: RestoreError }> {
  try {
    const mbr = await readMbr(disk);
    return mbr === undefined ? {} : { mbr };
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    return { damage: error };
  }
}

function choose(
  disk: BlockSource,
  mbr: Mbr | undefined,
  gpt: PartitionTable | undefined,
): PartitionTable | undefined {
  const plain = mbr?.partitions ?? [];
  if (gpt !== undefined && (mbr?.isProtective === true || plain.length === 0)) {
    const isFaint = gpt.isFaint && mbr?.isProtective !== true;
    return { ...gpt, isFaint, findings: [...gpt.findings, ...besideGpt(mbr)] };
  }
  if (mbr === undefined) return undefined;
  const own = fromMbr(disk, mbr);
  if (gpt !== undefined) {
    own.findings.push({
      message: 'a GPT is there too, but the boot record does not announce it: not used',
    });
  }
  if (mbr.isProtective) {
    own.findings.push({ message: 'the boot record announces a GPT, and both its copies are gone' });
    return { ...own, kind: 'gpt', id: '' };
  }
  return own;
}

/** What the boot record beside a GPT says, where it says the unusual. */
function besideGpt(mbr: Mbr | undefined): Finding[] {
  if (mbr === undefined || !mbr.isProtective) {
    return [{ message: 'no protective boot record announces the GPT' }];
  }
  if (mbr.partitions.length === 0) return [];
  const numbers = mbr.partitions.map(({ number }) => number).join(', ');
  return [{ message: `a hybrid boot record repeats partitions (its entries ${numbers})` }];
}

function fromMbr(disk: BlockSource, mbr: Mbr): PartitionTable & { findings: Finding[] } {
  const id = mbr.signature.toString(16).padStart(8, '0');
  const partitionOf = ({ number, offset, length, isInside, type }: MbrPartition): Partition => ({
    ...{ number, offset, length, isInside, name: '' },
    type: { id: `0x${type.toString(16).padStart(2, '0')}`, name: nameOfNumber(type) },
    uuid: mbr.signature === 0 ? '' : `${id}-${number.toString(16).padStart(2, '0')}`,
  });
  return {
    ...{ kind: 'mbr', id, sectorSize: disk.sectorSize, isFaint: false },
    partitions: mbr.partitions.map(partitionOf),
    findings: [...mbr.findings],
  };
}

function placeFindings(disk: BlockSource, partitions: readonly PartitionRange[]): Finding[] {
  const findings: Finding[] = [];
  for (const { number, offset, length, isInside } of partitions) {
    if (isInside) continue;
    findings.push({
      message: `partition ${number} reaches beyond the disk`,
      where: { offset, expected: `at most ${disk.size} bytes`, found: `${length} bytes` },
    });
  }
  const ordered = partitions.filter(({ length }) => length > 0).sort((a, b) => a.offset - b.offset);
  let last: PartitionRange | undefined;
  for (const next of ordered) {
    if (last !== undefined && next.offset < last.offset + last.length) {
      findings.push({
        message: `partitions ${last.number} and ${next.number} overlap`,
        where: { offset: next.offset },
      });
    }
    const reaches = last === undefined ? 0 : last.offset + last.length;
    if (next.offset + next.length >= reaches) last = next;
  }
  return findings;
}
