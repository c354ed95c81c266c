import { crc32 } from 'node:zlib';

const INITIAL_CRC = 0xf597a6cf;

/** LVM2's `calc_crc` (lib/misc/crc.c): CRC-32 with its own start and without the final inversion. */
export function lvmChecksum(...pieces: readonly Uint8Array[]): number {
  let state = ~INITIAL_CRC >>> 0;
  for (const piece of pieces) state = crc32(piece, state);
  return ~state >>> 0;
}
