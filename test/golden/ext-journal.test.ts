import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource } from '../../core/index.ts';
import { openFileSystem } from '../../parsers/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { type Listing, listFileSystem, listMounted } from '../fixtures/file-systems/index.ts';
import { makeDirty, onCopy, recoveredByKernel } from '../fixtures/file-systems/ext-dirty.ts';
import {
  FAST_DIRECTORY_RECIPES,
  FAST_RECIPES,
  LOG_RECIPES,
  ORPHAN_RECIPES,
} from '../fixtures/file-systems/ext-dirty-recipes.ts';
import { comparable } from '../fixtures/file-systems/ext-replay.ts';
import { run } from '../fixtures/tools/index.ts';
import { missingTool, removeFolder, temporaryFolder } from './image-support.ts';

/**
 * File systems that crashed, read as the kernel reads them after a recovery of its own.
 */
const TOOLS = ['mke2fs', 'e2fsck', 'xfs_io', 'losetup', 'fallocate'];

let folder: string;
let reason: string | undefined;

beforeAll(async () => {
  folder = await temporaryFolder();
  reason = missingTool(...TOOLS) ?? (await LoopDevice.missing(`${folder}/probe`));
});
afterAll(() => removeFolder(folder));
beforeEach((context) => context.skip(reason !== undefined, reason));

describe('the log of an ext journal', () => {
  describe.each(LOG_RECIPES)('$name', (recipe) => {
    const image = once(() => makeDirty(folder, recipe));

    it('shows the files that the kernel shows', async () => {
      const kernel = await recoveredByKernel(await image(), listMounted);
      expect(await listed(await image())).toEqual(kernel);
    });
  });

  it.each(ORPHAN_RECIPES)('$name: shows the files that the kernel shows', async (recipe) => {
    const image = await makeDirty(folder, recipe);
    expect(await listed(image)).toEqual(await recoveredByKernel(image, listMounted));
  });
});

describe('fast commits', () => {
  it.each(FAST_RECIPES)('$name: show the files that the kernel shows', async (recipe) => {
    const image = await makeDirty(folder, recipe);
    await expectFastCommits(image);
    const kernel = await recoveredByKernel(image, listMounted);
    expect(comparable(await listed(image))).toEqual(comparable(kernel));
  });

  it.each(FAST_DIRECTORY_RECIPES)(
    '$name: show the files that the kernel shows after e2fsck counted its links',
    async (recipe) => {
      const image = await makeDirty(folder, recipe);
      await expectFastCommits(image);
      const kernel = await onCopy(image, async (copy) => {
        await recoveredInPlace(copy);
        await run('e2fsck', ['-fy', copy], { accept: [0, 1] });
        return recoveredByKernel(copy, listMounted);
      });
      expect(comparable(await listed(image))).toEqual(comparable(kernel));
    },
  );
});

/** Or the test would prove nothing: a slow machine may have committed in full. */
async function expectFastCommits(image: string): Promise<void> {
  const { health } = await openFileSystem(new BytesSource(readFileSync(image)));
  expect(health.findings.at(-1)?.message).toMatch(/ [1-9]\d* fast commits/);
}

/** Mounts and unmounts it. */
async function recoveredInPlace(image: string): Promise<void> {
  const root = `${folder}/place`;
  await run('mkdir', ['-p', root]);
  await run('mount', ['-o', 'loop', image, root]);
  await run('umount', [root]);
}

async function listed(image: string): Promise<Listing> {
  const fileSystem = await openFileSystem(new BytesSource(readFileSync(image)));
  expect(fileSystem.health.state).toBe('journal replayed');
  return listFileSystem(fileSystem);
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
