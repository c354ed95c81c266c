import { closeSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type DirtyRecipe,
  makeDirty,
  onCopy,
} from '../../../../test/fixtures/file-systems/ext-dirty.ts';
import { LOG_RECIPES } from '../../../../test/fixtures/file-systems/ext-dirty-recipes.ts';
import {
  differingBlocks,
  flipBit,
  logPlaces,
} from '../../../../test/fixtures/file-systems/ext-replay.ts';
import { LoopDevice } from '../../../../test/fixtures/loop-device.ts';
import { run } from '../../../../test/fixtures/tools/index.ts';
import {
  missingTool,
  removeFolder,
  temporaryFolder,
} from '../../../../test/golden/image-support.ts';
import { replayBytes, wholeOf } from './replay-bytes.fixture.ts';

/** Every byte of a crashed volume after our replay, held against e2fsck's on a copy. */
let folder: string;
let reason: string | undefined;

beforeAll(async () => {
  folder = await temporaryFolder();
  const tools = ['mke2fs', 'e2fsck', 'xfs_io', 'losetup', 'fallocate'];
  reason = missingTool(...tools) ?? (await LoopDevice.missing(`${folder}/probe`));
});
afterAll(() => removeFolder(folder));
beforeEach((context) => context.skip(reason !== undefined, reason));

const TIMEOUT_MS = 120_000;

describe('a replayed log', () => {
  it.each(LOG_RECIPES)(
    '$name has the blocks that e2fsck writes',
    { timeout: TIMEOUT_MS },
    async (recipe) => {
      const image = await makeDirty(folder, recipe);
      const before = readFileSync(image);
      const { replayed, health } = await replayBytes(before);
      expect(health.health.state).toBe('journal replayed');
      expect(replayed.blocks).toBeGreaterThan(0);
      if (recipe.name.startsWith('reuse')) expect(replayed.revoked).toBeGreaterThan(0);
      const theirs = await onCopy(image, (copy) => recoveredByE2fsck(copy, before.byteLength));
      expect(theirs.equals(before)).toBe(false);
      expect(differingBlocks(await wholeOf(replayed.volume), theirs)).toEqual([]);
    },
  );

  it.each(['deletions', 'checksum-v1', 'deletions-ext3', 'rounds', 'reuse'])(
    '%s has the blocks that e2fsck writes when a bit of it is wrong',
    { timeout: TIMEOUT_MS },
    async (name) => {
      const recipe = LOG_RECIPES.find((one) => one.name === name) as DirtyRecipe;
      const bytes = readFileSync(await makeDirty(folder, recipe));
      for (const at of logPlaces(bytes)) {
        const flipped = flipBit(bytes, at);
        const place = `${folder}/flipped.img`;
        writeFileSync(place, flipped);
        const { replayed } = await replayBytes(flipped);
        const theirs = await onCopy(place, (copy) => recoveredByE2fsck(copy, bytes.byteLength));
        const differing = differingBlocks(await wholeOf(replayed.volume), theirs);
        expect({ at, differing }).toEqual({ at, differing: [] });
      }
    },
  );
});

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
