import { RestoreError } from '../../../../core/index.ts';
import { continueCrc32c } from '../checksum.ts';

/** Kernel documentation, filesystems/ext4, "Directory Entries" (tail) and "Hash Tree Directories". */
const TAIL_BYTES = 12;
const TAIL_TYPE = 0xde;
const DOTS_BYTES = 24;
const NODE_COUNT_AT = 8;
const ROOT_COUNT_AT = 32;
const INDEX_ENTRY_BYTES = 8;

/**
 * Where `dx_countlimit` lies when the block is one of a hash tree's inner blocks. They look like
 * blocks without entries, or with `.` and `..` alone.
 */
export function indexCountAt(block: Uint8Array, isFirst: boolean): number | undefined {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const size = block.byteLength;
  if (isFirst) {
    const isRoot =
      view.getUint16(4, true) === 12 &&
      isRest(view.getUint16(16, true), size - 12) &&
      view.getUint32(DOTS_BYTES, true) === 0 &&
      view.getUint8(DOTS_BYTES + 5) === 8;
    return isRoot ? ROOT_COUNT_AT : undefined;
  }
  const isNode = view.getUint32(0, true) === 0 && isRest(view.getUint16(4, true), size);
  return isNode ? NODE_COUNT_AT : undefined;
}

/** With 64 KiB blocks the length of a whole block does not fit. */
function isRest(stored: number, length: number): boolean {
  return stored === length || (length >= 0xfffc && (stored === 0xffff || stored === 0));
}

/**
 * @param seed of the directory's inode.
 * @returns why the block is not to be trusted, when its sum is wrong.
 */
export function checkBlockSum(
  block: Uint8Array,
  countAt: number | undefined,
  seed: number,
  place: { readonly directory: number; readonly offset: number },
): RestoreError | undefined {
  return countAt === undefined
    ? checkLeaf(block, seed, place)
    : checkIndex(block, countAt, seed, place);
}

type Place = Parameters<typeof checkBlockSum>[3];

function checkLeaf(block: Uint8Array, seed: number, place: Place): RestoreError | undefined {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const at = block.byteLength - TAIL_BYTES;
  const isTail =
    view.getUint32(at, true) === 0 &&
    view.getUint16(at + 4, true) === TAIL_BYTES &&
    view.getUint8(at + 6) === 0 &&
    view.getUint8(at + 7) === TAIL_TYPE;
  if (!isTail) return bad(place, 'a tail with a checksum', 'none');
  const expected = continueCrc32c(seed, block.subarray(0, at));
  const found = view.getUint32(at + 8, true);
  return expected === found ? undefined : bad(place, `det_checksum ${expected}`, found);
}

function checkIndex(
  block: Uint8Array,
  countAt: number,
  seed: number,
  place: Place,
): RestoreError | undefined {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const limit = view.getUint16(countAt, true);
  const count = view.getUint16(countAt + 2, true);
  const tailAt = countAt + limit * INDEX_ENTRY_BYTES;
  if (count > limit || tailAt + 8 > block.byteLength) {
    return bad(place, 'dx_countlimit inside the block', `${count} of ${limit}`);
  }
  const entries = block.subarray(0, countAt + count * INDEX_ENTRY_BYTES);
  const reserved = block.subarray(tailAt, tailAt + 4);
  const sum = continueCrc32c(continueCrc32c(seed, entries), reserved);
  const expected = continueCrc32c(sum, new Uint8Array(4));
  const found = view.getUint32(tailAt + 4, true);
  return expected === found ? undefined : bad(place, `dt_checksum ${expected}`, found);
}

function bad({ directory, offset }: Place, expected: string, found: string | number): RestoreError {
  return new RestoreError('CORRUPT', 'a directory block is damaged', {
    where: { structure: `directory inode ${directory}`, offset, expected, found },
  });
}
