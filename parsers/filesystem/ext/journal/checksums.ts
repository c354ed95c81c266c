import { layout } from '../../../../core/index.ts';
import { continueCrc32c } from '../checksum.ts';
import { type JournalFormat, sumWithout } from './format.ts';

/** "Block Tail": the sum in the last four bytes of descriptor and revoke blocks (versions 2, 3). */
export const BLOCK_TAIL_BYTES = 4;

/** "Commit Block". */
export const CommitBlock = {
  h_chksum_type: layout.u8(0xc),
  h_chksum_size: layout.u8(0xd),
  h_chksum: layout.u32be(0x10),
  h_commit_sec: layout.bits64be(0x30),
} as const;
const COMMIT_SUM_AT = 0x10;
const COMMIT_HEADER_BYTES = 60;
const TYPE_CRC32 = 1;
const CRC32_BYTES = 4;

/** True unless the block should carry a sum in its tail and carries another. */
export function tailSumHolds(format: JournalFormat, block: Uint8Array): boolean {
  if (format.checksums < 2) return true;
  const at = format.blockSize - BLOCK_TAIL_BYTES;
  return sumWithout(format.checksumSeed, block, at) === layout.u32be(at)(layout.viewOf(block));
}

/**
 * True unless a commit block should carry a sum over itself and carries another. One of which only
 * the header reached the disk counts, as in the kernel: the rest of it was to be zeros, and says
 * nothing (`jbd2_commit_block_csum_verify_partial`).
 */
export function commitSumHolds(format: JournalFormat, block: Uint8Array): boolean {
  if (format.checksums < 2) return true;
  const found = CommitBlock.h_chksum(layout.viewOf(block));
  if (sumWithout(format.checksumSeed, block, COMMIT_SUM_AT) === found) return true;
  const header = new Uint8Array(block.byteLength);
  header.set(block.subarray(0, COMMIT_HEADER_BYTES));
  return sumWithout(format.checksumSeed, header, COMMIT_SUM_AT) === found;
}

/** True when the tag's sum is that of the logged block (versions 2 and 3). */
export function tagSumHolds(
  format: JournalFormat,
  sequence: number,
  block: Uint8Array,
  sum: number,
): boolean {
  const number = new Uint8Array(4);
  layout.viewOf(number).setUint32(0, sequence);
  const expected = continueCrc32c(continueCrc32c(format.checksumSeed, number), block);
  return sum === (format.checksums === 3 ? expected : expected & 0xffff);
}

/** True when a commit block's sum over its transaction (version 1) is `sum`, or was never made. */
export function transactionSumHolds(block: Uint8Array, sum: number): boolean {
  const view = layout.viewOf(block);
  const type = CommitBlock.h_chksum_type(view);
  const size = CommitBlock.h_chksum_size(view);
  const found = CommitBlock.h_chksum(view);
  if (type === 0 && size === 0 && found === 0) return true;
  return type === TYPE_CRC32 && size === CRC32_BYTES && found === sum;
}

/** What a version 1 sum begins with. */
export const TRANSACTION_SUM_START = 0xffff_ffff;

/** CRC-32 with its highest bit first and no inversions: `crc32_be` of the kernel's lib/crc. */
export function continueCrc32(seed: number, data: Uint8Array): number {
  let sum = seed;
  for (const byte of data) sum = (sum << 8) ^ (CRC32_TABLE[(sum >>> 24) ^ byte] as number);
  return sum >>> 0;
}

const CRC32_POLYNOMIAL = 0x04c11db7;
const CRC32_TABLE = Int32Array.from({ length: 256 }, (_, index) => {
  let value = index << 24;
  for (let bit = 0; bit < 8; bit += 1) {
    value = value < 0 ? (value << 1) ^ CRC32_POLYNOMIAL : value << 1;
  }
  return value;
});
