import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type BlockSource, extentsOf, isRestoreError } from '../../core/index.ts';
import { seededRandom } from '../fixtures/random.ts';

/** What a suite needs of the source under test: the source and the bytes it must show. */
export interface SourceUnderTest {
  readonly source: BlockSource;
  /** The whole content, from somewhere other than the source. */
  readonly content: Uint8Array;
}

/**
 * The contract of `BlockSource` (and of `SparseSource`, for sources that are sparse). Every source
 * and every filter runs it; `make` is called once a test and gives a fresh, open source.
 */
export function blockSourceSuite(name: string, make: () => Promise<SourceUnderTest>): void {
  const withSource =
    (body: (under: SourceUnderTest) => Promise<void>): (() => Promise<void>) =>
    async () => {
      const under = await make();
      try {
        await body(under);
      } finally {
        await under.source.close();
      }
    };

  describe(`${name} keeps the BlockSource contract`, () => {
    it(
      'has the size of its content and a legal sector size',
      withSource(async ({ source, content }) => {
        expect(source.size).toBe(content.byteLength);
        expect([512, 4096]).toContain(source.sectorSize);
      }),
    );

    it(
      'reads the whole as one',
      withSource(async ({ source, content }) => {
        const target = new Uint8Array(content.byteLength);
        await source.readInto(target, 0);
        expect(sha256(target)).toBe(sha256(content));
      }),
    );

    it(
      'reads random ranges exactly and touches nothing beside the target',
      withSource(async ({ source, content }) => {
        const random = seededRandom(1);
        for (let round = 0; round < 60; round += 1) {
          const { offset, length } = randomRange(random, content.byteLength);
          const guarded = new Uint8Array(length + 32).fill(0xa5);
          await source.readInto(guarded.subarray(16, 16 + length), offset);
          expect(sha256(guarded.subarray(16, 16 + length))).toBe(
            sha256(content.subarray(offset, offset + length)),
          );
          expect(guarded.subarray(0, 16)).toEqual(new Uint8Array(16).fill(0xa5));
          expect(guarded.subarray(16 + length)).toEqual(new Uint8Array(16).fill(0xa5));
        }
      }),
    );

    it(
      'serves many reads at once',
      withSource(async ({ source, content }) => {
        const random = seededRandom(2);
        const reads = Array.from({ length: 40 }, async () => {
          const { offset, length } = randomRange(random, content.byteLength);
          const target = new Uint8Array(length);
          await source.readInto(target, offset);
          expect(sha256(target)).toBe(sha256(content.subarray(offset, offset + length)));
        });
        await Promise.all(reads);
      }),
    );

    it(
      'peeks either nothing or the right bytes, before and after a read',
      withSource(async ({ source, content }) => {
        const random = seededRandom(3);
        for (let round = 0; round < 60; round += 1) {
          const { offset, length } = randomRange(random, content.byteLength);
          const expected = sha256(content.subarray(offset, offset + length));
          const before = source.peek(offset, length);
          if (before !== undefined) expect(sha256(before)).toBe(expected);
          await source.readInto(new Uint8Array(length), offset);
          const after = source.peek(offset, length);
          if (after !== undefined) expect(sha256(after)).toBe(expected);
        }
      }),
    );

    it(
      'reads nothing at both ends, and refuses every range that is not inside it',
      withSource(async ({ source, content }) => {
        const size = content.byteLength;
        await source.readInto(new Uint8Array(0), 0);
        await source.readInto(new Uint8Array(0), size);
        const bad: [number, number][] = [
          [size, 1],
          [size - 1, 2],
          [-1, 1],
          [0.5, 1],
          [Number.NaN, 1],
          [2 ** 53, 1],
          [0, size + 1],
        ];
        for (const [offset, length] of bad) {
          await expect(source.readInto(new Uint8Array(length), offset)).rejects.toSatisfy((e) =>
            isRestoreError(e, 'INVALID'),
          );
          expect(() => source.peek(offset, length)).toThrow(/not inside/);
        }
      }),
    );

    it(
      'stops with CANCELLED when its signal was aborted',
      withSource(async ({ source }) => {
        const length = Math.min(512, source.size);
        await expect(
          source.readInto(new Uint8Array(length), 0, AbortSignal.abort()),
        ).rejects.toSatisfy((e) => isRestoreError(e, 'CANCELLED'));
      }),
    );

    it(
      'lists extents in order, inside the asked range, with only zeros between them',
      withSource(async ({ source, content }) => {
        const random = seededRandom(4);
        const ranges = [{ offset: 0, length: content.byteLength }];
        for (let round = 0; round < 10; round += 1) {
          ranges.push(randomRange(random, content.byteLength));
        }
        for (const { offset, length } of ranges) {
          let at = offset;
          for await (const extent of extentsOf(source, offset, length)) {
            expect(extent.length).toBeGreaterThan(0);
            expect(extent.offset).toBeGreaterThanOrEqual(at);
            expectZeros(content.subarray(at, extent.offset));
            at = extent.offset + extent.length;
          }
          expect(at).toBeLessThanOrEqual(offset + length);
          expectZeros(content.subarray(at, offset + length));
        }
      }),
    );

    it(
      'closes twice without complaint',
      withSource(async ({ source }) => {
        await source.close();
        await source.close();
      }),
    );
  });
}

function randomRange(random: () => number, size: number): { offset: number; length: number } {
  const offset = Math.floor(random() * size);
  const longest = Math.min(size - offset, random() < 0.5 ? 8192 : 512 * 1024);
  return { offset, length: 1 + Math.floor(random() * Math.max(0, longest - 1)) };
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

function expectZeros(data: Uint8Array): void {
  expect(data.every((byte) => byte === 0)).toBe(true);
}
