import { layout, RestoreError } from '../../../../../core/index.ts';
import { continueCrc32c } from '../../checksum.ts';

/** Kernel documentation, filesystems/ext4, "Linear (Classic) Directories". */
const Entry = {
  inode: layout.u32le(0x0),
  rec_len: layout.u16le(0x4),
  name_len: layout.u8(0x6),
  file_type: layout.u8(0x7),
} as const;
const ENTRY_HEADER_BYTES = 8;
const TAIL_BYTES = 12;
const TAIL_TYPE = 0xde;
const REC_LEN_64K = 0xffff;

/** How the directory's blocks are made. */
export interface DirectoryShape {
  readonly blockSize: number;
  /** What the sums in the blocks' tails begin with; `undefined` where there are none. */
  readonly seed: number | undefined;
  /** Entries tell the kind of file (feature `filetype`). */
  readonly typed: boolean;
}

export interface BlockEntry {
  readonly name: Uint8Array;
  readonly inode: number;
  readonly type: number;
}

/** An entry and its place in its block. */
export interface PlacedEntry extends BlockEntry {
  readonly at: number;
}

/**
 * The entries in use of one block; none for a block of the tree of hashes, which looks like one
 * unused entry.
 *
 * @throws RestoreError `CORRUPT` when the entries do not fill the block one behind the other.
 */
export function entriesOf(shape: DirectoryShape, block: Uint8Array): PlacedEntry[] {
  const view = layout.viewOf(block);
  const entries: PlacedEntry[] = [];
  for (let at = 0; at < shape.blockSize; ) {
    const length = lengthAt(shape, view, at);
    const nameLength = Entry.name_len(view, at);
    if (length < ENTRY_HEADER_BYTES + nameLength || length % 4 !== 0) throw bad(at, length);
    if (at + length > shape.blockSize) throw bad(at, length);
    const inode = Entry.inode(view, at);
    const start = at + ENTRY_HEADER_BYTES;
    if (inode !== 0 && nameLength > 0) {
      const name = block.subarray(start, start + nameLength);
      entries.push({ name, inode, type: Entry.file_type(view, at), at });
    }
    at += length;
  }
  return entries;
}

/** Takes the entry at `at` out: the one before it grows over it, as the kernel does it. */
export function removeEntry(shape: DirectoryShape, block: Uint8Array, at: number): void {
  const view = layout.viewOf(block);
  let before = -1;
  for (let place = 0; place < at; place += lengthAt(shape, view, place)) before = place;
  if (before < 0) view.setUint32(at, 0, true);
  else {
    const length = at + lengthAt(shape, view, at) - before;
    view.setUint16(before + 4, storedLength(length), true);
  }
}

/**
 * Fills an empty block with as many of the entries as fit.
 *
 * @returns how many.
 */
export function fillBlock(
  shape: DirectoryShape,
  block: Uint8Array,
  entries: readonly BlockEntry[],
): number {
  const view = layout.viewOf(block);
  const room = roomOf(shape);
  let at = 0;
  let last = 0;
  let count = 0;
  for (const entry of entries) {
    const length = spaceOf(entry.name.byteLength);
    if (at + length > room) break;
    writeEntry(shape, block, at, length, entry);
    last = at;
    at += length;
    count += 1;
  }
  view.setUint16(last + 4, storedLength(room - last), true);
  if (shape.seed !== undefined) {
    view.setUint16(room + 4, TAIL_BYTES, true);
    view.setUint8(room + 7, TAIL_TYPE);
    sealBlock(shape, block);
  }
  return count;
}

/**
 * Puts an entry into the first gap that is wide enough, as the kernel does it.
 *
 * @returns whether there was one.
 */
export function insertEntry(shape: DirectoryShape, block: Uint8Array, entry: BlockEntry): boolean {
  const view = layout.viewOf(block);
  const needed = spaceOf(entry.name.byteLength);
  const room = roomOf(shape);
  for (let at = 0; at < room; at += lengthAt(shape, view, at)) {
    const length = lengthAt(shape, view, at);
    const used = Entry.inode(view, at) === 0 ? 0 : spaceOf(Entry.name_len(view, at));
    if (at + length > room || length - used < needed) continue;
    if (used > 0) view.setUint16(at + 4, storedLength(used), true);
    writeEntry(shape, block, at + used, length - used, entry);
    return true;
  }
  return false;
}

/** True unless the block should have a sum in its tail and has not, or has another. */
export function blockSumHolds(shape: DirectoryShape, block: Uint8Array): boolean {
  if (shape.seed === undefined) return true;
  const view = layout.viewOf(block);
  const at = shape.blockSize - TAIL_BYTES;
  if (Entry.rec_len(view, at) !== TAIL_BYTES || Entry.file_type(view, at) !== TAIL_TYPE) {
    return false;
  }
  return view.getUint32(at + 8, true) === continueCrc32c(shape.seed, block.subarray(0, at));
}

/** Writes the sum into the block's tail, where there is one. */
export function sealBlock(shape: DirectoryShape, block: Uint8Array): void {
  if (shape.seed === undefined) return;
  const at = shape.blockSize - TAIL_BYTES;
  const sum = continueCrc32c(shape.seed, block.subarray(0, at));
  layout.viewOf(block).setUint32(at + 8, sum, true);
}

function writeEntry(
  { typed }: DirectoryShape,
  block: Uint8Array,
  at: number,
  length: number,
  { name, inode, type }: BlockEntry,
): void {
  const view = layout.viewOf(block);
  view.setUint32(at, inode, true);
  view.setUint16(at + 4, storedLength(length), true);
  view.setUint8(at + 6, name.byteLength);
  view.setUint8(at + 7, typed ? type : 0);
  block.set(name, at + ENTRY_HEADER_BYTES);
}

/** Bytes of an entry, without slack. */
function spaceOf(nameBytes: number): number {
  return (ENTRY_HEADER_BYTES + nameBytes + 3) & ~3;
}

/** Bytes of a block that entries may use. */
function roomOf({ blockSize, seed }: DirectoryShape): number {
  return blockSize - (seed === undefined ? 0 : TAIL_BYTES);
}

/** Lengths of a whole block of 64 KiB do not fit their 16 bits. */
function lengthAt({ blockSize }: DirectoryShape, view: DataView, at: number): number {
  const stored = Entry.rec_len(view, at);
  return stored === REC_LEN_64K || stored === 0 ? blockSize : stored;
}

function storedLength(length: number): number {
  return length >= 0x1_0000 ? REC_LEN_64K : length;
}

function bad(at: number, length: number): RestoreError {
  return new RestoreError('CORRUPT', 'a directory is damaged', {
    where: { structure: 'rec_len', offset: at, found: length },
  });
}
