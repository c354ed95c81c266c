import { closeSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource } from '../../core/index.ts';
import { openFileSystem } from '../../parsers/filesystem/open.ts';
import {
  type DirtyRecipe,
  makeDirty,
  onCopy,
  recoveredByKernel,
} from '../fixtures/file-systems/ext-dirty.ts';
import { FAST_RECIPES, LOG_RECIPES } from '../fixtures/file-systems/ext-dirty-recipes.ts';
import {
  comparable,
  differingBlocks,
  replayBytes,
  wholeOf,
} from '../fixtures/file-systems/ext-replay.ts';
import { type Listing, listFileSystem, listMounted } from '../fixtures/file-systems/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { run } from '../fixtures/tools/index.ts';
import { missingTool, removeFolder, temporaryFolder } from './image-support.ts';

/**
 * One bit of a journal is wrong: what we make of it is what e2fsck and the kernel make of it, and
 * where the kernel refuses the mount, the volume is called stale.
 */
let folder: string;
let reason: string | undefined;

beforeAll(async () => {
  folder = await temporaryFolder();
  const tools = ['mke2fs', 'e2fsck', 'xfs_io', 'losetup', 'fallocate'];
  reason = missingTool(...tools) ?? (await LoopDevice.missing(`${folder}/probe`));
});
afterAll(() => removeFolder(folder));
beforeEach((context) => context.skip(reason !== undefined, reason));

const DESCRIPTOR = 1;
const COMMIT = 2;
const SUPERBLOCK = 4;
const REVOCATION = 5;
/** In the header, in what follows it, in the body; the end of a commit block says nothing. */
const PLACES = { [DESCRIPTOR]: [0, 11, 0x12, 0x34, 1020], [COMMIT]: [5, 11, 0x11, 0x34] };

describe.each(['deletions', 'checksum-v1', 'deletions-ext3', 'rounds', 'reuse'])(
  'a wrong bit in the journal of %s',
  (name) => {
    it('gives the blocks that e2fsck gives, and what the kernel shows, or is stale', async () => {
      const image = await makeDirty(folder, recipeOf(LOG_RECIPES, name));
      const bytes = readFileSync(image);
      for (const at of logPlaces(bytes)) {
        const flipped = flip(bytes, at);
        const place = `${folder}/flipped.img`;
        writeFileSync(place, flipped);
        const { replayed } = await replayBytes(flipped);
        const theirs = await onCopy(place, (copy) => recoveredByE2fsck(copy, bytes.byteLength));
        const ours = await wholeOf(replayed.volume);
        expect({ at, differing: differingBlocks(ours, theirs) }).toEqual({ at, differing: [] });
        await expectAsKernel(place, at);
      }
    });
  },
);

describe.each(['deletions', 'deletions-ext3'])('a wrong bit in the superblock of %s', (name) => {
  it('is found, or is no matter', async () => {
    const image = await makeDirty(folder, recipeOf(LOG_RECIPES, name));
    const bytes = readFileSync(image);
    const superblock = journalBlocks(bytes).find(({ type }) => type === SUPERBLOCK);
    for (const offset of [0, 7, 15, 19, 23, 27, 31, 39, 43, 80, 253]) {
      const at = (superblock?.at ?? Number.NaN) + offset;
      const place = `${folder}/flipped.img`;
      writeFileSync(place, flip(bytes, at));
      await expectAsKernel(place, at);
    }
  });
});

describe('a wrong bit in fast commits', () => {
  it.each(['fast-create', 'fast-names-1k'])('%s: as the kernel has it, or stale', async (name) => {
    const image = await makeDirty(folder, recipeOf(FAST_RECIPES, name));
    const bytes = readFileSync(image);
    const head = fastHead(bytes);
    for (const offset of [0, 2, 4, 8, 12, 14, 16, 20, 40, 100, 200, 300, 2000, 4100, 9000]) {
      const place = `${folder}/flipped.img`;
      writeFileSync(place, flip(bytes, head + offset));
      await expectAsKernel(place, offset);
    }
  });
});

function recipeOf(recipes: readonly DirtyRecipe[], name: string): DirtyRecipe {
  return recipes.find((recipe) => recipe.name === name) as DirtyRecipe;
}

function flip(bytes: Buffer, at: number): Buffer {
  const flipped = Buffer.from(bytes);
  flipped[at] = (flipped[at] as number) ^ 0x04;
  return flipped;
}

async function expectAsKernel(image: string, at: number): Promise<void> {
  const kernel = await recoveredByKernel(image, listMounted).catch(() => undefined);
  const fileSystem = await openFileSystem(new BytesSource(readFileSync(image)));
  const { state } = fileSystem.health;
  if (kernel === undefined) expect({ at, state }).toEqual({ at, state: 'stale' });
  else {
    const ours: Listing = await listFileSystem(fileSystem);
    expect({ at, state, files: comparable(ours) }).toEqual({
      at,
      state,
      files: comparable(kernel),
    });
  }
}

async function recoveredByE2fsck(copy: string, length: number): Promise<Buffer> {
  const any = Array.from({ length: 16 }, (_, code) => code);
  await run('e2fsck', ['-E', 'journal_only', '-y', copy], { accept: any });
  // It may have grown: without checksums, a wrong tag can lead anywhere.
  const bytes = Buffer.alloc(length);
  const file = openSync(copy, 'r');
  readSync(file, bytes, 0, length, 0);
  closeSync(file);
  return bytes;
}

interface JournalBlock {
  readonly at: number;
  readonly type: number;
  readonly sequence: number;
}

/** Wherever the magic stands at the beginning of a block. */
function journalBlocks(bytes: Buffer): JournalBlock[] {
  const blockSize = 1024 << bytes.readUInt32LE(1024 + 0x18);
  const found: JournalBlock[] = [];
  for (let at = 0; at < bytes.byteLength; at += blockSize) {
    if (bytes.readUInt32BE(at) !== 0xc03b3998) continue;
    found.push({ at, type: bytes.readUInt32BE(at + 4), sequence: bytes.readUInt32BE(at + 8) });
  }
  return found;
}

/** Places in the first, a middle and the last block of each kind that is still to be replayed. */
function logPlaces(bytes: Buffer): number[] {
  const blocks = journalBlocks(bytes);
  const superblock = blocks.find(({ type }) => type === SUPERBLOCK) as JournalBlock;
  const first = bytes.readUInt32BE(superblock.at + 0x18);
  const blockSize = 1024 << bytes.readUInt32LE(1024 + 0x18);
  const places = new Set<number>();
  for (const kind of [DESCRIPTOR, COMMIT, REVOCATION]) {
    const live = blocks.filter(({ type, sequence }) => type === kind && sequence >= first);
    for (const block of [live[0], live[live.length >> 1], live.at(-1)]) {
      if (block === undefined) continue;
      for (const offset of PLACES[kind === COMMIT ? COMMIT : DESCRIPTOR]) {
        places.add(block.at + offset);
      }
      // What a descriptor describes follows it.
      if (kind === DESCRIPTOR) places.add(block.at + blockSize + 300);
    }
  }
  return [...places];
}

/** A head tag: kind 9, eight bytes, no features. */
function fastHead(bytes: Buffer): number {
  const at = bytes.indexOf(Uint8Array.of(9, 0, 8, 0, 0, 0, 0, 0));
  expect(at).toBeGreaterThan(0);
  return at;
}
