import { describe, expect, it } from 'vitest';
import { blockSourceSuite } from '../../test/conformance/block-source-suite.ts';
import { randomBytes } from '../../test/fixtures/random.ts';
import {
  BytesSource,
  type BlockSource,
  cache,
  concat,
  extentsOf,
  faulty,
  isRestoreError,
  readahead,
  slice,
} from '../index.ts';

const CONTENT = randomBytes(1_300_000, 7);

/** The bytes, without the shortcut of `peek`, so that a filter's own paths are walked. */
function withoutPeek(data: Uint8Array): BlockSource {
  const source = new BytesSource(data);
  return {
    size: source.size,
    sectorSize: source.sectorSize,
    readInto: (target, offset, signal) => source.readInto(target, offset, signal),
    peek: (offset, length) => {
      source.peek(offset, length);
      return undefined;
    },
    close: () => source.close(),
  };
}

function counted(next: BlockSource): BlockSource & { reads: number } {
  return {
    reads: 0,
    size: next.size,
    sectorSize: next.sectorSize,
    async readInto(target, offset, signal) {
      this.reads += 1;
      await next.readInto(target, offset, signal);
    },
    peek: () => undefined,
    close: () => next.close(),
  };
}

const make = (layer: (next: BlockSource) => BlockSource) => async () => ({
  source: layer(withoutPeek(CONTENT)),
  content: CONTENT,
});

blockSourceSuite('BytesSource', async () => ({
  source: new BytesSource(CONTENT),
  content: CONTENT,
}));
blockSourceSuite('slice', async () => ({
  source: slice(new BytesSource(CONTENT), 513, 900_000),
  content: CONTENT.subarray(513, 900_513),
}));
blockSourceSuite('concat', async () => ({
  source: concat([
    withoutPeek(CONTENT.subarray(0, 1000)),
    new BytesSource(new Uint8Array(0)),
    new BytesSource(CONTENT.subarray(1000, 700_001)),
    withoutPeek(CONTENT.subarray(700_001)),
  ]),
  content: CONTENT,
}));
blockSourceSuite(
  'cache',
  make((next) => cache(next, { budgetBytes: 300_000, lineBytes: 4096 })),
);
blockSourceSuite(
  'readahead',
  make((next) => readahead(next, { windowBytes: 100_000 })),
);
blockSourceSuite(
  'faulty without faults',
  make((next) => faulty(next, [])),
);
blockSourceSuite(
  'readahead over cache over slice',
  make((next) => readahead(cache(slice(next, 0, next.size), { budgetBytes: 1 << 20 }))),
);

describe('cache', () => {
  it('reads a line once for many concurrent readers, and keeps it', async () => {
    const below = counted(new BytesSource(CONTENT));
    const source = cache(below, { budgetBytes: 1 << 20 });
    await Promise.all([0, 100, 5000].map((offset) => source.readInto(new Uint8Array(512), offset)));
    expect(below.reads).toBe(1);
    expect(source.peek(5000, 512)).toEqual(CONTENT.subarray(5000, 5512));
  });

  it('stays within its budget', async () => {
    const source = cache(new BytesSource(CONTENT), { budgetBytes: 128 * 1024 });
    await source.readInto(new Uint8Array(CONTENT.byteLength), 0);
    const kept = Array.from({ length: 20 }, (_, line) => source.peek(line * 65_536, 1));
    expect(kept.filter((view) => view !== undefined)).toHaveLength(2);
  });

  it('does not keep a failure', async () => {
    const source = cache(faulty(new BytesSource(CONTENT), [{ times: 1 }]), {
      budgetBytes: 1 << 20,
    });
    await expect(source.readInto(new Uint8Array(10), 0)).rejects.toThrow(/injected/);
    await source.readInto(new Uint8Array(10), 0);
  });
});

describe('readahead', () => {
  it('turns a stream of small reads into few large ones', async () => {
    const below = counted(new BytesSource(CONTENT));
    const source = readahead(below, { windowBytes: 256 * 1024 });
    const got = new Uint8Array(CONTENT.byteLength);
    for (let at = 0; at < got.byteLength; at += 4096) {
      await source.readInto(got.subarray(at, Math.min(got.byteLength, at + 4096)), at);
    }
    expect(got).toEqual(CONTENT);
    expect(below.reads).toBeLessThan(20);
  });

  it('meets a failed fetch again only where a read needs it', async () => {
    const fault = { range: { offset: 200_000, length: 1 }, code: 'CORRUPT' as const };
    const source = readahead(faulty(new BytesSource(CONTENT), [fault]), { windowBytes: 400_000 });
    const failures: number[] = [];
    for (let at = 0; at < CONTENT.byteLength; at += 4096) {
      const target = new Uint8Array(Math.min(4096, CONTENT.byteLength - at));
      try {
        await source.readInto(target, at);
        expect(target).toEqual(CONTENT.subarray(at, at + target.byteLength));
      } catch (error) {
        expect(isRestoreError(error, 'CORRUPT')).toBe(true);
        failures.push(at);
      }
    }
    expect(failures).toEqual([Math.floor(200_000 / 4096) * 4096]);
  });
});

describe('extents', () => {
  it('are the whole range for a source that does not know', async () => {
    const found = await Array.fromAsync(extentsOf(new BytesSource(CONTENT), 10, 100));
    expect(found).toEqual([{ offset: 10, length: 100 }]);
  });
});
