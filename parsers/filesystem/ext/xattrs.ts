import {
  type ExtendedAttribute,
  nameFromBytes,
  readBytes,
  RestoreError,
} from '../../../core/index.ts';
import { aclToInterchange } from './acl.ts';
import { blockMapOf } from './block-map.ts';
import { continueCrc32c } from './checksum.ts';
import { INODE, INODE_BASE_BYTES, type Inode, u32 } from './inode.ts';
import type { InodeTable } from './inode-table.ts';
import { MappedContent } from './mapped-content.ts';
import { type ExtVolume, readBlock } from './volume.ts';

/** Kernel documentation, filesystems/ext4, "Extended Attributes". */
const MAGIC = 0xea02_0000;
const BLOCK_HEADER_BYTES = 32;
const BLOCK_CHECKSUM_AT = 16;
const ENTRY_HEADER_BYTES = 16;
const VALUE_BYTES_MAX = 16 * 1024 * 1024;

/** `e_name_index`. Others are for the driver alone: 9 is the encryption context. */
const PREFIXES: Readonly<Record<number, string>> = {
  1: 'user.',
  2: 'system.posix_acl_access',
  3: 'system.posix_acl_default',
  4: 'trusted.',
  6: 'security.',
  8: 'system.richacl',
  10: 'gnu.',
};
const INDEX_SYSTEM = 7;
const POSIX_ACLS: readonly number[] = [2, 3];

interface Entry {
  readonly nameIndex: number;
  readonly name: string;
  /** The inode that holds the value, or 0. */
  readonly valueInode: number;
  readonly valueSize: number;
  /** The value itself, when no inode holds it. */
  readonly value: Uint8Array;
}

/** The inode's attributes as Linux shows them, those in the inode before those in its block. */
export async function readXattrs(
  volume: ExtVolume,
  inodes: InodeTable,
  inode: Inode,
  signal?: AbortSignal,
): Promise<ExtendedAttribute[]> {
  const shown: ExtendedAttribute[] = [];
  const entries = [...entriesInInode(inode), ...(await entriesInBlock(volume, inode, signal))];
  for (const entry of entries) {
    const prefix = PREFIXES[entry.nameIndex];
    if (prefix === undefined) continue;
    const value =
      entry.valueInode === 0
        ? entry.value
        : await valueOfInode(volume, inodes, inode, entry, signal);
    const isAcl = POSIX_ACLS.includes(entry.nameIndex);
    shown.push({ name: prefix + entry.name, value: isAcl ? aclToInterchange(value) : value });
  }
  return shown;
}

/** What follows the first 60 bytes of an inline file: the attribute `system.data`. */
export function inlineRest(inode: Inode): Uint8Array {
  const entry = entriesInInode(inode).find(
    ({ nameIndex, name }) => nameIndex === INDEX_SYSTEM && name === 'data',
  );
  if (entry === undefined) throw bad(inode, 'the attribute system.data', 'none');
  return entry.value;
}

function entriesInInode(inode: Inode): Entry[] {
  const start = INODE_BASE_BYTES + inode.extraSize;
  const { raw } = inode;
  if (inode.extraSize === 0 || start + 4 > raw.byteLength) return [];
  if (u32(raw, start) !== MAGIC) return [];
  return parseEntries(inode, raw.subarray(start + 4), 0);
}

