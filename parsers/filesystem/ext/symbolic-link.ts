import { nameFromBytes, readBytes, RestoreError } from '../../../core/index.ts';
import { blockMapOf } from './block-map.ts';
import { noKeyName } from './directory/encrypted-names.ts';
import { inlineContent } from './inline-content.ts';
import type { Inode } from './inode.ts';
import { MappedContent } from './mapped-content.ts';
import type { ExtVolume } from './volume.ts';

const FAST_BYTES_MAX = 59;
const ENCRYPTED_LENGTH_BYTES = 2;

/**
 * A symbolic link's target: in the inode when it is short (kernel documentation, filesystems/ext4,
 * "Symbolic Links"), else in a block. An encrypted one as Linux shows it without the key.
 */
export async function readTarget(
  volume: ExtVolume,
  inode: Inode,
  signal?: AbortSignal,
): Promise<string> {
  const stored = await readStored(volume, inode, signal);
  if (inode.has('encrypt')) return noKeyName(ciphertextOf(inode, stored));
  const end = stored.indexOf(0);
  const target = nameFromBytes(end < 0 ? stored : stored.subarray(0, end));
  if (target === '') throw bad(inode, 'a target', 'none');
  return target;
}

async function readStored(
  volume: ExtVolume,
  inode: Inode,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { size } = inode;
  if (size > volume.superblock.blockSize) {
    throw bad(inode, `at most ${volume.superblock.blockSize} bytes`, size);
  }
  if (inode.has('inline_data')) return readBytes(inlineContent(inode), 0, size, signal);
  if (isFast(volume, inode)) return inode.blockField.subarray(0, size);
  const map = blockMapOf(volume, inode);
  return readBytes(new MappedContent(volume, volume.metadata, map, size), 0, size, signal);
}

/** Blocks beyond that of the extended attributes mean that the target lies in one. */
export function isFast({ superblock }: ExtVolume, inode: Inode): boolean {
  if (inode.size > FAST_BYTES_MAX || inode.has('extents')) return false;
  const ownBytes = inode.attributeBlock === 0 ? 0 : superblock.clusterSize;
  return inode.has('ea_inode') || inode.allocated <= ownBytes;
}

/** `struct fscrypt_symlink_data`: a length before the bytes. */
function ciphertextOf(inode: Inode, stored: Uint8Array): Uint8Array {
  const length = (stored[0] ?? 0) | ((stored[1] ?? 0) << 8);
  const end = ENCRYPTED_LENGTH_BYTES + length;
  if (length === 0 || end > stored.byteLength) {
    throw bad(inode, `1 to ${stored.byteLength} bytes`, length);
  }
  return stored.subarray(ENCRYPTED_LENGTH_BYTES, end);
}

function bad(inode: Inode, expected: string, found: string | number): RestoreError {
  return new RestoreError('CORRUPT', 'a symbolic link is damaged', {
    where: { structure: `inode ${inode.number}`, expected, found },
  });
}
