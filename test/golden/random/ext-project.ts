import type { Surveyed } from './survey.ts';

const INODE_BYTES_MAX = 4096;
const SECTOR_BYTES = 512;

/**
 * All that both tell. Of a file inside its inode, which has no blocks, the kernel says that it has some,
 * lest programs take it for a hole (`ext4_getattr`).
 */
export function projectExt({
  unreadable: _unreadable,
  created: _created,
  allocated = 0,
  ...all
}: Surveyed): object {
  const isInline = all.kind === 'file' && all.size <= INODE_BYTES_MAX && all.data?.length === 1;
  const sectors = Math.ceil(all.size / SECTOR_BYTES) * SECTOR_BYTES;
  return { ...all, allocated: isInline && allocated === 0 ? sectors : allocated };
}
