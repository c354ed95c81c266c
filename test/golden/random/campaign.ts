/**
 * What the random tests share: the seed, how long they go on, and how a failure says how to have it
 * again.
 *
 * REHYDRATE_RANDOM_SEED is the first seed (else always the same, since a run of everything must not
 * depend on what chance brings out in a foreign reader), REHYDRATE_RANDOM_ROUNDS how many follow each
 * other from there (else as many as fit the time), REHYDRATE_RANDOM_SECONDS the time of each
 * family, REHYDRATE_RANDOM_KEEP a folder that takes the image of each round that failed. A round's
 * volume is made of its seed alone.
 */
import { cpSync, existsSync } from 'node:fs';
import path from 'node:path';
import { inspect } from 'node:util';
import { expect } from 'vitest';
import { Random } from '../../fixtures/disks/random.ts';

export const SEED = Number(process.env['REHYDRATE_RANDOM_SEED'] ?? 1);
export const RANDOM_TIMEOUT_MS = 4 * 3_600_000;

const ROUNDS_MAX = Number(process.env['REHYDRATE_RANDOM_ROUNDS'] ?? 1_000_000);
const SECONDS = process.env['REHYDRATE_RANDOM_SECONDS'];
const REFUSED_MAX = 50;
const FAILURES_KEPT_MAX = Number(process.env['REHYDRATE_RANDOM_FAILURES'] ?? 3);

/**
 * Runs rounds one after the other until the time is up and one at least was compared. Fails with the first that did,
 * each with its seed.
 *
 * @param usualSeconds how long `make test` goes on.
 * @param image what a round that fails leaves there is kept, if asked for.
 * @param round gives one word on what it did, for the closing count.
 */
export async function runRounds(
  family: string,
  usualSeconds: number,
  image: string,
  round: (random: Random, seed: number) => Promise<string>,
): Promise<void> {
  const withRounds = process.env['REHYDRATE_RANDOM_ROUNDS'] !== undefined;
  const seconds = Number(SECONDS ?? (withRounds ? 1e6 : usualSeconds));
  const deadlineMs = performance.now() + seconds * 1000;
  const failures: string[] = [];
  const counts = new Map<string, number>();
  let done = 0;
  const isTime = (): boolean => performance.now() < deadlineMs;
  for (; done < ROUNDS_MAX && (isTime() || !counts.has('compared')); done += 1) {
    const seed = SEED + done;
    try {
      const word = await round(new Random(`${seed}`, family), seed);
      counts.set(word, (counts.get(word) ?? 0) + 1);
      // Chance may refuse all that a time has room for, but not so much.
      if (done > REFUSED_MAX && !counts.has('compared')) break;
    } catch (error) {
      keep(image, `${family}-${seed}`);
      failures.push(`REHYDRATE_RANDOM_SEED=${seed} REHYDRATE_RANDOM_ROUNDS=1: ${inspect(error)}`);
      if (failures.length >= FAILURES_KEPT_MAX) break;
    }
  }
  const told = [...counts].map(([word, count]) => `${count} ${word}`).join(', ');
  process.stdout.write(`${family}: seeds from ${SEED}, ${told}, ${failures.length} failed\n`);
  if (failures.length > 0) expect.fail(`${family}:\n${failures.join('\n\n')}`);
  // Rounds that are all refused would prove nothing; one alone is asked for knowingly.
  if (ROUNDS_MAX > 1) expect(counts.get('compared') ?? 0).toBeGreaterThan(0);
}

function keep(image: string, name: string): void {
  const { REHYDRATE_RANDOM_KEEP: folder } = process.env;
  if (folder !== undefined && existsSync(image)) cpSync(image, path.join(folder, name));
}
