import { crc32c, layout } from '../../../core/index.ts';

/** Every checksummed structure of VHDX keeps its CRC-32C in bytes 4 to 7, taken as zeros. */
const CHECKSUM_AT = 4;

/** [MS-VHDX] sections 2.2.2, 2.2.3.1 and 2.3.1.1. */
export function checksumIsRight(structure: Uint8Array): boolean {
  const zeroed = structure.slice();
  zeroed.fill(0, CHECKSUM_AT, CHECKSUM_AT + 4);
  return crc32c(zeroed) === layout.viewOf(structure).getUint32(CHECKSUM_AT, true);
}
