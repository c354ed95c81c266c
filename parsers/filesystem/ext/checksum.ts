import { crc32c } from '../../../core/index.ts';

/**
 * crc32c as ext4 uses it: no inversion before or after, so that sums can be continued.
 * Kernel documentation, filesystems/ext4, "Checksums".
 */
export function continueCrc32c(seed: number, data: Uint8Array): number {
  return ~crc32c(data, ~seed >>> 0) >>> 0;
}

const word = new Uint8Array(4);
const wordView = new DataView(word.buffer);

/** Continues a sum over one little-endian 32-bit value. */
export function continueWithWord(seed: number, value: number): number {
  wordView.setUint32(0, value, true);
  return continueCrc32c(seed, word);
}

const CRC16_TABLE = Uint16Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xa001 : value >>> 1;
  return value;
});

/** CRC-16 (ANSI, reflected), continued: group descriptors without `metadata_csum`. */
export function continueCrc16(seed: number, data: Uint8Array): number {
  let sum = seed;
  for (const byte of data) sum = (sum >>> 8) ^ (CRC16_TABLE[(sum ^ byte) & 0xff] as number);
  return sum;
}
