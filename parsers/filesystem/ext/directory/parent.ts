import { isRestoreError } from '../../../../core/index.ts';
import { blockMapOf } from '../block-map.ts';
import { type Inode, u32 } from '../inode.ts';
import { type ExtVolume, readWithin } from '../volume.ts';

/** `..` is the second entry, behind the 12 bytes of `.`. Kernel documentation, "Directory Entries". */
const DOT_DOT_AT = 12;
const ENTRY_BYTES_MIN = 12;
const DOT_DOT_LENGTH = 2;

/** The directory in which this one lies, as it says itself; `undefined` when that cannot be read. */
export async function parentOf(
  volume: ExtVolume,
  directory: Inode,
  signal?: AbortSignal,
): Promise<number | undefined> {
  if (directory.has('inline_data')) return u32(directory.blockField, 0);
  try {
    const { runs } = await blockMapOf(volume, directory).piece(0, signal);
    const run = runs[0];
    if (run === undefined || run.offset !== 0) return undefined;
    const length = DOT_DOT_AT + ENTRY_BYTES_MIN;
    const structure = `directory inode ${directory.number}`;
    const head = await readWithin(volume.metadata, run.at, length, structure, signal);
    if (head[DOT_DOT_AT + 6] !== DOT_DOT_LENGTH) return undefined;
    return u32(head, DOT_DOT_AT);
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    return undefined;
  }
}
