import type { Attributes, Timestamp } from '../../../core/index.ts';
import { INODE, INODE_BASE_BYTES, type Inode } from './inode.ts';

/** Kernel documentation, filesystems/ext4, "Inode Timestamps": two bits more of seconds. */
const EPOCH_MASK = 0x3;
const NANOSECONDS_MAX = 999_999_999;

/** What `stat(2)` would say of the inode. */
export function attributesOf(inode: Inode): Attributes {
  const { view, kind } = inode;
  const end = INODE_BASE_BYTES + inode.extraSize;
  const attributes = {
    kind,
    size: inode.size,
    allocated: inode.allocated,
    links: view.getUint16(INODE.i_links_count, true),
    modified: timeOf(view, INODE.i_mtime, INODE.i_mtime_extra, end),
    accessed: timeOf(view, INODE.i_atime, INODE.i_atime_extra, end),
    changed: timeOf(view, INODE.i_ctime, INODE.i_ctime_extra, end),
    ...(end >= INODE.i_crtime + 4
      ? { created: timeOf(view, INODE.i_crtime, INODE.i_crtime_extra, end) }
      : {}),
    mode: view.getUint16(INODE.i_mode, true) & 0o7777,
    uid: view.getUint16(INODE.i_uid_high, true) * 0x1_0000 + view.getUint16(INODE.i_uid, true),
    gid: view.getUint16(INODE.i_gid_high, true) * 0x1_0000 + view.getUint16(INODE.i_gid, true),
    fileNumber: inode.number,
    generation: inode.generation,
  };
  if (kind === 'block-device' || kind === 'character-device') {
    return { ...attributes, device: deviceOf(inode) };
  }
  if (kind === 'file' && inode.has('encrypt')) {
    return {
      ...attributes,
      unreadable: 'encrypted (fscrypt), and the key is not part of the volume',
    };
  }
  return attributes;
}

function timeOf(view: DataView, at: number, extraAt: number, end: number): Timestamp {
  const seconds = view.getInt32(at, true);
  if (extraAt + 4 > end) return { seconds, nanoseconds: 0 };
  const extra = view.getUint32(extraAt, true);
  return {
    seconds: seconds + (extra & EPOCH_MASK) * 2 ** 32,
    nanoseconds: Math.min(extra >>> 2, NANOSECONDS_MAX),
  };
}

/** The first word holds the old, 16-bit form, or is zero and the second holds the new one. */
function deviceOf({ view }: Inode): { major: number; minor: number } {
  const old = view.getUint32(INODE.i_block, true);
  if (old !== 0) return { major: (old >>> 8) & 0xff, minor: old & 0xff };
  const wide = view.getUint32(INODE.i_block + 4, true);
  return { major: (wide >>> 8) & 0xfff, minor: (wide & 0xff) | ((wide >>> 12) & 0xf_ff00) };
}
