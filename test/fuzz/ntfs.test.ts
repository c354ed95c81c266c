/**
 * Damaged NTFS volumes: an error of ours or files, never a crash, a hang, or memory without end.
 *
 * campaign.ts says how a run is replayed and made longer.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource } from '../../core/index.ts';
import { openFileSystem } from '../../parsers/index.ts';
import { missingForNtfs } from '../fixtures/file-systems/index.ts';
import { NtfsScratch } from '../fixtures/file-systems/ntfs-scratch.ts';
import { readAll, type ReadAllResult } from '../fixtures/file-systems/read-all.ts';
import { FUZZ_TIMEOUT_MS, roundsOf, runCampaign, SEED } from './campaign.ts';
import { damageNtfs, flipIndexBit, makeNtfsSeeds, type NtfsSeed } from './ntfs-seeds.ts';

const reason = missingForNtfs('ntfsinfo');
const ROUNDS = roundsOf(2000);
const LIMITS = { contentBytes: 16 * 1024 * 1024, entries: 2000 };

describe(`hostile NTFS, seed ${SEED}${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  const scratch = reason === undefined ? new NtfsScratch() : undefined;
  let seeds: NtfsSeed[];
  beforeAll(async () => {
    if (scratch !== undefined) seeds = await makeNtfsSeeds(scratch.folder);
  }, 60_000);
  afterAll(() => scratch?.remove());
  beforeEach((context) => context.skip(scratch === undefined, reason));

  it('is read whole while it is sound', { timeout: 60_000 }, async () => {
    for (const { name, image, entries } of seeds) {
      const { errors, ...read } = await use(image);
      expect({ name, entries: read.entries }).toEqual({ name, entries });
      // Files whose content is elsewhere are refused, and nothing but them.
      expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['UNSUPPORTED']));
    }
  });

  it('gives an error of ours or files for any damage', { timeout: FUZZ_TIMEOUT_MS }, async () => {
    let opened = 0;
    let partial = 0;
    const seedOf = (round: number): NtfsSeed => seeds[round % seeds.length] as NtfsSeed;
    const campaign = {
      parser: 'NTFS',
      rounds: ROUNDS,
      name: (round: number) => seedOf(round).name,
    };
    await runCampaign(campaign, async (round, random) => {
      const { errors } = await use(damageNtfs(seedOf(round), random));
      opened += 1;
      if (errors.some(({ code }) => code === 'CORRUPT')) partial += 1;
    });
    // Damage that never gets past the boot sector, or never shows, would prove little.
    expect(opened).toBeGreaterThan(ROUNDS / 2);
    expect(partial).toBeGreaterThan(ROUNDS / 20);
  });

  it('loses no name without a word for a bit of an index entry', {
    timeout: FUZZ_TIMEOUT_MS,
  }, async () => {
    let told = 0;
    const seedOf = (round: number): NtfsSeed => seeds[round % seeds.length] as NtfsSeed;
    const rounds = Math.ceil(ROUNDS / 5);
    const name = (round: number): string => seedOf(round).name;
    await runCampaign({ parser: 'NTFS', rounds, salt: 3, name }, async (round, random, where) => {
      const seed = seedOf(round);
      const { names, saysSo } = await listedIn(flipIndexBit(seed, random));
      if (saysSo) told += 1;
      if (names < seed.entries && !saysSo) throw new Error(`${where}: ${names} of ${seed.entries}`);
    });
    expect(told).toBeGreaterThan(rounds / 2);
  });
});

/** How many names are shown below the root, and whether it is said that there may be more. */
async function listedIn(image: Buffer): Promise<{ names: number; saysSo: boolean }> {
  const fileSystem = await openFileSystem(new BytesSource(image));
  try {
    const { entries, errors } = await readAll(fileSystem, { ...LIMITS, contentBytes: 0 });
    const isDamage = errors.some(({ code }) => code === 'CORRUPT');
    return { names: entries, saysSo: isDamage || fileSystem.health.state === 'partly damaged' };
  } finally {
    await fileSystem.close();
  }
}

async function use(image: Buffer): Promise<ReadAllResult> {
  const fileSystem = await openFileSystem(new BytesSource(image));
  try {
    return await readAll(fileSystem, LIMITS);
  } finally {
    await fileSystem.close();
  }
}
