import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRestoreError } from '../../core/index.ts';
import { randomBytes } from '../../test/fixtures/random.ts';
import { findTool, run } from '../../test/fixtures/tools/index.ts';
import { decodeBlock, encodeBlock } from './codec.ts';
import { CODECS, type Codec } from './format.ts';

const BLOCK = 65_536;
const PYTHON = '/usr/bin/python3';
const NAMES = Object.keys(CODECS) as Codec[];
const text = Buffer.alloc(BLOCK, 'a line of a log file\n');

describe('block codecs', () => {
  it('give back what was encoded, and store raw what does not shrink', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...NAMES),
        fc.uint8Array({ minLength: 1, maxLength: 400 }),
        fc.integer({ min: 1, max: 50 }),
        (name, unit, times) => {
          const plain = Buffer.concat(Array.from({ length: times }, () => unit));
          const { data, codec } = encodeBlock(plain, name, 3);
          expect(Buffer.compare(decodeBlock(data, codec, plain.length), plain)).toBe(0);
          if (codec === CODECS.raw) expect(data.byteLength).toBe(plain.length);
          else expect(data.byteLength).toBeLessThan(plain.length * 0.95);
        },
      ),
    );
    const noise = randomBytes(BLOCK, 1);
    for (const name of NAMES) expect(encodeBlock(noise, name, 3).codec).toBe(CODECS.raw);
  });

  it('write zstd frames that the zstd program reads', async (context) => {
    const isThere =
      findTool(PYTHON) !== undefined &&
      (await run(PYTHON, ['-c', 'import zstandard'], { accept: [0, 1] })).exitCode === 0;
    context.skip(!isThere, 'python3-zstandard is not installed');
    const { data, codec } = encodeBlock(text, 'zstd', 3);
    expect(codec).toBe(CODECS.zstd);
    const script =
      'import sys, zstandard; b = sys.stdin.buffer.read(); sys.stdout.buffer.write(zstandard.decompress(b))';
    const { stdoutBytes } = await run(PYTHON, ['-c', script], { input: data });
    expect(Buffer.compare(stdoutBytes, text)).toBe(0);
  });

  it('never decode to more than they may', () => {
    for (const name of ['zstd', 'lz4'] as const) {
      const { data, codec } = encodeBlock(Buffer.alloc(8 * 1024 * 1024, 7), name, 3);
      expect(() => decodeBlock(data, codec, BLOCK)).toThrow(
        expect.toSatisfy((e) => isRestoreError(e, 'CORRUPT')),
      );
    }
  });

  it('either decode or say CORRUPT, whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('zstd' as const, 'lz4' as const),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        (name, place, mask, isCut) => {
          const { data, codec } = encodeBlock(text, name, 3);
          const damaged = Uint8Array.from(isCut ? data.subarray(0, place % data.length) : data);
          if (!isCut)
            damaged[place % damaged.length] = (damaged[place % damaged.length] ?? 0) ^ mask;
          try {
            expect(decodeBlock(damaged, codec, BLOCK).byteLength).toBeLessThanOrEqual(BLOCK);
          } catch (error) {
            expect(isRestoreError(error, 'CORRUPT')).toBe(true);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('call a codec of a later version unsupported', () => {
    expect(() => decodeBlock(text, 9, BLOCK)).toThrow(
      expect.toSatisfy((e) => isRestoreError(e, 'UNSUPPORTED')),
    );
  });
});
