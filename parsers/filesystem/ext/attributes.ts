import type { Attributes, Timestamp } from '../../../core/index.ts';
import { INODE, INODE_BASE_BYTES, type Inode, u16, u32 } from './inode.ts';

/** Kernel documentation, filesystems/ext4, "Inode Timestamps": two bits more of seconds. */
const EPOCH_MASK = 0x3;
const NANOSECONDS_MAX = 999_999_999;

/** What `stat(2)` would say of the inode. */
export function attributesOf(inode: Inode): Attributes {
  const attributes = commonOf(inode);
  const { kind } = inode;
  if (kind === 'block-device' || kind === 'character-device') {
    return { ...attributes, device: deviceOf(inode) };
  }
  if (kind === 'file' && inode.has('encrypt')) return { ...attributes, unreadable: ENCRYPTED };
  return attributes;
}

const ENCRYPTED = 'encrypted (fscrypt), and the key is not part of the volume';

/** One literal for each form: a listing of many files makes one for each. */
function commonOf(inode: Inode): Attributes {
  const { raw, kind, size, number: fileNumber } = inode;
  const end = INODE_BASE_BYTES + inode.extraSize;
  const modified = timeOf(raw, INODE.i_mtime, INODE.i_mtime_extra, end);
  const accessed = timeOf(raw, INODE.i_atime, INODE.i_atime_extra, end);
  const changed = timeOf(raw, INODE.i_ctime, INODE.i_ctime_extra, end);
  const { allocated, links, generation } = inode;
  const mode = u16(raw, INODE.i_mode) & 0o7777;
  const uid = u16(raw, INODE.i_uid_high) * 0x1_0000 + u16(raw, INODE.i_uid);
  const gid = u16(raw, INODE.i_gid_high) * 0x1_0000 + u16(raw, INODE.i_gid);
  if (end < INODE.i_crtime + 4) {
    return {
      kind,
      size,
      allocated,
      links,
      modified,
      accessed,
      changed,
      mode,
      uid,
      gid,
      fileNumber,
      generation,
    };
  }
  return {
    kind,
    size,
    allocated,
    links,
    modified,
    accessed,
    changed,
    created: timeOf(raw, INODE.i_crtime, INODE.i_crtime_extra, end),
    mode,
    uid,
    gid,
    fileNumber,
    generation,
  };
}

function timeOf(raw: Uint8Array, at: number, extraAt: number, end: number): Timestamp {
  const seconds = u32(raw, at) | 0;
  if (extraAt + 4 > end) return { seconds, nanoseconds: 0 };
  const extra = u32(raw, extraAt);
  return {
    seconds: seconds + (extra & EPOCH_MASK) * 2 ** 32,
    nanoseconds: Math.min(extra >>> 2, NANOSECONDS_MAX),
  };
}

/** The first word holds the old, 16-bit form, or is zero and the second holds the new one. */
function deviceOf({ raw }: Inode): { major: number; minor: number } {
  const old = u32(raw, INODE.i_block);
  if (old !== 0) return { major: (old >>> 8) & 0xff, minor: old & 0xff };
  const wide = u32(raw, INODE.i_block + 4);
  return { major: (wide >>> 8) & 0xfff, minor: (wide & 0xff) | ((wide >>> 12) & 0xf_ff00) };
}
