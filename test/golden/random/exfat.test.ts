/** exFAT by chance: geometries, trees and work by exfat-fuse, as exfat-fuse reads them. */
import { existsSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Random } from '../../fixtures/disks/random.ts';
import { withExfatMounted } from '../../fixtures/file-systems/exfat.ts';
import { LoopDevice } from '../../fixtures/loop-device.ts';
import { run } from '../../fixtures/tools/index.ts';
import { missingTool, removeFolder, temporaryFolder } from '../image-support.ts';
import { withVolume } from '../ntfs-support.ts';
import { RANDOM_TIMEOUT_MS, runRounds, SEED } from './campaign.ts';
import { expectAlike, surveyFileSystem, type Surveyed, surveyMounted } from './survey.ts';
import { doWork, Work } from './work.ts';

const MIB = 1024 * 1024;
const FIRST_SECONDS = Date.UTC(1980, 0, 1) / 1000;
/** exfat-fuse takes 2100 for a leap year: it reads and writes what is behind it a day off. */
const LAST_SECONDS = Date.UTC(2100, 1, 28) / 1000;

describe(`random exFAT, seed ${SEED}`, () => {
  let folder: string;
  let reason: string | undefined;
  beforeAll(async () => {
    folder = await temporaryFolder();
    reason =
      (existsSync('/dev/fuse') ? undefined : 'no FUSE here') ??
      missingTool('mkfs.exfat', 'fsck.exfat', 'mount.exfat-fuse', 'python3') ??
      (await LoopDevice.missing(path.join(folder, 'probe')));
  });
  afterAll(() => removeFolder(folder));
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('is read as exfat-fuse reads it', { timeout: RANDOM_TIMEOUT_MS }, async () => {
    const image = path.join(folder, 'random.img');
    await runRounds('exfat', 6, image, async (random) => {
      const sectorBytes = random.pick([512, 512, 4096]);
      const clusterBytes = Math.max(sectorBytes, 512 * 2 ** random.below(10));
      const sizeBytes = MIB * random.pick(clusterBytes > 16_384 ? [40, 100] : [4, 8, 30]);
      const device = ['--sector-size', String(sectorBytes)];
      await format(image, device, clusterBytes, sizeBytes);
      const done = await fill(random, image, device, clusterBytes);
      expect(done).toBeGreaterThan(0);
      const theirs = await withExfatMounted(image, [...device, '--read-only'], (root) =>
        surveyMounted(root, []),
      );
      await withVolume(image, async (fileSystem) => {
        const ours = await surveyFileSystem(fileSystem, random);
        // Of its root exFAT records nothing.
        for (const survey of [ours, theirs]) survey.delete('/');
        expectAlike(ours, theirs, project);
        expect(fileSystem.health.state).toBe('clean');
      });
      return 'compared';
    });
  });
});

async function format(
  image: string,
  device: readonly string[],
  clusterBytes: number,
  sizeBytes: number,
): Promise<void> {
  rmSync(image, { force: true });
  writeFileSync(image, '');
  truncateSync(image, sizeBytes);
  const { stdout } = await run('losetup', ['--find', '--show', ...device, image]);
  try {
    await run('mkfs.exfat', ['-c', String(clusterBytes), stdout.trim()]);
  } finally {
    await run('losetup', ['--detach', stdout.trim()]);
  }
}

/** @returns how many operations were done. */
async function fill(
  random: Random,
  image: string,
  device: readonly string[],
  clusterBytes: number,
): Promise<number> {
  const work = new Work(random, {
    names: 'windows',
    blockBytes: clusterBytes,
    reachBytes: random.pick([100_000, 1_000_000]),
    isFillable: true,
    times: [FIRST_SECONDS, LAST_SECONDS],
    unitNanoseconds: 1_000_000_000,
  });
  let count = 0;
  for (let turn = random.between(1, 3); turn > 0; turn -= 1) {
    const operations = work.operations(random.pick([20, 60, 150]));
    const { done } = await withExfatMounted(image, device, (root) => doWork(root, operations));
    count += done;
  }
  return count;
}

/** Modes and owners are exfat-fuse's own. */
function project({ kind, size, modified, pieces, sha256 }: Surveyed): object {
  return kind === 'directory' ? { kind, modified } : { kind, size, modified, pieces, sha256 };
}
