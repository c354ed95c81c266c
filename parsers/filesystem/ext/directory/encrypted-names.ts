import { createHash } from 'node:crypto';
import { blockMapOf } from '../block-map.ts';
import type { Inode } from '../inode.ts';
import { MappedContent } from '../mapped-content.ts';
import { hasCompat } from '../superblock.ts';
import type { ExtVolume } from '../volume.ts';
import { hashName, type NameHash } from './hash.ts';
import type { NameDecoder } from './links.ts';

/** `struct fscrypt_nokey_name` of `fs/crypto/fname.c`. */
const HASH_BYTES = 8;
const PLAIN_BYTES_MAX = 149;
/** `dx_root.dx_hash_info.hash_version`, in a directory's first block. */
const HASH_VERSION_AT = 28;
const DEFAULT_HASH_VERSION_AT = 0xfc;
const UNSIGNED_FROM = 3;
const NO_HASH: NameHash = { major: 0, minor: 0 };

/**
 * An encrypted name as Linux shows it without the key: base64url of the hash and the bytes, the
 * bytes beyond 149 by their SHA-256.
 */
export function noKeyName(stored: Uint8Array, hash: NameHash = NO_HASH): string {
  const shown = Math.min(stored.byteLength, PLAIN_BYTES_MAX);
  const head = Buffer.alloc(HASH_BYTES);
  head.writeUInt32LE(hash.major, 0);
  head.writeUInt32LE(hash.minor, 4);
  const parts = [head, stored.subarray(0, shown)];
  if (stored.byteLength > shown) {
    parts.push(createHash('sha256').update(stored.subarray(shown)).digest());
  }
  return Buffer.concat(parts).toString('base64url');
}

/** Shows the names of an encrypted directory. */
export async function noKeyNames(
  volume: ExtVolume,
  inode: Inode,
  signal: AbortSignal | undefined,
): Promise<NameDecoder> {
  const version = await hashVersion(volume, inode, signal);
  const { seed } = volume.superblock.hash;
  const isStored = inode.has('casefold');
  return (area, start, end) => {
    const stored = area.subarray(start, end);
    if (isStored) return noKeyName(stored, storedHash(area, end, start));
    if (version === undefined) return noKeyName(stored);
    return noKeyName(stored, hashName(stored, version, seed) ?? NO_HASH);
  };
}

/** In directories both encrypted and casefolded the hash follows the name, at a multiple of four. */
function storedHash(area: Uint8Array, nameEnd: number, nameStart: number): NameHash {
  const at = nameStart + ((nameEnd - nameStart + 3) & ~3);
  const view = new DataView(area.buffer, area.byteOffset, area.byteLength);
  if (at + 8 > area.byteLength) return NO_HASH;
  return { major: view.getUint32(at, true), minor: view.getUint32(at + 4, true) };
}

/** By which hash Linux would order the directory; none where it would read it as a plain list. */
async function hashVersion(
  volume: ExtVolume,
  inode: Inode,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const { superblock } = volume;
  if (!hasCompat(superblock, 'dir_index')) return undefined;
  const unsigned = superblock.hash.unsigned ? UNSIGNED_FROM : 0;
  if (!inode.has('index')) {
    const isSmall = inode.has('inline_data') || inode.size <= superblock.blockSize;
    const stored = superblock.raw[DEFAULT_HASH_VERSION_AT] ?? 0;
    return isSmall ? stored + (stored < UNSIGNED_FROM ? unsigned : 0) : undefined;
  }
  const map = blockMapOf(volume, inode);
  const content = new MappedContent(volume, volume.metadata, map, inode.size);
  if (content.size < superblock.blockSize) return undefined;
  const byte = new Uint8Array(1);
  await content.readInto(byte, HASH_VERSION_AT, signal);
  const version = byte[0] as number;
  return version + (version < UNSIGNED_FROM ? unsigned : 0);
}
