import type { Surveyed } from './survey.ts';

const INODE_BYTES_MAX = 4096;

/**
 * All that both tell. Of a file inside its inode the kernel says that it has blocks for its size, besides
 * those of its attributes, lest programs take it for a hole (`ext4_getattr`): whether a small file lies
 * there is not among what it tells, so of small files blocks are not compared.
 */
export function projectExt({
  unreadable: _unreadable,
  created: _created,
  allocated = 0,
  ...all
}: Surveyed): object {
  const mayBeInline = all.kind === 'file' && all.size > 0 && all.size <= INODE_BYTES_MAX;
  return mayBeInline ? all : { ...all, allocated };
}
