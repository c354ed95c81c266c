import { isRestoreError, RestoreError } from '../../../../core/index.ts';
import { blockMapOf, runsOf } from '../block-map.ts';
import { INODE, INODE_FLAG, Inode } from '../inode.ts';
import { InodeTable } from '../inode-table.ts';
import type { JournalPlace } from '../superblock.ts';
import type { ExtVolume } from '../volume.ts';
import { JournalFile, type JournalRun } from './journal-file.ts';

const EXTENT_MAGIC = 0xf30a;
const I_BLOCK_BYTES = 60;
const MODE_FILE = 0o100600;
const RUN_HELD_BYTES = 64;

/**
 * Finds the journal's blocks: by its inode or, where that is damaged, by the copy of the inode's map
 * in the superblock (`s_jnl_blocks`), as e2fsck does.
 *
 * @param volume as it is, nothing replayed.
 * @throws RestoreError `UNSUPPORTED` when the journal lies on another device, `CORRUPT` when it
 *   cannot be found.
 */
export async function locateJournal(volume: ExtVolume, place: JournalPlace): Promise<JournalFile> {
  if (place.inode === 0) throw elsewhere(place);
  try {
    return await fileOf(volume, await new InodeTable(volume).read(place.inode));
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT') || place.backup === undefined) throw error;
    return fileOf(volume, inodeOfBackup(volume, place.inode, place.backup));
  }
}

async function fileOf(volume: ExtVolume, inode: Inode): Promise<JournalFile> {
  const { blockSize } = volume.superblock;
  const structure = `inode ${inode.number} (journal)`;
  if (inode.kind !== 'file') throw notFound(structure, 'a file', inode.kind);
  const wanted = Math.floor(inode.size / blockSize);
  const runs: JournalRun[] = [];
  let length = 0;
  for await (const run of runsOf(volume, blockMapOf(volume, inode), wanted * blockSize)) {
    if (run.offset !== length * blockSize) break;
    volume.budget.hold(RUN_HELD_BYTES);
    const count = run.length / blockSize;
    runs.push({ first: length, count, block: run.at / blockSize });
    length += count;
  }
  if (wanted < 1 || length < wanted) throw notFound(structure, `${wanted} blocks`, length);
  return new JournalFile(volume.metadata, volume.budget, blockSize, runs);
}

/** "Super Block", `s_jnl_blocks`: `i_block`, `i_size_high`, `i_size`. */
function inodeOfBackup(volume: ExtVolume, number: number, backup: Uint8Array): Inode {
  const raw = new Uint8Array(volume.superblock.inodeSize);
  const view = new DataView(raw.buffer);
  const words = new DataView(backup.buffer, backup.byteOffset, backup.byteLength);
  raw.set(backup.subarray(0, I_BLOCK_BYTES), INODE.i_block);
  view.setUint16(INODE.i_mode, MODE_FILE, true);
  view.setUint16(INODE.i_links_count, 1, true);
  view.setUint32(INODE.i_size_high, words.getUint32(I_BLOCK_BYTES, true), true);
  view.setUint32(INODE.i_size_lo, words.getUint32(I_BLOCK_BYTES + 4, true), true);
  const byExtents = words.getUint16(0, true) === EXTENT_MAGIC;
  view.setUint32(INODE.i_flags, byExtents ? INODE_FLAG.extents : 0, true);
  return new Inode(number, raw, 'file', volume.superblock);
}

function elsewhere({ uuid }: JournalPlace): RestoreError {
  return new RestoreError('UNSUPPORTED', 'the journal lies on another device', {
    where: { structure: 's_journal_uuid', found: Buffer.from(uuid).toString('hex') },
    hint: 'Export both disks and mount the file system with its journal, to see its last changes.',
  });
}

function notFound(structure: string, expected: string, found: string | number): RestoreError {
  return new RestoreError('CORRUPT', 'the journal cannot be found', {
    where: { structure, expected, found },
  });
}
