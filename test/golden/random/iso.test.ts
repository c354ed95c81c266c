/** ISO 9660 by chance: two writers, their options and random trees, as bsdtar reads them. */
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest';
import type { Random } from '../../fixtures/disks/random.ts';
import { UTC } from '../../fixtures/file-systems/fat-oracles.ts';
import { run } from '../../fixtures/tools/index.ts';
import { missingTool, removeFolder, temporaryFolder } from '../image-support.ts';
import { withVolume } from '../ntfs-support.ts';
import { RANDOM_TIMEOUT_MS, runRounds, SEED } from './campaign.ts';
import {
  expectAlike,
  type Survey,
  surveyFileSystem,
  type Surveyed,
  surveyMounted,
} from './survey.ts';
import { doWork, Work } from './work.ts';

const reason = missingTool('genisoimage', 'xorriso', 'bsdtar', 'python3');
const FIRST_SECONDS = Date.UTC(1970, 0, 2) / 1000;
const LAST_SECONDS = 2 ** 31 - 1;

describe(`random ISO 9660, seed ${SEED}`, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
  });
  afterAll(() => removeFolder(folder));
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('is read as bsdtar reads it', { timeout: RANDOM_TIMEOUT_MS }, async () => {
    const image = path.join(folder, 'random.iso');
    const source = path.join(folder, 'source');
    await runRounds('iso', 6, image, async (random) => {
      rmSync(source, { recursive: true, force: true });
      mkdirSync(source);
      const recipe = randomIso(random);
      await fill(random, source, recipe.isRockRidge);
      rmSync(image, { force: true });
      const [tool, ...options] = recipe.command as [string, ...string[]];
      const made = await run(tool, [...options, '-o', image, source], { env: UTC, accept: ANY });
      if (made.exitCode !== 0) return 'refused by its maker';
      try {
        await compare(random, image, folder, recipe.isRockRidge);
      } catch (error) {
        const told = recipe.command.join(' ');
        throw new Error(`${told}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      }
      return 'compared';
    });
  });
});

/** Crashes included: genisoimage has some. */
const ANY = [-1, 0, 1, 2, 5, 32, 255];
/** On targets of many entries the readers differ, in times too: these are looked at by name alone. */
const TARGET_LENGTH_MAX = 240;

interface RandomIso {
  readonly command: readonly string[];
  readonly isRockRidge: boolean;
}

function randomIso(random: Random): RandomIso {
  const isRockRidge = random.below(3) > 0;
  const isXorriso = random.below(2) === 0;
  const some = (option: string): string[] => (random.below(2) === 0 ? [option] : []);
  return {
    isRockRidge,
    command: [
      ...(isXorriso ? ['xorriso', '-as', 'mkisofs', '-quiet'] : ['genisoimage', '-quiet']),
      ...['-input-charset', 'utf-8', '-iso-level', random.pick(['1', '2', '3', '4'])],
      ...(isRockRidge ? ['-R', ...some('-D'), ...some('-J')] : ['-J', '-joliet-long']),
      ...some('-l'),
      ...some('-no-pad'),
      ...some('-allow-lowercase'),
      ...some('-allow-multidot'),
    ],
  };
}

async function fill(random: Random, source: string, isRockRidge: boolean): Promise<void> {
  const work = new Work(random, {
    names: isRockRidge ? 'bytes' : 'fat',
    blockBytes: 2048,
    reachBytes: 500_000,
    isPosix: isRockRidge,
    hasHardLinks: isRockRidge,
    times: [FIRST_SECONDS, LAST_SECONDS],
    unitNanoseconds: 1_000_000_000,
  });
  await doWork(source, work.operations(random.pick([20, 60, 150])));
}

async function compare(
  random: Random,
  image: string,
  folder: string,
  isRockRidge: boolean,
): Promise<void> {
  const taken = path.join(folder, 'taken');
  rmSync(taken, { recursive: true, force: true });
  mkdirSync(taken);
  // -P: it would take a backslash off the front of a name.
  await run('bsdtar', ['-x', '-p', '-P', '-f', image, '-C', taken], { env: UTC, accept: [0, 1] });
  const theirs = await surveyMounted(taken, []);
  const source = await surveyMounted(path.join(folder, 'source'), []);
  const ours = await withVolume(image, (fileSystem) => surveyFileSystem(fileSystem, random));
  // The root's time is the folder's; the makers' folder for moved directories is empty afterwards.
  for (const survey of [ours, theirs, source]) {
    for (const place of ['/', '/rr_moved']) survey.delete(place);
  }
  const special = { ours: withoutSpecial(ours), source: withoutSpecial(source) };
  expectAlike(special.ours, special.source, ({ kind, device }) => ({ kind, device }));
  for (const place of special.source.keys()) theirs.delete(place);
  expectAlike(ours, theirs, (told) => project(told, isRockRidge));
}

/**
 * Takes sockets and devices out of a survey: bsdtar makes no sockets, and takes the numbers of devices
 * for one number of 64 bits, as xorriso writes them and genisoimage does not.
 *
 * @returns what was taken out.
 */
function withoutSpecial(survey: Survey): Survey {
  const special = [...survey].filter(
    ([, { kind }]) => kind === 'socket' || kind.endsWith('device'),
  );
  for (const [place] of special) survey.delete(place);
  return new Map(special);
}

function project(told: Surveyed, isRockRidge: boolean): object {
  const { kind, size, modified, target, pieces, sha256, mode, owner } = told;
  if (kind === 'symlink' && (target?.length ?? 0) > TARGET_LENGTH_MAX) return { kind };
  const common = { kind, target, pieces, sha256, seconds: modified.slice(0, -9) };
  const sized = kind === 'file' ? { ...common, size } : common;
  return isRockRidge ? { ...sized, mode, owner } : sized;
}
