import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource } from '../../core/index.ts';
import { openFileSystem } from '../../parsers/index.ts';
import {
  type DirtyRecipe,
  makeDirty,
  recoveredByKernel,
} from '../fixtures/file-systems/ext-dirty.ts';
import { FAST_RECIPES, LOG_RECIPES } from '../fixtures/file-systems/ext-dirty-recipes.ts';
import {
  comparable,
  flipBit,
  journalSuperblock,
  logPlaces,
} from '../fixtures/file-systems/ext-replay.ts';
import { type Listing, listFileSystem, listMounted } from '../fixtures/file-systems/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { missingTool, removeFolder, temporaryFolder } from './image-support.ts';

/**
 * One bit of a journal is wrong: what we make of it is what the kernel makes of it, and where it
 * refuses the mount, the volume is called stale.
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

describe.each(['deletions', 'checksum-v1', 'deletions-ext3', 'rounds', 'reuse'])(
  'a wrong bit in the journal of %s',
  (name) => {
    it('gives what the kernel shows, or is stale', async () => {
      const image = await makeDirty(folder, recipeOf(LOG_RECIPES, name));
      const bytes = readFileSync(image);
      for (const at of logPlaces(bytes)) {
        const place = `${folder}/flipped.img`;
        writeFileSync(place, flipBit(bytes, at));
        await expectAsKernel(place, at);
      }
    });
  },
);

describe.each(['deletions', 'deletions-ext3'])('a wrong bit in the superblock of %s', (name) => {
  it('is found, or is no matter', async () => {
    const image = await makeDirty(folder, recipeOf(LOG_RECIPES, name));
    const bytes = readFileSync(image);
    const superblock = journalSuperblock(bytes);
    for (const offset of [0, 7, 15, 19, 23, 27, 31, 39, 43, 80, 253]) {
      const at = superblock + offset;
      const place = `${folder}/flipped.img`;
      writeFileSync(place, flipBit(bytes, at));
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
      writeFileSync(place, flipBit(bytes, head + offset));
      await expectAsKernel(place, offset);
    }
  });
});

function recipeOf(recipes: readonly DirtyRecipe[], name: string): DirtyRecipe {
  return recipes.find((recipe) => recipe.name === name) as DirtyRecipe;
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

/** A head tag: kind 9, eight bytes, no features. */
function fastHead(bytes: Buffer): number {
  const at = bytes.indexOf(Uint8Array.of(9, 0, 8, 0, 0, 0, 0, 0));
  expect(at).toBeGreaterThan(0);
  return at;
}
