import { isProven, parseSuperblock, SUPERBLOCK_AT, type Superblock } from './superblock.ts';

/**
 * The primary superblock as it was before one bit of it flipped: the only one that makes its own sum
 * hold. No two flipped bits look like another one (CRC-32C tells up to three from none at this length),
 * and random bytes do once in half a million times; all that it leads to has sums over the volume's
 * UUID then.
 *
 * @returns `undefined` when no bit does, as where there are no sums.
 * @throws RestoreError `CORRUPT` when the sum holds and the superblock contradicts itself.
 */
export function mendSuperblock(raw: Uint8Array): Superblock | undefined {
  const mended = Uint8Array.from(raw);
  for (let bit = 0; bit < mended.byteLength * 8; bit += 1) {
    flip(mended, bit);
    if (isProven(mended)) return parseSuperblock(mended, SUPERBLOCK_AT);
    flip(mended, bit);
  }
  return undefined;
}

function flip(bytes: Uint8Array, bit: number): void {
  const at = Math.floor(bit / 8);
  bytes[at] = (bytes[at] as number) ^ (1 << (bit % 8));
}
