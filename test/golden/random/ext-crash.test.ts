/**
 * ext volumes that were in use when the power went, at a random moment of random work: read as the
 * kernel reads them once it has recovered a copy.
 */
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest';
import { isRestoreError } from '../../../core/index.ts';
import type { Random } from '../../fixtures/disks/random.ts';
import { withExtMounted, withExtOpened } from '../../fixtures/file-systems/ext.ts';
import { onCopy } from '../../fixtures/file-systems/ext-dirty.ts';
import { LoopDevice } from '../../fixtures/loop-device.ts';
import { run } from '../../fixtures/tools/index.ts';
import { missingTool, removeFolder, temporaryFolder } from '../image-support.ts';
import { RANDOM_TIMEOUT_MS, runRounds, SEED } from './campaign.ts';
import { randomExt } from './ext-recipe.ts';
import { projectExt } from './ext-project.ts';
import { expectAlike, type Survey, surveyFileSystem, surveyMounted } from './survey.ts';
import { doWork, type Operation, Work } from './work.ts';

/** Without `nodelalloc` and `data=journal`: under random work Linux 6.18 crashed in the former. */
const MOUNTS = [
  'data=ordered',
  'data=ordered',
  'data=writeback',
  'journal_checksum',
  'journal_async_commit',
  'commit=1',
] as const;

describe(`random crashes of ext, seed ${SEED}`, () => {
  let folder: string;
  let reason: string | undefined;
  beforeAll(async () => {
    folder = await temporaryFolder();
    reason =
      missingTool('mke2fs', 'e2fsck', 'python3') ??
      (await LoopDevice.missing(path.join(folder, 'probe')));
  });
  afterAll(() => removeFolder(folder));
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('reads what the kernel recovers', { timeout: RANDOM_TIMEOUT_MS }, async () => {
    const image = path.join(folder, 'crashed.img');
    await runRounds('ext-crash', 12, image, async (random) => {
      const told = await crash(random, path.join(folder, 'working.img'), image);
      if (told === undefined) return 'refused by mke2fs or the kernel';
      try {
        return await compare(random, image);
      } catch (error) {
        throw new Error(`${told}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      }
    });
  });
});

/** @returns how it was made; nothing when chance drew what mke2fs or the kernel refuses. */
async function crash(random: Random, working: string, image: string): Promise<string | undefined> {
  const { sizeBytes, mkfs, can } = randomExt(random, true);
  const work = new Work(random, { ...can, reachBytes: Math.min(can.reachBytes, 50_000_000) });
  const options = `loop,${random.pick(MOUNTS)}`;
  const before = work.operations(random.pick([10, 60]));
  const after = withSyncs(random, work.operations(random.pick([20, 80, 200])));
  const shutdown = random.pick([0, 1, 1, 2, 2]);
  const told = `mke2fs ${mkfs.join(' ')} ${sizeBytes}; ${options}; shutdown ${shutdown}`;
  for (const file of [working, image]) rmSync(file, { force: true });
  try {
    await run('truncate', ['-s', String(sizeBytes), working]);
    await run('mke2fs', ['-q', '-F', ...mkfs, working]);
    await withExtMounted(working, options, () => {});
  } catch (error) {
    if (isRestoreError(error)) return undefined;
    throw error;
  }
  await withExtMounted(working, options, (root) => doWork(root, before));
  await withExtMounted(working, options, (root) =>
    doWork(root, [...after, { do: 'snapshot', image: working, copy: image, shutdown }]),
  );
  if (!existsSync(image)) throw new Error(`no crash came about: ${told}`);
  return told;
}

/** The same with files and all put on the disk in between, and some deleted while they are open. */
function withSyncs(random: Random, operations: readonly Operation[]): Operation[] {
  const often = random.pick([4, 10, 1_000_000]);
  return operations.flatMap((operation) => {
    const { path: place } = operation;
    const mixed: Operation[] = [operation];
    if (random.below(often) === 0) mixed.push({ do: 'sync' });
    if (typeof place !== 'string') return mixed;
    if (random.below(often) === 0) mixed.push({ do: 'fsync', path: place });
    if (operation.do === 'remove' && random.below(3) === 0)
      mixed[0] = { ...operation, do: 'orphan' };
    return mixed;
  });
}

/** EBADMSG and EUCLEAN, by which ext4 says that it finds damage: shut down in the middle, it made some. */
const KERNEL_FINDS_DAMAGE = /Errno (74|117)\b/;

async function compare(random: Random, image: string): Promise<string> {
  let theirs: Survey;
  try {
    theirs = await onCopy(image, (copy) =>
      withExtMounted(copy, 'loop,noatime', (root) => surveyMounted(root)),
    );
  } catch (error) {
    if (isRestoreError(error) && KERNEL_FINDS_DAMAGE.test(error.message)) {
      return 'that the kernel cannot read either';
    }
    throw error;
  }
  return withExtOpened(image, async (fileSystem) => {
    const ours = await surveyFileSystem(fileSystem, random);
    expectAlike(ours, theirs, projectExt);
    const { state, findings } = fileSystem.health;
    if (state === 'partly damaged' || state === 'stale') {
      throw new Error(`${state}: ${findings.map(({ message }) => message).join('; ')}`);
    }
    return 'compared';
  });
}
