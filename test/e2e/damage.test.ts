/**
 * Damage of every kind: what it touches cannot be read, all else stays right, never wrong bytes; and
 * `verify` lists exactly what reading block by block finds.
 *
 * REHYDRATE_TEST_SEED replays a run.
 */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isRestoreError } from '../../core/index.ts';
import { type NativeRepository, type PointName, resolveAddress } from '../../store-reader/index.ts';
import { type InitOptions, type VerifyReport, verifyRepository } from '../../store-writer/index.ts';
import { seededRandom } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { chooseSeed } from './command/harness.ts';
import { DAMAGES, type Damage, flipAnywhere } from './damage/damages.ts';
import {
  copyRepository,
  type KnownRepository,
  makeKnownRepository,
  openKnown,
  readEverything,
  type Unreadable,
} from './damage/repository.ts';

const SEED = chooseSeed();
/** Each kind of damage at this many places of chance. */
const ROUNDS = 3;
const KEY = { kind: 'key-file', content: new Uint8Array(64).fill(7) } as const;
const KINDS: Readonly<Record<string, InitOptions>> = {
  'plain zstd': {},
  'plain lz4': { codec: 'lz4' },
  'encrypted zstd': { credentials: [KEY] },
  'encrypted lz4': { codec: 'lz4', credentials: [KEY] },
};

describe.each(Object.entries(KINDS))(`a damaged repository, %s, seed ${SEED}`, (_, options) => {
  const scratch = new Scratch();
  let known: KnownRepository;
  let copies = 0;

  beforeAll(async () => {
    known = await makeKnownRepository(scratch, options);
  });
  afterAll(() => scratch[Symbol.dispose]());

  async function damaged(
    apply: Damage['apply'],
    seed: number,
    body: (location: string) => Promise<void>,
  ): Promise<void> {
    copies += 1;
    const location = copyRepository(known, scratch.file(`copy${copies}`));
    try {
      apply(location, seededRandom(seed));
      await body(location);
    } catch (error) {
      throw new Error(`replay with REHYDRATE_TEST_SEED=${SEED}`, { cause: error });
    } finally {
      rmSync(location, { recursive: true });
    }
  }

  it('reads right and verifies clean before', async () => {
    expect(await readEverything(known.location, known)).toEqual([]);
    expect(await report(known.location, known)).toMatchObject({ clean: true, damagedObjects: [] });
  });

  for (const { name, effect, apply } of DAMAGES) {
    if (effect === 'hidden' || effect === 'lost') continue;
    it(`${name}: ${effect}, and listed exactly`, async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        await damaged(apply, SEED + round, async (location) => {
          const unreadable = await readEverything(location, known);
          expect(unreadable.length > 0).toBe(effect === 'unreadable');
          const found = await report(location, known);
          expect(found.clean).toBe(false);
          expect(listed(found)).toEqual(sorted(unreadable));
          expect(found.damagedObjects.length).toBeGreaterThan(0);
        });
      }
    });
  }

  for (const { name, effect, apply } of DAMAGES) {
    if (effect !== 'hidden' && effect !== 'lost') continue;
    it(`${name}: the points are ${effect}, and listed exactly`, async () => {
      await damaged(apply, SEED, async (location) => {
        // What is still listed reads right.
        expect(await readEverything(location, known)).toEqual([]);
        const repository = await openKnown(location, known.credential);
        const gone = hiddenFrom(repository, known);
        if (effect === 'hidden') await expectNeverAbsent(repository, known, gone);
        await repository.close();
        expect(gone.length).toBeGreaterThan(0);
        const found = await report(location, known);
        expect(found.clean).toBe(false);
        expect(listed(found)).toEqual(
          sorted(gone.map(({ id }) => ({ pointId: id, disk: undefined, ranges: [] }))),
        );
        for (const { machine, takenAt } of gone) {
          expect(found.damagedDisks).toContainEqual(expect.objectContaining({ machine, takenAt }));
        }
      });
    });
  }

  it('a bit flipped in repository.json: nothing opens', async () => {
    for (let round = 0; round < 20; round += 1) {
      const flip: Damage['apply'] = (location, random) =>
        flipAnywhere(path.join(location, 'repository.json'), random);
      await damaged(flip, SEED + round, async (location) => {
        await expect(openKnown(location, known.credential)).rejects.toSatisfy((error) =>
          isRestoreError(error, 'CORRUPT'),
        );
      });
    }
  });
});

function hiddenFrom(repository: NativeRepository, known: KnownRepository): PointName[] {
  const here = new Set(repository.catalog.points.map(({ id }) => id));
  return known.points.filter(({ id }) => !here.has(id));
}

/** By id, by time, or as the newest: a hidden point is damage, and no other takes its place. */
async function expectNeverAbsent(
  repository: NativeRepository,
  known: KnownRepository,
  gone: readonly PointName[],
): Promise<void> {
  for (const { id, machine, takenAt } of gone) {
    for (const wanted of [id, takenAt, 'latest', takenAt.slice(0, 10)]) {
      await expect(
        resolveAddress(repository, `${machine}@${wanted}`),
        `${machine}@${wanted}`,
      ).rejects.toSatisfy((error) => isRestoreError(error, 'CORRUPT'));
    }
  }
  for (const { id, machine, takenAt } of known.points.filter((point) => !gone.includes(point))) {
    for (const wanted of [id, takenAt]) {
      const { point } = await resolveAddress(repository, `${machine}@${wanted}`);
      expect(point.id).toBe(id);
    }
  }
}

async function report(location: string, known: KnownRepository): Promise<VerifyReport> {
  const repository = await openKnown(location, known.credential);
  try {
    return await verifyRepository(repository, { scope: 'all' });
  } finally {
    await repository.close();
  }
}

function listed({ damagedDisks }: VerifyReport): Unreadable[] {
  return sorted(damagedDisks.map(({ pointId, disk, ranges }) => ({ pointId, disk, ranges })));
}

function sorted(damage: readonly Unreadable[]): Unreadable[] {
  const keyOf = ({ pointId, disk }: Unreadable): string => `${pointId}/${disk}`;
  return damage.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}
