import { compressSync } from 'lz4-napi';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { randomBytes } from '../../test/fixtures/random.ts';
import { decodeLz4Block } from './lz4-block.ts';

const PREFIX_BYTES = 4;

/** As another implementation compresses it. */
function compress(plain: Uint8Array): Buffer {
  return compressSync(Buffer.from(plain)).subarray(PREFIX_BYTES);
}

describe('LZ4 in JavaScript', () => {
  it('reads what another implementation wrote', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 400 })), {
          maxLength: 6,
        }),
        (parts) => {
          const plain = Buffer.concat(
            parts.flatMap(([unit, times]) => Array.from({ length: times }, () => unit)),
          );
          if (plain.length === 0) return;
          expect(Buffer.compare(decodeLz4Block(compress(plain), plain.length), plain)).toBe(0);
        },
      ),
    );
    const noise = randomBytes(100_000, 1);
    expect(Buffer.compare(decodeLz4Block(compress(noise), noise.length), noise)).toBe(0);
  });

  it('refuses every other length', () => {
    const plain = Buffer.alloc(10_000, 'a line of a log file\n');
    const stored = compress(plain);
    for (const length of [0, 1, 9_999, 10_001]) {
      expect(() => decodeLz4Block(stored, length)).toThrow('LZ4');
    }
  });

  it('ends with the stated length or an error, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(2_000), (stored, length) => {
        try {
          expect(decodeLz4Block(stored, length).byteLength).toBe(length);
        } catch (error) {
          expect((error as Error).message).toContain('LZ4');
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
