import { describe, expect, it } from 'vitest';
import { crc32c, crc32cPortable } from './crc32c.ts';

/** RFC 7143 appendix A.4, as the digest stands on the wire. */
const VECTORS: readonly [string, Buffer, string][] = [
  ['32 zeros', Buffer.alloc(32), 'aa36918a'],
  ['32 ones', Buffer.alloc(32, 0xff), '43aba862'],
  ['0 to 31', Buffer.from(Array.from({ length: 32 }, (_, index) => index)), '4e79dd46'],
  ['31 to 0', Buffer.from(Array.from({ length: 32 }, (_, index) => 31 - index)), '5cdb3f11'],
  [
    'a SCSI Read (10) command',
    Buffer.from(
      '01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000',
      'hex',
    ),
    '563a96d9',
  ],
];

function wire(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(crc);
  return bytes.toString('hex');
}

describe('crc32c', () => {
  it.each(VECTORS)('of %s is as the RFC says', (_, data, expected) => {
    expect(wire(crc32cPortable(data))).toBe(expected);
    expect(wire(crc32c(data))).toBe(expected);
  });

  it('is the same natively and in JavaScript, whole and in parts', () => {
    const data = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 7919) & 0xff));
    for (const length of [255, 256, 257, 4095, 5000]) {
      const piece = data.subarray(0, length);
      expect(crc32c(piece)).toBe(crc32cPortable(piece));
      expect(crc32c(piece.subarray(100), crc32c(piece.subarray(0, 100)))).toBe(crc32c(piece));
    }
  });
});
