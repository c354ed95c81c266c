/** What a writable unit takes in one command, as VPD page B0 tells it. SBC-3 section 6.6.3. */
import type { LogicalUnit } from './logical-unit.ts';

/** COMPARE AND WRITE: the CDB's field has one byte. */
export const MAX_COMPARE_BLOCKS = 255;
export const MAX_UNMAP_DESCRIPTORS = 256;
/** What an overlay can give back at once is worth asking for in such pieces. */
export const UNMAP_GRAIN_BYTES = 4096;
/** Resource counts of LOG SENSE page 0C are in units of two to this many blocks. */
export const LOG_GRAIN_EXPONENT = 11;

const MAX_UNMAP_BYTES = 512 * 2 ** 20;
const MAX_SAME_BYTES = 256 * 2 ** 20;

export function maxUnmapBlocks({ blockBytes }: LogicalUnit): number {
  return MAX_UNMAP_BYTES / blockBytes;
}

/** WRITE SAME writes real data, and must end before an initiator gives up on it. */
export function maxSameBlocks({ blockBytes }: LogicalUnit): number {
  return MAX_SAME_BYTES / blockBytes;
}
