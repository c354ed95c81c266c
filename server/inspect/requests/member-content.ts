/**
 * An archive's member cannot be taken back once it has begun. So what is small is read whole before;
 * what is large is either read twice, or ends the archive where it cannot be read: cut off, which
 * every unpacker notices, and never filled up.
 */
import { type Extent, RestoreError, type SparseSource } from '../../../core/index.ts';
import { showName } from '../../../vfs/index.ts';
import { piecesOf } from './pieces.ts';

const HELD_BYTES_MAX = 8 * 1024 * 1024;

/** All data of a small file, a part for each range; `undefined` for a large one. */
export async function readAhead(
  content: SparseSource,
  data: readonly Extent[],
): Promise<Uint8Array[] | undefined> {
  const total = data.reduce((sum, { length }) => sum + length, 0);
  if (total > HELD_BYTES_MAX) return undefined;
  const parts: Uint8Array[] = [];
  for (const { offset, length } of data) {
    const part = new Uint8Array(length);
    await content.readInto(part, offset);
    parts.push(part);
  }
  return parts;
}

/** @throws RestoreError what reading any of it throws. */
export async function verify(content: SparseSource, data: readonly Extent[]): Promise<void> {
  const pieces = piecesOf(content, data);
  while ((await pieces.next()).done !== true);
}

/** The end of an archive that could not be finished. */
export class CutOff extends RestoreError {
  constructor(cause: RestoreError, path: string, offset: number) {
    super(cause.code, `the archive is cut off here: ${cause.message}`, {
      where: { object: showName(path), offset },
      hint: 'Leave damaged files out with --skip-damaged, which reads large files twice.',
      cause,
    });
  }
}
