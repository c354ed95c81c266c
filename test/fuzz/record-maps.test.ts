/**
 * Two states of a volume compared by records, one of them damaged: whatever is not told is the same
 * when both are listed, or it is said that something could not be compared.
 *
 * campaign.ts says how a run is replayed and made longer.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  BytesSource,
  type Extent,
  type FileSystem,
  Ranges,
  type RestoreError,
} from '../../core/index.ts';
import { openFileSystem } from '../../parsers/index.ts';
import {
  compareByListing,
  compareByRecords,
  type FileChange,
  RecordSide,
} from '../../vfs/index.ts';
import { expectExplains } from '../e2e/diff/apply.ts';
import { missingForNtfs } from '../fixtures/file-systems/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { missingTool, removeFolder, temporaryFolder } from '../golden/image-support.ts';
import { FUZZ_TIMEOUT_MS, roundsOf, runCampaign, SEED } from './campaign.ts';
import { makeExtPairs, makeNtfsPairs, type RecordSeed } from './record-seeds.ts';

/** What a repository compares at once. */
const UNITS_BYTES = [4096, 65_536] as const;

const folder = await temporaryFolder();
const withoutLoop = await LoopDevice.missing(`${folder}/probe`);
afterAll(() => removeFolder(folder));

const KINDS = [
  {
    kind: 'ext',
    reason: missingTool('mke2fs', 'setfattr') ?? withoutLoop,
    make: makeExtPairs,
    rounds: roundsOf(800),
  },
  { kind: 'NTFS', reason: missingForNtfs('ntfsinfo'), make: makeNtfsPairs, rounds: roundsOf(300) },
];

describe.each(KINDS)(`records of $kind, seed ${SEED}`, ({ kind, reason, make, rounds }) => {
  let seeds: RecordSeed[];
  beforeAll(async () => {
    if (reason === undefined) seeds = await make(folder, `${SEED}`);
  });
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('tell of sound states what another reader sees', async () => {
    for (const { before, after } of seeds) {
      const found = await compared(before.bytes, after.bytes, UNITS_BYTES[0]);
      expect(found?.problems).toEqual([]);
      const changes = [...(found?.changes ?? [])].sort((a, b) => (a.path < b.path ? -1 : 1));
      expect(changes.length).toBeGreaterThan(10);
      expectExplains({ changes }, before.listing, after.listing);
    }
  });

  it('hide no difference, whatever the damage', { timeout: FUZZ_TIMEOUT_MS }, async () => {
    const tally = { compared: 0, differing: 0, told: 0 };
    const seedOf = (round: number): RecordSeed => seeds[round % seeds.length] as RecordSeed;
    const campaign = {
      ...{ parser: `${kind} records`, rounds, salt: 2 },
      name: (round: number) => seedOf(round).name,
    };
    await runCampaign(campaign, async (round, random, where) => {
      const seed = seedOf(round);
      const [one, other] = statesFor(seed, random);
      const unitBytes = UNITS_BYTES[Math.floor(random() * UNITS_BYTES.length)] as number;
      const byRecords = await compared(one, other, unitBytes);
      if (byRecords === undefined) return;
      tally.compared += 1;
      const listed = await listedDifference(one, other);
      if (listed.length > 0) tally.differing += 1;
      if (byRecords.isDoubtful) tally.told += 1;
      if (byRecords.isDoubtful) return;
      const left = hidden(byRecords.changes, listed);
      if (left.length > 0) throw new Error(`${where}: not told: ${left.join('; ')}`);
    });
    expect(tally.compared).toBeGreaterThan(rounds / 3);
    expect(tally.differing).toBeGreaterThan(rounds / 10);
    // Doubt about everything would hide everything.
    expect(tally.compared - tally.told).toBeGreaterThan(rounds / 10);
  });
});

/** Two states, one of them damaged: of the same state mostly, of before and after else. */
function statesFor(seed: RecordSeed, random: () => number): [Buffer, Buffer] {
  const which = random() < 0.5 ? 'before' : 'after';
  const damaged = seed.damage(which, random);
  const sound = random() < 0.6 ? seed.before.bytes : seed.after.bytes;
  return random() < 0.5 ? [sound, damaged] : [damaged, sound];
}

interface Compared {
  readonly changes: readonly FileChange[];
  readonly problems: readonly RestoreError[];
  /** It is said that something is wrong with a volume, or cannot be compared. */
  readonly isDoubtful: boolean;
}

/** @returns `undefined` where the two are not compared by records. */
async function compared(
  one: Buffer,
  other: Buffer,
  unitBytes: number,
): Promise<Compared | undefined> {
  return await withBoth(one, other, async (before, after) => {
    if (before.records === undefined || after.records === undefined) return undefined;
    if (before.records.geometry !== after.records.geometry) return undefined;
    const problems: RestoreError[] = [];
    const changes = await compareByRecords({
      before: new RecordSide(before, before.records),
      after: new RecordSide(after, after.records),
      changed: Ranges.of(differences(one, other, unitBytes)),
      onProblem: (error) => problems.push(error),
    });
    const isDoubtful =
      problems.length > 0 ||
      [before, after].some(({ health }) => health.state === 'partly damaged');
    return { changes, problems, isDoubtful };
  });
}

/** All contents compared, not only where something is known to differ. */
async function listedDifference(one: Buffer, other: Buffer): Promise<readonly FileChange[]> {
  return await withBoth(one, other, (before, after) =>
    compareByListing({
      ...{ before, after, wants: () => true, onProblem: () => {} },
      changed: Ranges.of([{ offset: 0, length: one.length }]),
    }),
  );
}

async function withBoth<T>(
  one: Buffer,
  other: Buffer,
  use: (before: FileSystem, after: FileSystem) => Promise<T>,
): Promise<T> {
  const before = await openFileSystem(new BytesSource(one));
  const after = await openFileSystem(new BytesSource(other));
  try {
    return await use(before, after);
  } finally {
    await Promise.all([before.close(), after.close()]);
  }
}

function* differences(one: Buffer, other: Buffer, unitBytes: number): Generator<Extent> {
  for (let at = 0; at < one.length; at += unitBytes) {
    const end = Math.min(one.length, at + unitBytes);
    if (!one.subarray(at, end).equals(other.subarray(at, end)))
      yield { offset: at, length: end - at };
  }
}

/** What was listed and not told. A renamed directory takes what lies in it along. */
function hidden(told: readonly FileChange[], listed: readonly FileChange[]): readonly string[] {
  const paths = new Set(
    told.flatMap(({ path, from }) => [path, ...(from === undefined ? [] : [from])]),
  );
  const moved = told.filter(({ change }) => change === 'renamed');
  const isBelow = (path: string, above = ''): boolean => path.startsWith(`${above}/`);
  const isTold = (path: string): boolean =>
    paths.has(path) ||
    moved.some((change) => isBelow(path, change.from) || isBelow(path, change.path));
  return listed
    .filter(({ path, from = path }) => !isTold(path) || !isTold(from))
    .map(({ change, path, from = '', aspects }) => `${change} ${path} ${from} ${aspects.join()}`);
}
