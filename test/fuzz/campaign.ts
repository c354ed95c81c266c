/**
 * What all fuzz tests of parsers share: the seed, how many rounds, what a round may take, and the
 * closing count.
 *
 * REHYDRATE_FUZZ_SEED replays a run, REHYDRATE_FUZZ_SCALE makes it so many times as long, and
 * REHYDRATE_FUZZ_ROUNDS sets the rounds of every test. REHYDRATE_FUZZ_TALLY names a file to which each
 * test adds a line of JSON, a {@link FuzzTally}: `make fuzz` adds them up.
 */
import { appendFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { expect } from 'vitest';
import { isRestoreError } from '../../core/index.ts';
import { seededRandom } from '../fixtures/random.ts';

export const SEED = Number(
  process.env['REHYDRATE_FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31),
);
/** For tests that run until they have done their rounds. `make test` bounds them all together. */
export const FUZZ_TIMEOUT_MS = 3_600_000;
/** A crash tells the more, the fewer there are: the rest of the run is for finding others. */
const CRASHES_KEPT_MAX = 10;
const ROUND_MS_MAX = 10_000;
const MEMORY_GROWTH_BYTES_MAX = 512 * 1024 * 1024;

export interface FuzzTally {
  /** The parser, or what else was given damage. */
  readonly parser: string;
  readonly seed: number;
  /** Images or structures that were damaged and then used. */
  readonly mutated: number;
  /** Rounds that ended in anything but an answer or a typed error, or took too long. */
  readonly crashes: number;
}

export interface Campaign {
  readonly parser: string;
  readonly rounds: number;
  /** Told apart from other campaigns of the same run. */
  readonly salt?: number;
  /** What is damaged in this round. */
  readonly name: (round: number) => string;
}

/** @param usual what `make test` does. */
export function roundsOf(usual: number): number {
  const { REHYDRATE_FUZZ_ROUNDS: rounds, REHYDRATE_FUZZ_SCALE: scale } = process.env;
  return rounds === undefined ? Math.ceil(usual * Number(scale ?? 1)) : Number(rounds);
}

/**
 * Runs `use` once a round, each with its own random numbers, to the last round whatever the others
 * did. It may throw a `RestoreError`; anything else thrown is a crash, as is taking over 10 s.
 *
 * Fails the test with the first crashes, each of which says how to have it again.
 */
export async function runCampaign(
  { parser, rounds, salt = 0, name }: Campaign,
  use: (round: number, random: () => number, where: string) => Promise<void>,
): Promise<void> {
  const memoryBefore = process.memoryUsage().rss;
  const kept: Error[] = [];
  let crashes = 0;
  for (let round = 0; round < rounds; round += 1) {
    const where = `REHYDRATE_FUZZ_SEED=${SEED}, round ${round}: ${name(round)}`;
    const startedMs = performance.now();
    let crash: unknown;
    try {
      await use(round, seededRandom((SEED ^ Math.imul(salt, 0x9e37_79b1)) + round), where);
    } catch (error) {
      if (!isRestoreError(error)) crash = error;
    }
    const tookMs = performance.now() - startedMs;
    if (tookMs > ROUND_MS_MAX) crash ??= new Error(`it took ${Math.round(tookMs)} ms`);
    if (crash === undefined) continue;
    crashes += 1;
    if (kept.length < CRASHES_KEPT_MAX) kept.push(new Error(where, { cause: crash }));
  }
  tell({ parser, seed: SEED, mutated: rounds, crashes });
  if (crashes > 0) {
    const first = kept.map((error) => inspect(error)).join('\n\n');
    expect.fail(`${parser}: ${crashes} of ${rounds} rounds crashed. The first of them:\n${first}`);
  }
  expect(process.memoryUsage().rss - memoryBefore).toBeLessThan(MEMORY_GROWTH_BYTES_MAX);
}

function tell(tally: FuzzTally): void {
  const { REHYDRATE_FUZZ_TALLY: file } = process.env;
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(tally)}\n`);
}
