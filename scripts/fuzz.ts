/**
 * Fuzzes every parser at length: runs the fuzz tests, ten times as long as `make test` does, and
 * prints how many images and structures were mutated and how many of them crashed a parser.
 * Exits with 1 when anything crashed or failed, or when there were fewer mutations than promised.
 *
 *   node scripts/fuzz.ts [FILE…]     REHYDRATE_FUZZ_SEED, REHYDRATE_FUZZ_SCALE: test/fuzz/campaign.ts
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

interface Tally {
  readonly parser: string;
  readonly mutated: number;
  readonly crashes: number;
}

const USUAL_SCALE = 10;
/** Of a run of all files at the usual scale. */
const MUTATED_MIN = 200_000;
const TIMEOUT_MS = 2 * 3_600_000;

process.chdir(path.join(import.meta.dirname, '..'));
const named = process.argv.slice(2);
const isWhole = named.length === 0;
const {
  REHYDRATE_FUZZ_SEED: seed = `${Math.floor(Math.random() * 2 ** 31)}`,
  REHYDRATE_FUZZ_SCALE: scale = `${USUAL_SCALE}`,
} = process.env;
const folder = mkdtempSync(path.join(tmpdir(), 'rehydrate-fuzz-'));
try {
  process.exitCode = main();
} finally {
  rmSync(folder, { recursive: true });
}

function main(): number {
  console.log(`fuzz: seed ${seed}, scale ${scale}`);
  const startedMs = Date.now();
  const tallyFile = path.join(folder, 'tally');
  const options = ['run', '--project=fuzz', '--maxWorkers=2', ...(isWhole ? allFiles() : named)];
  const { status } = spawnSync('node_modules/.bin/vitest', options, {
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: TIMEOUT_MS,
    env: {
      ...process.env,
      REHYDRATE_FUZZ_SEED: seed,
      REHYDRATE_FUZZ_SCALE: scale,
      REHYDRATE_FUZZ_TALLY: tallyFile,
    },
  });
  const tallies = existsSync(tallyFile) ? readTallies(tallyFile) : [];
  const total = sumOf(tallies);
  for (const parser of new Set(tallies.map((tally) => tally.parser))) {
    print(parser, sumOf(tallies.filter((tally) => tally.parser === parser)));
  }
  print('total', total);
  console.log(`fuzz: seed ${seed}, ${Math.round((Date.now() - startedMs) / 1000)} s`);
  const isShort = isWhole && Number(scale) >= USUAL_SCALE && total.mutated < MUTATED_MIN;
  if (isShort) console.log(`FAILED: fewer than ${MUTATED_MIN} mutations`);
  if (status !== 0) console.log('FAILED: see above');
  return status === 0 && total.crashes === 0 && !isShort ? 0 : 1;
}

/** Of parsers. Mutated PDUs, which are of another kind, have a command of their own: `make soak`. */
function allFiles(): string[] {
  const place = 'test/fuzz';
  const names = readdirSync(place).filter((name) => name.endsWith('.test.ts'));
  return names.filter((name) => !name.startsWith('iscsi')).map((name) => path.join(place, name));
}

function readTallies(file: string): Tally[] {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Tally);
}

function sumOf(tallies: readonly Tally[]): Omit<Tally, 'parser'> {
  const sum = (pick: (tally: Tally) => number): number =>
    tallies.reduce((before, tally) => before + pick(tally), 0);
  return { mutated: sum(({ mutated }) => mutated), crashes: sum(({ crashes }) => crashes) };
}

function print(what: string, { mutated, crashes }: Omit<Tally, 'parser'>): void {
  const count = mutated.toLocaleString('en').padStart(9);
  console.log(`  ${what.padEnd(14)} ${count} mutated, ${crashes} crashes`);
}
