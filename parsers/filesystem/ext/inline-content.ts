import { BytesSource, type Extent, RestoreError, type SparseSource } from '../../../core/index.ts';
import type { Inode } from './inode.ts';
import { inlineRest } from './xattrs.ts';

/**
 * The content of a file that lies in its inode: kernel documentation, filesystems/ext4, "Inline
 * Data". 60 bytes in `i_block`, the rest in the attribute `system.data`.
 *
 * @throws RestoreError `CORRUPT` when there are fewer bytes than the file is long.
 */
export function inlineContent(inode: Inode): SparseSource {
  const first = inode.blockField;
  const rest = inode.size > first.byteLength ? inlineRest(inode) : new Uint8Array(0);
  const whole = Buffer.concat([first, rest]);
  if (inode.size > whole.byteLength) {
    throw new RestoreError('CORRUPT', 'an inline file is longer than its inode has room for', {
      where: {
        structure: `inode ${inode.number}`,
        expected: `${inode.size} bytes`,
        found: whole.byteLength,
      },
    });
  }
  return new InlineContent(whole.subarray(0, inode.size));
}

class InlineContent extends BytesSource implements SparseSource {
  async *extents(offset: number, length: number): AsyncGenerator<Extent> {
    this.peek(offset, length);
    if (length > 0) yield { offset, length };
  }
}
