import { describe, expect, it } from 'vitest';
import { BytesSource, type Extent } from '../core/index.ts';
import { randomBytes, seededRandom } from '../test/fixtures/random.ts';
import { Scratch, TestRepository } from '../test/fixtures/repository.ts';
import { changedExtents, type NativeDisk, NativeRepository, resolveDisk } from './index.ts';

const BLOCK = 16 * 1024;

/** Captures each content as one more point of a machine, and opens the disks. */
async function disksOf(
  contents: readonly Uint8Array[],
  body: (disks: NativeDisk[], repository: NativeRepository) => Promise<void>,
): Promise<void> {
  using scratch = new Scratch();
  const made = await TestRepository.create(scratch, { blockSize: BLOCK });
  for (const content of contents) await made.capture('web01', [new BytesSource(content)]);
  const repository = await NativeRepository.open(made.location, { threads: 0 });
  try {
    const disks: NativeDisk[] = [];
    for (const { id } of [...repository.catalog.points].sort((a, b) =>
      a.takenAt < b.takenAt ? -1 : 1,
    )) {
      const { point, disk } = await resolveDisk(repository, `web01@${id}`);
      disks.push(repository.openDisk(point, disk));
    }
    await body(disks, repository);
  } finally {
    await repository.close();
  }
}

/** What differs, found by looking at every byte. */
function bruteForce(left: Uint8Array, right: Uint8Array): Extent[] {
  const size = Math.max(left.byteLength, right.byteLength);
  const shared = Math.min(left.byteLength, right.byteLength);
  const found: { offset: number; length: number }[] = [];
  const add = (offset: number, length: number): void => {
    const last = found.at(-1);
    if (last !== undefined && last.offset + last.length === offset) last.length += length;
    else if (length > 0) found.push({ offset, length });
  };
  for (let at = 0; at < shared; at += BLOCK) {
    const end = Math.min(shared, at + BLOCK);
    const fullEnd = at + BLOCK;
    const isSame = Buffer.compare(left.subarray(at, fullEnd), right.subarray(at, fullEnd)) === 0;
    if (!isSame) add(at, end - at);
  }
  add(shared, size - shared);
  return found;
}

async function expectChanges(left: Uint8Array, right: Uint8Array): Promise<void> {
  await disksOf([left, right], async ([before, after]) => {
    const found = await Array.fromAsync(changedExtents(before as NativeDisk, after as NativeDisk));
    expect(found).toEqual(bruteForce(left, right));
    const back = await Array.fromAsync(changedExtents(after as NativeDisk, before as NativeDisk));
    expect(back).toEqual(found);
  });
}

describe('changed extents of two points', () => {
  const base = randomBytes(300 * BLOCK + 1234, 5);

  it('are none for the same disk', async () => {
    await expectChanges(base, base.slice());
  });

  it.each([1, 2, 3])('are the blocks that differ, seed %i', async (seed) => {
    const random = seededRandom(seed);
    const changed = base.slice();
    for (let count = 0; count < 40; count += 1) {
      const at = Math.floor(random() * changed.byteLength);
      changed[at] = (changed[at] as number) ^ 0xff;
    }
    const hole = Math.floor(random() * 200) * BLOCK;
    changed.fill(0, hole, hole + 30 * BLOCK);
    await expectChanges(base, changed);
  });

  it('include what only the larger disk has, with a deeper map too', async () => {
    await expectChanges(base.subarray(0, 100 * BLOCK), base);
    await expectChanges(base.subarray(0, 100 * BLOCK + 77), base);
    await expectChanges(new Uint8Array(10 * BLOCK), base);
  });

  it('are the same whatever holds zeros', async () => {
    await expectChanges(new Uint8Array(300 * BLOCK), base.subarray(0, 300 * BLOCK));
    await expectChanges(new Uint8Array(300 * BLOCK), new Uint8Array(300 * BLOCK));
  });

  it('cost pages where the maps differ, and no block', async () => {
    const changed = base.slice();
    changed.fill(7, 290 * BLOCK, 291 * BLOCK);
    await disksOf([base, changed], async ([before, after], repository) => {
      const asked: string[] = [];
      const fetchPage = repository.blocks.page.bind(repository.blocks);
      const readBlocks = repository.blocks.read.bind(repository.blocks);
      repository.blocks.page = (reference, level) => {
        asked.push(`page of level ${level}`);
        return fetchPage(reference, level);
      };
      repository.blocks.read = (parts) => {
        asked.push(`${parts.length} blocks`);
        return readBlocks(parts);
      };
      const found = await Array.fromAsync(
        changedExtents(before as NativeDisk, after as NativeDisk),
      );
      expect(found).toEqual([{ offset: 290 * BLOCK, length: BLOCK }]);
      expect(asked.sort()).toEqual([
        'page of level 0',
        'page of level 0',
        'page of level 1',
        'page of level 1',
      ]);
    });
  });
});