async function entriesInBlock(
  volume: ExtVolume,
  inode: Inode,
  signal: AbortSignal | undefined,
): Promise<Entry[]> {
  const block = inode.attributeBlock;
  if (block === 0) return [];
  const data = await readBlock(volume, block, `attributes of inode ${inode.number}`, signal);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const magic = view.getUint32(0, true);
  if (magic !== MAGIC) throw bad(inode, 'h_magic 0xea020000', `0x${magic.toString(16)}`);
  if (view.getUint32(8, true) !== 1) throw bad(inode, 'h_blocks 1', view.getUint32(8, true));
  if (volume.superblock.hasChecksums) {
    const number = new Uint8Array(8);
    new DataView(number.buffer).setBigUint64(0, BigInt(block), true);
    const zeroed = Uint8Array.from(data);
    zeroed.fill(0, BLOCK_CHECKSUM_AT, BLOCK_CHECKSUM_AT + 4);
    const sum = continueCrc32c(continueCrc32c(volume.superblock.checksumSeed, number), zeroed);
    const found = view.getUint32(BLOCK_CHECKSUM_AT, true);
    if (sum !== found) throw bad(inode, `h_checksum ${sum}`, found);
  }
  return parseEntries(inode, data, BLOCK_HEADER_BYTES);
}

/** Entries from `start` until four zero bytes; value offsets count from the area's first byte. */
function parseEntries(inode: Inode, area: Uint8Array, start: number): Entry[] {
  const view = new DataView(area.buffer, area.byteOffset, area.byteLength);
  const entries: Entry[] = [];
  let at = start;
  while (at + 4 <= area.byteLength && view.getUint32(at, true) !== 0) {
    if (at + ENTRY_HEADER_BYTES > area.byteLength)
      throw bad(inode, 'a whole entry', `one at ${at}`);
    const nameLength = view.getUint8(at);
    const nameEnd = at + ENTRY_HEADER_BYTES + nameLength;
    const offset = view.getUint16(at + 2, true);
    const valueInode = view.getUint32(at + 4, true);
    const valueSize = view.getUint32(at + 8, true);
    if (nameEnd > area.byteLength)
      throw bad(inode, 'a name inside its area', `e_name_len ${nameLength}`);
    const isHere = valueInode === 0 && valueSize > 0;
    if (isHere && offset + valueSize > area.byteLength) {
      throw bad(inode, 'a value inside its area', `${valueSize} bytes at ${offset}`);
    }
    entries.push({
      nameIndex: view.getUint8(at + 1),
      name: nameFromBytes(area.subarray(at + ENTRY_HEADER_BYTES, nameEnd)),
      valueInode,
      valueSize,
      value: isHere ? area.slice(offset, offset + valueSize) : new Uint8Array(0),
    });
    at = (nameEnd + 3) & ~3;
  }
  return entries;
}

/** A value too long for a block lies in an inode of its own, whose access time is its sum. */
async function valueOfInode(
  volume: ExtVolume,
  inodes: InodeTable,
  owner: Inode,
  { valueInode, valueSize, name }: Entry,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const inode = await inodes.read(valueInode, signal);
  if (!inode.has('ea_inode') || inode.size !== valueSize || valueSize > VALUE_BYTES_MAX) {
    throw bad(inode, `a value of ${valueSize} bytes for ${name}`, `${inode.size} bytes`);
  }
  volume.budget.hold(valueSize);
  try {
    const map = blockMapOf(volume, inode);
    const content = new MappedContent(volume, volume.data, map, valueSize);
    const value = await readBytes(content, 0, valueSize, signal);
    if (isOwnedBy(inode, owner)) return value;
    const sum = continueCrc32c(volume.superblock.checksumSeed, value);
    const found = u32(inode.raw, INODE.i_atime);
    if (sum !== found) throw bad(inode, `a value whose sum is ${found}`, sum);
    return value;
  } finally {
    volume.budget.release(valueSize);
  }
}

/** Lustre's form: one value, one owner, whose number it has for its time; and no sum. */
function isOwnedBy(inode: Inode, owner: Inode): boolean {
  const parent = u32(inode.raw, INODE.i_mtime);
  return parent === owner.number && inode.generation === owner.generation;
}

function bad(inode: Inode, expected: string, found: string | number): RestoreError {
  return new RestoreError('CORRUPT', 'extended attributes are damaged', {
    where: { structure: `attributes of inode ${inode.number}`, expected, found },
  });
}
