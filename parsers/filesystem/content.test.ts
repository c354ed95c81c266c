import { describe, expect, it } from 'vitest';
import { BytesSource, extentsOf, isRestoreError, RestoreError } from '../../core/index.ts';
import { blockSourceSuite } from '../../test/conformance/block-source-suite.ts';
import { randomBytes } from '../../test/fixtures/random.ts';
import { contentOf } from './content.ts';

const VOLUME = randomBytes(1_000_000, 3);
const RUNS = [
  { offset: 0, length: 4096, at: 8192 },
  { offset: 4096, length: 4096, at: 500_000 },
  { offset: 100_000, length: 65_536, at: 4096 },
  { offset: 300_000, length: 300_000, at: 600_000 },
];
const SIZE = 400_123;

function expected(): Uint8Array {
  const content = new Uint8Array(SIZE);
  for (const { offset, length, at } of RUNS) {
    const used = Math.min(length, SIZE - offset);
    content.set(VOLUME.subarray(at, at + used), offset);
  }
  return content;
}

blockSourceSuite('a content of runs', async () => ({
  source: contentOf(new BytesSource(VOLUME), SIZE, RUNS),
  content: expected(),
}));

describe('a content of runs', () => {
  it('names its runs as extents, joined where they touch and cut at its size', async () => {
    const source = contentOf(new BytesSource(VOLUME), SIZE, RUNS);
    expect(await Array.fromAsync(extentsOf(source))).toEqual([
      { offset: 0, length: 8192 },
      { offset: 100_000, length: 65_536 },
      { offset: 300_000, length: 100_123 },
    ]);
  });

  it('throws where a part of it is missing, and reads all around that', async () => {
    const missing = new RestoreError('CORRUPT', 'the chain ends here');
    const runs = [
      { offset: 0, length: 4096, at: 8192 },
      { offset: 4096, length: 4096, missing },
      { offset: 8192, length: 100, at: 0 },
    ];
    const source = contentOf(new BytesSource(VOLUME), 9000, runs);
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      const target = new Uint8Array(length);
      await source.readInto(target, offset);
      return target;
    };
    expect(await read(0, 4096)).toEqual(VOLUME.slice(8192, 12_288));
    expect(await read(8192, 100)).toEqual(VOLUME.slice(0, 100));
    await expect(read(4095, 2)).rejects.toBe(missing);
    await expect(read(8191, 1)).rejects.toBe(missing);
    expect(source.peek(5000, 10)).toBeUndefined();
    expect(await Array.fromAsync(extentsOf(source))).toEqual([{ offset: 0, length: 8292 }]);
  });

  it.each([
    ['overlap', [RUNS[1], RUNS[0]]],
    ['leave the volume', [{ offset: 0, length: 4096, at: 999_000 }]],
    ['lie at no place', [{ offset: 0, length: 4096, at: Number.NaN }]],
  ])('is refused when its runs %s', (_, runs) => {
    let thrown: unknown;
    try {
      contentOf(new BytesSource(VOLUME), SIZE, runs as typeof RUNS);
    } catch (error) {
      thrown = error;
    }
    expect(isRestoreError(thrown, 'CORRUPT')).toBe(true);
  });
});
