import { describe, expect, it } from 'vitest';
import { blockSourceSuite } from '../../test/conformance/block-source-suite.ts';
import { randomBytes } from '../../test/fixtures/random.ts';
import {
  BytesSource,
  extentsOf,
  isRestoreError,
  type Replacement,
  replaced,
  type SparseSource,
} from '../index.ts';

const BLOCK = 1024;
const BELOW = randomBytes(300 * BLOCK + 77, 21);
const FRESH = randomBytes(BLOCK, 22);

const BLOCKS: ReadonlyMap<number, Replacement> = new Map<number, Replacement>([
  [299, FRESH],
  [0, 100 * BLOCK],
  [7, FRESH],
  [8, 7 * BLOCK],
  [100, 0],
]);

/** The content, put together by copying. */
function expected(): Uint8Array {
  const content = BELOW.slice();
  for (const [block, by] of BLOCKS) {
    content.set(typeof by === 'number' ? BELOW.subarray(by, by + BLOCK) : by, block * BLOCK);
  }
  return content;
}

blockSourceSuite('replaced blocks', async () => ({
  source: replaced(new BytesSource(BELOW), BLOCK, BLOCKS),
  content: expected(),
}));

describe('replaced blocks', () => {
  it('are data, though they lie in a hole', async () => {
    const hollow: SparseSource = Object.assign(new BytesSource(BELOW), {
      async *extents(offset: number, length: number) {
        const start = Math.max(offset, 3 * BLOCK);
        const end = Math.min(offset + length, 5 * BLOCK);
        if (end > start) yield { offset: start, length: end - start };
      },
    });
    const source = replaced(
      hollow,
      BLOCK,
      new Map([
        [5, FRESH],
        [20, FRESH],
      ]),
    );
    expect(await Array.fromAsync(extentsOf(source))).toEqual([
      { offset: 3 * BLOCK, length: 3 * BLOCK },
      { offset: 20 * BLOCK, length: BLOCK },
    ]);
  });

  it.each<[string, [number, Replacement]]>([
    ['that is not whole inside the source', [300, FRESH]],
    ['by bytes from outside', [1, 300 * BLOCK]],
    ['by too few bytes', [1, FRESH.subarray(1)]],
  ])('refuse a block %s', (_, entry) => {
    let thrown: unknown;
    try {
      replaced(new BytesSource(BELOW), BLOCK, new Map([entry]));
    } catch (error) {
      thrown = error;
    }
    expect(isRestoreError(thrown, 'INVALID')).toBe(true);
  });
});
