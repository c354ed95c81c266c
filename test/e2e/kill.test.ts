/**
 * Captures killed at any moment leave the repository as it was, and the next one works.
 *
 * REHYDRATE_TEST_SEED replays a run as far as timing allows.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OpenOptions } from '../../store-reader/index.ts';
import { randomBytes } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { chooseSeed } from './command/harness.ts';
import { DISK_BYTES, KillRepository } from './kill/repository.ts';

const SEED = chooseSeed();
const LARGE_DISK_BYTES = 192 * 1024 * 1024;
/** Every so often a capture may end by itself, and what the killed ones left must be gone. */
const KILLS_BETWEEN_CAPTURES = 5;

const KINDS = {
  'a plain zstd repository': { init: [], open: {} },
  'an encrypted lz4 repository': {
    init: ['--codec', 'lz4', '--encrypt'],
    open: { credential: { kind: 'key-file', content: randomBytes(64, SEED) } },
  },
} as const satisfies Record<string, { init: readonly string[]; open: OpenOptions }>;

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

describe(`killed captures, seed ${SEED}`, () => {
  it.each(Object.entries(KINDS))('25 kills of captures into %s harm nothing', async (_, kind) => {
    const repository = await KillRepository.create(scratch, kind.init, kind.open, SEED);
    await repository.captureToTheEnd();
    let kills = 0;
    for (let attempt = 0; kills < 25; attempt += 1) {
      // Captures that end before their kill do not count; that must stay the exception.
      expect(attempt, 'captures that were to be killed').toBeLessThan(60);
      repository.changeDisk();
      if (await repository.captureAndKill()) kills += 1;
      await repository.expectWhole();
      if (attempt % KILLS_BETWEEN_CAPTURES !== KILLS_BETWEEN_CAPTURES - 1) continue;
      repository.changeDisk();
      await repository.captureToTheEnd();
      await repository.expectNothingLeftOver();
    }
    await repository.captureToTheEnd();
    await repository.expectNothingLeftOver();
    process.stderr.write(`seed ${SEED}: ${kills} kills, ${JSON.stringify(repository.tally)}\n`);
  });

  it('a kill between the packs of a long capture leaves packs that the next capture removes', async () => {
    const repository = await KillRepository.create(scratch, ['--codec', 'none'], {}, SEED);
    await repository.captureToTheEnd();
    repository.replaceDisk(LARGE_DISK_BYTES);
    expect(await repository.captureAndKill('pack')).toBe(true);
    const report = await repository.expectWhole();
    expect(report.unreferencedPacks).toBeGreaterThan(0);
    repository.replaceDisk(DISK_BYTES);
    await repository.captureToTheEnd();
    await repository.expectNothingLeftOver();
  });
});
