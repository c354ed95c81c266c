/** FAT12, FAT16 and FAT32 by chance: geometries, trees and changes by mtools, as mtools reads them. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Random } from '../../fixtures/disks/random.ts';
import { type FatPlan, formatFat } from '../../fixtures/file-systems/fat.ts';
import { UTC } from '../../fixtures/file-systems/fat-oracles.ts';
import { run } from '../../fixtures/tools/index.ts';
import { missingTool, removeFolder, temporaryFolder } from '../image-support.ts';
import { withVolume } from '../ntfs-support.ts';
import { RANDOM_TIMEOUT_MS, runRounds, SEED } from './campaign.ts';
import { expectAlike, surveyFileSystem, type Surveyed, surveyMounted } from './survey.ts';
import { doWork, Work } from './work.ts';

const reason = missingTool('mkfs.fat', 'fsck.fat', 'mcopy', 'mdel', 'mren', 'python3');
const FIRST_SECONDS = Date.UTC(1980, 0, 1) / 1000;
/** mtools takes 2100 for a leap year when it reads. */
const LAST_SECONDS = Date.UTC(2100, 1, 28) / 1000;

describe(`random FAT, seed ${SEED}`, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
  });
  afterAll(() => removeFolder(folder));
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('is read as mtools reads it', { timeout: RANDOM_TIMEOUT_MS }, async () => {
    const image = path.join(folder, 'random.img');
    await runRounds('fat', 8, image, async (random) => {
      const plan = randomFat(random);
      const told = JSON.stringify(plan);
      try {
        await formatFat(image, plan);
      } catch {
        return 'refused by mkfs.fat';
      }
      try {
        await fill(random, image, path.join(folder, 'source'));
        // mtools damages what it finds no room on: cross-linked chains, directories overwritten.
        const { exitCode } = await run('fsck.fat', ['-n', image], { accept: [0, 1] });
        if (exitCode !== 0) return 'damaged by mtools';
        await compare(random, image, plan, path.join(folder, 'taken'));
      } catch (error) {
        throw new Error(`${told}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      }
      return 'compared';
    });
  });
});

function randomFat(random: Random): FatPlan {
  const bits = random.pick([12, 12, 16, 16, 32] as const);
  const sectorBytes = random.pick([512, 512, 512, 1024, 2048, 4096]);
  const sectorsPerCluster = 2 ** random.below(sectorBytes === 512 ? 7 : 4);
  const clusterKib = (sectorBytes * sectorsPerCluster) / 1024;
  const clusters = { 12: [100, 4000], 16: [4200, 9000], 32: [67_000, 69_000] }[bits];
  const [least, most] = clusters as [number, number];
  return {
    bits,
    sectorBytes,
    sectorsPerCluster: bits === 32 ? Math.min(sectorsPerCluster, 2) : sectorsPerCluster,
    sizeKib: Math.ceil(random.between(least, most) * clusterKib) + 100,
  };
}

/** Trees copied in, in turns; between them names are changed and files deleted. */
async function fill(random: Random, image: string, source: string): Promise<void> {
  // It fails where there is no room, and now and then crashes: what is there is looked at all the same.
  const mtools = (tool: string, ...args: string[]) =>
    run(tool, [...args], { env: { ...UTC, MTOOLS_SKIP_CHECK: '1' }, accept: [0, 1, -1] });
  for (let turn = random.between(1, 4); turn > 0; turn -= 1) {
    rmSync(source, { recursive: true, force: true });
    mkdirSync(source);
    await doWork(source, workOf(random).operations(random.pick([20, 60])));
    const clash = random.pick(['-DO', '-DA', '-DS']);
    const place = random.pick(['::one', '::two', '::']);
    await mtools('mmd', '-i', image, '-DS', '::one', '::two');
    const entries = readdirSync(source).map((name) => path.join(source, name));
    await mtools('mcopy', '-i', image, '-s', '-m', '-Q', clash, ...entries, place);
    const names = readdirSync(source, { recursive: true, encoding: 'utf8' });
    for (const name of names.filter(() => random.below(4) === 0)) {
      const inside = path.posix.join(place, name);
      const chance = random.below(5);
      if (chance < 3) await mtools('mdel', '-i', image, inside);
      else if (chance === 3) await mtools('mren', '-i', image, inside, `::moved ${random.next()}`);
      else await mtools('mattrib', '-i', image, '+h', '+s', '+r', inside);
    }
  }
}

function workOf(random: Random): Work {
  return new Work(random, {
    names: 'fat',
    blockBytes: 512,
    reachBytes: 200_000,
    times: [FIRST_SECONDS, LAST_SECONDS],
    unitNanoseconds: 1_000_000_000,
  });
}

async function compare(random: Random, image: string, plan: FatPlan, taken: string): Promise<void> {
  rmSync(taken, { recursive: true, force: true });
  mkdirSync(taken);
  const options = { env: UTC, timeoutMs: 300_000 };
  await run('mcopy', ['-i', image, '-s', '-m', '-n', '::/', taken], options);
  const theirs = await surveyMounted(taken, []);
  await withVolume(image, async (fileSystem) => {
    expect(fileSystem.type).toBe(`FAT${plan.bits}`);
    const ours = await surveyFileSystem(fileSystem, random);
    for (const survey of [ours, theirs]) survey.delete('/');
    expectAlike(ours, theirs, project);
    expect(fileSystem.health.state).toBe('clean');
  });
}

/** Of files what FAT records; of directories that they are there. */
function project({ kind, size, modified, pieces, sha256 }: Surveyed): object {
  return kind === 'directory' ? { kind } : { kind, size, modified, pieces, sha256 };
}
