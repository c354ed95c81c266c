import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRestoreError } from '../../core/index.ts';
import { randomBytes } from '../../test/fixtures/random.ts';
import { findTool, run } from '../../test/fixtures/tools/index.ts';
import { decodeBlock, encodeBlock } from './codec.ts';
import { portableCodecs } from './codec-portable.ts';
import { loadSystemCodecs } from './codec-system.ts';
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

describe('the system’s codecs and the portable ones', () => {
  it('read what the other wrote', async (context) => {
    const system = await loadSystemCodecs();
    context.skip(system === undefined, 'libzstd.so.1 or liblz4.so.1 is not there');
    if (system === undefined) return;
    const blocks = [text, Buffer.alloc(1), Buffer.concat([randomBytes(40_000, 3), text])];
    for (const plain of blocks) {
      for (const name of ['zstd', 'lz4'] as const) {
        for (const [writer, reader] of [
          [system, portableCodecs],
          [portableCodecs, system],
        ] as const) {
          const { data, codec } = encodeBlock(plain, name, 3, writer);
          const got = decodeBlock(data, codec, plain.length, reader);
          expect(Buffer.compare(got, plain)).toBe(0);
        }
      }
    }
  });

  it('refuse the same damage', async (context) => {
    const system = await loadSystemCodecs();
    context.skip(system === undefined, 'libzstd.so.1 or liblz4.so.1 is not there');
    if (system === undefined) return;
    const zstd = Buffer.from(encodeBlock(text, 'zstd', 3).data);
    for (let at = 0; at < zstd.length; at += 1) {
      const damaged = Buffer.from(zstd);
      damaged[at] = (damaged[at] as number) ^ 0x10;
      for (const codecs of [system, portableCodecs]) {
        try {
          const got = decodeBlock(damaged, CODECS.zstd, BLOCK, codecs);
          expect(Buffer.compare(got, text)).toBe(0);
        } catch (error) {
          expect(isRestoreError(error, 'CORRUPT')).toBe(true);
        }
      }
    }
  });
});
