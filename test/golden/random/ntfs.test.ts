/** NTFS by chance: geometries, trees and work by ntfs-3g, as ntfs-3g and Sleuth Kit read them. */
import { cpSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isRestoreError } from '../../../core/index.ts';
import type { Random } from '../../fixtures/disks/random.ts';
import {
  listBySleuthKit,
  missingForNtfs,
  withNtfsMounted,
} from '../../fixtures/file-systems/index.ts';
import { makeNtfsVolume } from '../../fixtures/file-systems/ntfs-volume.ts';
import { removeFolder, temporaryFolder } from '../image-support.ts';
import { withVolume } from '../ntfs-support.ts';
import { RANDOM_TIMEOUT_MS, runRounds, SEED } from './campaign.ts';
import {
  expectAlike,
  surveyFileSystem,
  type Survey,
  type Surveyed,
  surveyMounted,
} from './survey.ts';
import { type Abilities, doWork, Work } from './work.ts';

const MIB = 1024 * 1024;
const reason = missingForNtfs('python3', 'fls', 'icat', 'istat');
const suffix = reason === undefined ? '' : ` (skipped: ${reason})`;

/** Four times, each with its highest byte first; FUSE rounds those before 1970 up. */
const TIMES = 'system.ntfs_times_be';
const ATTRIBUTES = [
  'system.ntfs_acl',
  'system.ntfs_attrib',
  'system.ntfs_ea',
  'system.ntfs_reparse_data',
] as const;
/** Those, and what is not compared as it is. */
const ASKED = [...ATTRIBUTES, TIMES, 'ntfs.streams.list'];
/** Short names are no links of their own; nothing is to change while it is looked at. */
const READ_ONLY = ['ro', 'posix_nlink'];
/** Sleuth Kit starts two programs a file. */
const SLEUTH_KIT_FILES_MAX = 120;
const FIRST_SECONDS = -11_644_473_600;
const LAST_SECONDS = 253_402_300_799;

