import type { BlockSource } from '../../core/index.ts';
import { damagedGpt, type GptCopy, inspectGptCopy } from '../partition/gpt.ts';
import { type GptEntry, gptEntries } from '../partition/gpt-entries.ts';

export interface GptPair {
  readonly primary: GptCopy;
  readonly backup: GptCopy;
  readonly diskGuid: Uint8Array;
  readonly partitions: readonly GptEntry[];
}

/**
 * Both copies, which must agree and check out in every respect: they are about to be changed.
 *
 * @throws RestoreError `CORRUPT`, `UNSUPPORTED`.
 */
export async function readGptPair(disk: BlockSource): Promise<GptPair> {
  const { sectorSize } = disk;
  const primary = await soundCopy(disk, 1);
  const backupLba = primary.alternateLba;
  if (backupLba <= 1 || (backupLba + 1) * sectorSize > disk.size) {
    throw damagedGpt('GPT header', sectorSize, 'a backup inside the disk', `sector ${backupLba}`);
  }
  const backup = await soundCopy(disk, backupLba);
  const agree =
    backup.alternateLba === 1 &&
    equal(primary.diskGuid, backup.diskGuid) &&
    primary.entryBytes === backup.entryBytes &&
    equal(
      primary.array.subarray(0, primary.arrayBytes),
      backup.array.subarray(0, backup.arrayBytes),
    );
  if (!agree) {
    const expected = 'the same as the primary';
    throw damagedGpt('backup GPT', backup.headerOffset, expected, 'another table');
  }
  const partitions = [...gptEntries(disk, primary)];
  return { primary, backup, diskGuid: primary.diskGuid, partitions };
}

async function soundCopy(disk: BlockSource, lba: number): Promise<GptCopy> {
  const inspected = await inspectGptCopy(disk, lba);
  const [problem] = inspected?.problems ?? [];
  if (problem !== undefined) throw problem;
  if (inspected?.copy !== undefined) return inspected.copy;
  const which = lba === 1 ? 'primary GPT' : 'backup GPT';
  throw damagedGpt(which, lba * disk.sectorSize, 'EFI PART', 'other bytes');
}

function equal(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}
