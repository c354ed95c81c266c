import { isRestoreError, type Ranges } from '../../../../core/index.ts';
import { blockMapOf } from '../block-map.ts';
import { INODE, INODE_FLAG, u16, u32 } from '../inode.ts';
import type { InodeTable } from '../inode-table.ts';
import type { ExtVolume } from '../volume.ts';
import type { InodeGroups } from './inode-groups.ts';
import { scanGroup } from './scan.ts';

const MODE_TYPE = 0xf000;
/** Directories, files and symbolic links: what may have blocks. */
const WITH_BLOCKS: ReadonlySet<number> = new Set([0x4000, 0x8000, 0xa000]);

/**
 * Numbers of the inodes in use that have a block in `ranges`. One whose map is damaged has none: what
 * it had cannot be read on either side.
 */
export async function* ownersOf(
  volume: ExtVolume,
  inodes: InodeTable,
  groups: InodeGroups,
  ranges: Ranges,
  signal?: AbortSignal,
): AsyncGenerator<number> {
  const { inodeSize, blockSize } = volume.superblock;
  for await (const group of groups.all(signal)) {
    for await (const { first, bytes } of scanGroup(volume, group, signal)) {
      for (let at = 0; at + inodeSize <= bytes.byteLength; at += inodeSize) {
        const raw = bytes.subarray(at, at + inodeSize);
        if (u16(raw, INODE.i_links_count) === 0) continue;
        const number = first + at / inodeSize;
        const touches = touchesDirectly(raw, ranges, blockSize);
        if (touches ?? (await touchesByMap(volume, inodes, number, ranges, signal))) yield number;
      }
    }
  }
}

/** What the inode itself tells; `undefined` when its map goes on elsewhere. */
function touchesDirectly(raw: Uint8Array, ranges: Ranges, blockSize: number): boolean | undefined {
  const attributes = u32(raw, INODE.i_file_acl_lo) + u16(raw, INODE.i_file_acl_high) * 2 ** 32;
  if (attributes !== 0 && ranges.touches(attributes * blockSize, blockSize)) return true;
  const flags = u32(raw, INODE.i_flags);
  if (!WITH_BLOCKS.has(u16(raw, INODE.i_mode) & MODE_TYPE)) return false;
  if ((flags & INODE_FLAG.inline_data) !== 0) return false;
  const hasBlocks = u32(raw, INODE.i_blocks_lo) !== 0 || u16(raw, INODE.i_blocks_high) !== 0;
  if (!hasBlocks) return false;
  if ((flags & INODE_FLAG.extents) === 0 || u16(raw, INODE.i_block + 6) !== 0) return undefined;
  const count = Math.min(4, u16(raw, INODE.i_block + 2));
  for (let index = 0; index < count; index += 1) {
    const at = INODE.i_block + 12 + index * 12;
    const stored = u16(raw, at + 4);
    const length = stored > 0x8000 ? stored - 0x8000 : stored;
    const start = u16(raw, at + 6) * 2 ** 32 + u32(raw, at + 8);
    if (ranges.touches(start * blockSize, length * blockSize)) return true;
  }
  return false;
}

async function touchesByMap(
  volume: ExtVolume,
  inodes: InodeTable,
  number: number,
  ranges: Ranges,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    const inode = await inodes.read(number, signal);
    if (inode.kind === 'symlink' && !inode.has('extents') && inode.size < 60) return false;
    for await (const { offset, length } of blockMapOf(volume, inode).owned(signal)) {
      if (ranges.touches(offset, length)) return true;
    }
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
  }
  return false;
}