describe(`random NTFS, seed ${SEED}${suffix}`, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
  });
  afterAll(() => removeFolder(folder));
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('is read as ntfs-3g reads it', { timeout: RANDOM_TIMEOUT_MS }, async () => {
    const image = path.join(folder, 'random.img');
    await runRounds('ntfs', 12, image, async (random) => {
      const recipe = randomNtfs(random);
      const { format, mount, sizeBytes, isCrashed } = recipe;
      const told = `${format.join(' ')} ${mount.join()} ${sizeBytes}${isCrashed ? ' crashed' : ''}`;
      try {
        const isMade = await make(random, recipe, image);
        if (!isMade) return 'refused by mkntfs';
        await compare(random, image, recipe);
        return 'compared';
      } catch (error) {
        throw new Error(`${told}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      }
    });
  });
});

interface RandomNtfs {
  readonly sizeBytes: number;
  readonly format: readonly string[];
  readonly mount: readonly string[];
  readonly can: Abilities;
  readonly hasLargeClusters: boolean;
  /** Copied while it is in use, and that copy looked at. */
  readonly isCrashed: boolean;
}

function randomNtfs(random: Random): RandomNtfs {
  const sectorBytes = random.pick([512, 512, 512, 1024, 2048, 4096]);
  const clusterBytes = Math.max(
    sectorBytes,
    random.below(12) === 0
      ? random.pick([131_072, 524_288])
      : random.pick([512, 1024, 2048, 4096, 4096, 8192, 32_768, 65_536]),
  );
  const smallestMib = clusterBytes > 65_536 ? 128 : clusterBytes > 8192 ? 40 : 8;
  const isPacking = clusterBytes <= 4096 && random.below(2) === 0;
  return {
    sizeBytes: random.pick([1, 2, 4]) * smallestMib * MIB,
    format: [
      ...['-s', String(sectorBytes), '-c', String(clusterBytes)],
      ...['-z', String(random.between(1, 4))],
      ...(isPacking && random.below(2) === 0 ? ['-C'] : []),
    ],
    mount: [
      'special_files=wsl',
      ...(isPacking ? ['compression'] : []),
      ...(random.below(2) === 0 ? ['permissions', 'acl'] : []),
    ],
    can: {
      names: 'windows',
      blockBytes: Math.min(clusterBytes, 65_536),
      reachBytes: random.pick([300_000, 3_000_000, 30_000_000]),
      isPosix: true,
      hasHardLinks: true,
      isNtfs: true,
      isFillable: true,
      times: [FIRST_SECONDS, LAST_SECONDS],
      unitNanoseconds: 100,
    },
    hasLargeClusters: clusterBytes > 65_536,
    isCrashed: random.below(4) === 0,
  };
}

async function make(random: Random, recipe: RandomNtfs, image: string): Promise<boolean> {
  const { can, mount, isCrashed } = recipe;
  const work = new Work(random, can);
  rmSync(image, { force: true });
  try {
    await makeNtfsVolume(image, recipe, () => {});
  } catch (error) {
    if (isRestoreError(error)) return false;
    throw error;
  }
  for (let turn = random.between(1, 3); turn > 0; turn -= 1) {
    const operations = work.operations(random.pick([20, 60, 150]));
    const copy = `${image}.copy`;
    const crash = { do: 'snapshot', image, copy, shutdown: 0 };
    const isLast = turn === 1 && isCrashed;
    await withNtfsMounted(image, mount, (root) =>
      doWork(root, isLast ? [...operations, crash] : operations),
    );
    if (isLast) {
      cpSync(copy, image);
      rmSync(copy);
    }
  }
  return true;
}

async function compare(random: Random, image: string, recipe: RandomNtfs): Promise<void> {
  const mount = [...READ_ONLY, ...recipe.mount];
  const theirs = await withNtfsMounted(image, mount, (root) => surveyMounted(root, ASKED));
  const ours = await withVolume(image, async (fileSystem) => {
    const survey = await surveyFileSystem(fileSystem, random);
    if (!recipe.isCrashed) expect(fileSystem.health.state).toBe('clean');
    return survey;
  });
  expectAlike(ours, withCountedLinks(theirs), project);
  // Nor does it read clusters of more than 64 KiB, and holes longer than the volume.
  const isLong = [...theirs.values()].some(({ size }) => size > recipe.sizeBytes);
  const isSmall = theirs.size <= SLEUTH_KIT_FILES_MAX && !recipe.hasLargeClusters && !isLong;
  if (isSmall) await compareWithSleuthKit(image, ours);
}

/** A file's names that are listed: on full volumes ntfs-3g leaves records that count them wrong. */
function withCountedLinks(survey: Survey): Survey {
  const counts = new Map<number | undefined, number>();
  for (const { inode } of survey.values()) counts.set(inode, (counts.get(inode) ?? 0) + 1);
  return new Map(
    [...survey].map(([place, told]) => [place, { ...told, links: counts.get(told.inode) ?? 0 }]),
  );
}

/** Owners and modes are ntfs-3g's own; the sizes of directories and the places of data everyone's. */
function project(told: Surveyed): object {
  const { kind, links, size, inode, target, device } = told;
  const isFile = kind === 'file';
  const xattrs = Object.fromEntries(
    Object.entries(told.xattrs ?? {}).filter(([name]) => ATTRIBUTES.some((one) => one === name)),
  );
  return {
    ...{ kind, inode, target, device, xattrs, streams: told.streams, ...timesOf(told) },
    ...(isFile ? { size, links, pieces: told.pieces, sha256: told.sha256 } : {}),
  };
}

function timesOf(told: Surveyed): object {
  const hex = told.xattrs?.[TIMES];
  const { created, modified, accessed, changed } = told;
  if (hex === undefined) return { created, modified, accessed, changed };
  const time = (index: number): string => {
    const ticks = BigInt.asIntN(64, BigInt(`0x${hex.slice(index * 16, index * 16 + 16)}`));
    return String((ticks + BigInt(FIRST_SECONDS) * 10_000_000n) * 100n);
  };
  return { created: time(0), modified: time(1), accessed: time(2), changed: time(3) };
}

async function compareWithSleuthKit(image: string, ours: Survey): Promise<void> {
  const skip = (place: string): boolean => place.startsWith('/$');
  const { files } = await listBySleuthKit(image, { type: 'ntfs', skip });
  const theirs: Survey = new Map();
  for (const [place, { kind, size, modified, sha256 }] of files) {
    theirs.set(place, { kind, size, links: 1, modified, ...(sha256 ? { sha256 } : {}) });
  }
  const plain = new Map(
    [...ours].filter(([place, { kind }]) => theirs.has(place) && kind === 'file'),
  );
  const shared = new Map([...theirs].filter(([place]) => plain.has(place)));
  expectAlike(plain, shared, ({ size, sha256 }) => ({
    size,
    ...(sha256 !== undefined && size <= 8 * MIB ? { sha256 } : {}),
  }));
}
