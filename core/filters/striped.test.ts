import { describe, expect, it } from 'vitest';
import { blockSourceSuite } from '../../test/conformance/block-source-suite.ts';
import { randomBytes } from '../../test/fixtures/random.ts';
import {
  borrowed,
  BytesSource,
  concat,
  extentsOf,
  isRestoreError,
  striped,
  zeroSource,
} from '../index.ts';

const STRIPE = 4096;
const MEMBERS = [1, 2, 3].map((seed) => randomBytes(50 * STRIPE, seed));

/** Row by row, written down from what striping means. */
function woven(): Uint8Array {
  const rows: Uint8Array[] = [];
  for (let at = 0; at < 50 * STRIPE; at += STRIPE) {
    for (const member of MEMBERS) rows.push(member.subarray(at, at + STRIPE));
  }
  return Buffer.concat(rows);
}

blockSourceSuite('striped', async () => ({
  source: striped(
    MEMBERS.map((member) => new BytesSource(member)),
    STRIPE,
  ),
  content: woven(),
}));
blockSourceSuite('borrowed', async () => ({
  source: borrowed(new BytesSource(MEMBERS[0] as Uint8Array), 4096),
  content: MEMBERS[0] as Uint8Array,
}));
blockSourceSuite('zeroSource', async () => ({
  source: zeroSource(1_500_000),
  content: new Uint8Array(1_500_000),
}));

describe('striped', () => {
  it('tells holes of its members where they lie in the whole', async () => {
    const half = concat([new BytesSource(new Uint8Array(STRIPE)), zeroSource(STRIPE)]);
    const source = striped([half, new BytesSource(new Uint8Array(2 * STRIPE))], STRIPE);
    expect(await Array.fromAsync(extentsOf(source))).toEqual([
      { offset: 0, length: 2 * STRIPE },
      { offset: 3 * STRIPE, length: STRIPE },
    ]);
  });

  it.each([
    ['nothing', [], STRIPE],
    ['members of several sizes', [STRIPE, 2 * STRIPE], STRIPE],
    ['members of no whole stripes', [5000, 5000], STRIPE],
    ['stripes of no size', [STRIPE, STRIPE], 0],
    ['stripes of half a byte', [STRIPE, STRIPE], 0.5],
  ])('refuses %s', (_, sizes, stripeBytes) => {
    let thrown: unknown;
    try {
      striped(
        sizes.map((size) => zeroSource(size)),
        stripeBytes,
      );
    } catch (error) {
      thrown = error;
    }
    expect(isRestoreError(thrown, 'INVALID')).toBe(true);
  });
});

describe('borrowed', () => {
  it('leaves what it borrowed open', async () => {
    let isOpen = true;
    const next = new BytesSource(new Uint8Array(512));
    next.close = async () => {
      isOpen = false;
    };
    await borrowed(next).close();
    expect(isOpen).toBe(true);
  });
});
