import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource } from '../../core/index.ts';
import { openFileSystem } from '../../parsers/filesystem/open.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { type Listing, listFileSystem, listMounted } from '../fixtures/file-systems/index.ts';
import {
  type DirtyRecipe,
  makeDirty,
  onCopy,
  recoveredByKernel,
} from '../fixtures/file-systems/ext-dirty.ts';
import {
  FAST_DIRECTORY_RECIPES,
  FAST_RECIPES,
  LOG_RECIPES,
  ORPHAN_RECIPES,
} from '../fixtures/file-systems/ext-dirty-recipes.ts';
import {
  comparable,
  differingBlocks,
  replayBytes,
  wholeOf,
} from '../fixtures/file-systems/ext-replay.ts';
import { run } from '../fixtures/tools/index.ts';
import { missingTool, removeFolder, temporaryFolder } from './image-support.ts';

/**
 * File systems that crashed, read as the kernel and e2fsck read them after a recovery of their own.
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

    it('is replayed block for block as e2fsck does it', async () => {
      const before = readFileSync(await image());
      const { replayed, health } = await replayBytes(before);
      expect(health.health.state).toBe('journal replayed');
      expect(replayed.blocks).toBeGreaterThan(0);
      const ours = await wholeOf(replayed.volume);
      const theirs = await onCopy(await image(), recoveredByE2fsck);
      expect(Buffer.compare(theirs, before)).not.toBe(0);
      expect(differingBlocks(ours, theirs)).toEqual([]);
    });

    it('shows the files that the kernel shows', async () => {
      const kernel = await recoveredByKernel(await image(), listMounted);
      expect(await listed(await image())).toEqual(kernel);
    });
  });

  it.each(ORPHAN_RECIPES)('$name: shows the files that the kernel shows', async (recipe) => {
    const image = await makeDirty(folder, recipe);
    expect(await listed(image)).toEqual(await recoveredByKernel(image, listMounted));
  });

  it('brings back nothing that a later transaction revoked', async () => {
    for (const name of ['reuse', 'reuse-ext3']) {
      const recipe = LOG_RECIPES.find((one) => one.name === name) as DirtyRecipe;
      const { replayed } = await replayBytes(readFileSync(await makeDirty(folder, recipe)));
      expect(replayed.revoked).toBeGreaterThan(0);
    }
  });
});

describe('fast commits', () => {
  it.each(FAST_RECIPES)('$name: show the files that the kernel shows', async (recipe) => {
    const image = await makeDirty(folder, recipe);
    const { replayed, health } = await replayBytes(readFileSync(image));
    expect(replayed.fastCommits).toBeGreaterThan(0);
    expect(health.health.state).toBe('journal replayed');
    const kernel = await recoveredByKernel(image, listMounted);
    expect(comparable(await listed(image))).toEqual(comparable(kernel));
  });

  it.each(FAST_DIRECTORY_RECIPES)(
    '$name: show the files that the kernel shows after e2fsck counted its links',
    async (recipe) => {
      const image = await makeDirty(folder, recipe);
      const { replayed } = await replayBytes(readFileSync(image));
      expect(replayed.fastCommits).toBeGreaterThan(0);
      const kernel = await onCopy(image, async (copy) => {
        await recoveredInPlace(copy);
        await run('e2fsck', ['-fy', copy], { accept: [0, 1] });
        return recoveredByKernel(copy, listMounted);
      });
      expect(comparable(await listed(image))).toEqual(comparable(kernel));
    },
  );
});

async function recoveredByE2fsck(copy: string): Promise<Buffer> {
  await run('e2fsck', ['-E', 'journal_only', '-y', copy], { accept: [0, 1] });
  return readFileSync(copy);
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
