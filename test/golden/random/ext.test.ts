/** ext2, ext3 and ext4 by chance: options, trees and work, as the kernel reads them. */
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Random } from '../../fixtures/disks/random.ts';
import { withExtMounted, withExtOpened } from '../../fixtures/file-systems/ext.ts';
import { isRestoreError } from '../../../core/index.ts';
import { LoopDevice } from '../../fixtures/loop-device.ts';
import { run } from '../../fixtures/tools/index.ts';
import { missingTool, removeFolder, temporaryFolder } from '../image-support.ts';
import { RANDOM_TIMEOUT_MS, runRounds, SEED } from './campaign.ts';
import { overhaulExt, randomExt } from './ext-recipe.ts';
import { projectExt } from './ext-project.ts';
import { expectAlike, surveyFileSystem, surveyMounted } from './survey.ts';
import { doWork, Work } from './work.ts';

const ATTEMPTS_MAX = 20;

describe(`random ext, seed ${SEED}`, () => {
  let folder: string;
  let reason: string | undefined;
  beforeAll(async () => {
    folder = await temporaryFolder();
    reason =
      missingTool('mke2fs', 'tune2fs', 'resize2fs', 'e2fsck', 'python3') ??
      (await LoopDevice.missing(path.join(folder, 'probe')));
  });
  afterAll(() => removeFolder(folder));
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('is read as the kernel reads it', { timeout: RANDOM_TIMEOUT_MS }, async () => {
    const image = path.join(folder, 'random.img');
    await runRounds('ext', 12, image, async (random) => {
      const told = await make(random, image);
      try {
        await compare(random, image);
      } catch (error) {
        throw new Error(`${told}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      }
      return 'compared';
    });
  });
});

/** @returns how it was made. */
async function make(random: Random, image: string): Promise<string> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    try {
      return await makeOnce(random, image);
    } catch (error) {
      // Chance draws what mke2fs or the kernel refuses.
      if (!isRestoreError(error)) throw error;
    }
  }
  throw new Error('no volume came about');
}

async function makeOnce(random: Random, image: string): Promise<string> {
  const { sizeBytes, mkfs, can } = randomExt(random);
  const work = new Work(random, can);
  const told = [`mke2fs ${mkfs.join(' ')} ${sizeBytes}`];
  rmSync(image, { force: true });
  writeFileSync(image, '');
  truncateSync(image, sizeBytes);
  await run('mke2fs', ['-q', '-F', ...mkfs, image]);
  for (let turn = random.between(1, 3); turn > 0; turn -= 1) {
    const operations = work.operations(random.pick([20, 60, 150]));
    const { done } = await withExtMounted(image, 'loop', (root) => doWork(root, operations));
    if (done === 0) throw new Error('nothing was done');
    told.push(await overhaulExt(random, image));
  }
  await withExtMounted(image, 'loop,ro', () => {});
  return told.join('; ');
}

async function compare(random: Random, image: string): Promise<void> {
  const theirs = await withExtMounted(image, 'loop,ro', (root) => surveyMounted(root));
  await withExtOpened(image, async (fileSystem) => {
    const ours = await surveyFileSystem(fileSystem, random);
    expectAlike(ours, theirs, projectExt);
    expect(fileSystem.health).toEqual({ state: 'clean', findings: [], omitted: 0 });
  });
}
