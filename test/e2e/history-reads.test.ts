/** What a history reads: counted below everything that it could keep in memory. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BlockSource, BytesSource, Ranges } from '../../core/index.ts';
import { type HistoryCounts, historyOf, type HistorySource } from '../../vfs/index.ts';
import { Scratch } from '../fixtures/repository.ts';
import { run } from '../fixtures/tools/index.ts';

const BLOCK_BYTES = 64 * 1024;
const MIB = 1024 * 1024;
const scratch = new Scratch();
let image: Buffer;

/** A point: the bytes of its one disk, and how many have been read of them. */
interface CountedPoint {
  readonly bytes: Buffer;
  readBytes: number;
}

beforeAll(async () => {
  const folder = scratch.file('tree');
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'file'), Buffer.alloc(2 * MIB, 'x'));
  writeFileSync(path.join(folder, 'other'), Buffer.alloc(2 * MIB, 'other'));
  const file = scratch.file('volume.img');
  writeFileSync(file, Buffer.alloc(24 * MIB));
  await run('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', folder, file]);
  image = readFileSync(file);
});
afterAll(() => scratch[Symbol.dispose]());

function counted(point: CountedPoint): BlockSource {
  const source = new BytesSource(point.bytes, 512);
  return {
    size: source.size,
    sectorSize: source.sectorSize,
    readInto: (target, offset) => {
      point.readBytes += target.byteLength;
      return source.readInto(target, offset);
    },
    peek: () => undefined,
    close: async () => {},
  };
}

function sourceOf(states: readonly Buffer[]): HistorySource<CountedPoint> {
  const points = states.map((bytes) => ({ bytes, readBytes: 0 }));
  const changed = (one: CountedPoint, other: CountedPoint): Ranges => {
    const extents = [];
    for (let offset = 0; offset < one.bytes.length; offset += BLOCK_BYTES) {
      const end = offset + BLOCK_BYTES;
      const isSame = one.bytes.subarray(offset, end).equals(other.bytes.subarray(offset, end));
      if (!isSame) extents.push({ offset, length: BLOCK_BYTES });
    }
    return Ranges.of(extents);
  };
  return {
    points,
    disksOf: async (point) => [{ id: 'disk0', source: counted(point) }],
    haveSameDisks: async (one, other) => one.bytes === other.bytes,
    changed: async (one, other) => new Map([['disk0', changed(one, other)]]),
  };
}

/** The image with another byte inside the only file of which that text is. */
function withOther(text: string): Buffer {
  const bytes = Buffer.from(image);
  const at = bytes.indexOf(Buffer.alloc(200_000, text)) + 150_000;
  bytes[at] = (bytes[at] as number) ^ 1;
  return bytes;
}

async function read(source: HistorySource<CountedPoint>): Promise<{
  readonly counts: HistoryCounts;
  readonly aspects: readonly (readonly string[])[];
}> {
  const counts = { same: 0, untouched: 0, looked: 0 };
  const aspects = [];
  const onProblem = (error: Error): never => {
    throw error;
  };
  const options = { wanted: { address: { path: '/file' } }, onProblem };
  for await (const version of historyOf(source, options, counts)) aspects.push(version.aspects);
  return { counts, aspects };
}

describe('the history of a file', () => {
  it('reads nothing of points that cannot differ, and no content of those that might', async () => {
    const source = sourceOf([image, image, withOther('other'), withOther('other')]);
    const { counts, aspects } = await read(source);
    expect(aspects).toEqual([[]]);
    expect(counts).toEqual({ same: 1, untouched: 2, looked: 1 });
    const [first, ...others] = source.points.map(({ readBytes }) => readBytes);
    expect(others).toEqual([0, 0, 0]);
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(2 * MIB);
  });

  it('reads of a content that might differ no more than where it might', async () => {
    const source = sourceOf([image, withOther('x')]);
    const { counts, aspects } = await read(source);
    expect(aspects).toEqual([[], ['content']]);
    expect(counts.looked).toBe(2);
    for (const { readBytes } of source.points) expect(readBytes).toBeLessThan(2 * MIB);
  });
});
