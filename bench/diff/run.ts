/**
 * Two points of a volume of 100,000 files compared, against listing both.
 *
 * `node bench/diff/run.ts [--rounds N] [--files N] [--json FILE]`
 *
 * The volumes are made by mke2fs and mkntfs; files are changed through the kernel (ext4) and ntfs-3g
 * (NTFS): 50 of them, each in a directory of its own choice, so that nearly every one costs blocks of
 * its own. Each figure is the median of rounds, each in a process of its own that has just started, its
 * start not counted, the page cache warm; then the commands, compiled, their start included.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, copyFileSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { noise, Random } from '../../test/fixtures/disks/random.ts';
import { withExtMounted } from '../../test/fixtures/file-systems/ext.ts';
import { withNtfsMounted } from '../../test/fixtures/file-systems/index.ts';
import { makeNtfsVolume } from '../../test/fixtures/file-systems/ntfs-volume.ts';
import { Scratch } from '../../test/fixtures/repository.ts';
import { run } from '../../test/fixtures/tools/index.ts';
import { describeMachine } from '../support/machine.ts';

// The work itself, in a process of its own that this one starts.
if (process.argv[2] === 'rounds') {
  const { runRounds } = await import('./rounds.ts');
  console.log(JSON.stringify(await runRounds(process.argv.slice(3))));
  process.exit();
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    files: { type: 'string', default: '100000' },
    json: { type: 'string' },
  },
});
const FILES_PER_DIRECTORY = 100;
const CHANGED = 50;
const REHYDRATE = path.join(import.meta.dirname, '../../bin/rehydrate');
const POINTS = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'] as const;
const MIB = 1024 * 1024;

using scratch = new Scratch();
const environment = { ...process.env, XDG_CACHE_HOME: scratch.file('cache') };
const fileCount = Number(values.files);
const BUILD = path.join(import.meta.dirname, '../../scripts/build.ts');
await run(process.execPath, [BUILD, '--if-stale']);
const results = [await benchExt(), await benchNtfs()];
const machine = describeMachine({ mke2fs: ['mke2fs', '-V'], 'ntfs-3g': ['ntfs-3g', '--version'] });
for (const { name, ...figures } of results) console.log(name, JSON.stringify(figures));
if (values.json !== undefined) {
  writeFileSync(values.json, `${JSON.stringify({ machine, fileCount, results }, null, 2)}\n`);
}

interface Result {
  readonly name: string;
  readonly changes: number;
  /** Medians of one process that does it again and again. */
  readonly diffMs: number;
  readonly listBothMs: number;
  readonly diffCpuMs: number;
  readonly listBothCpuMs: number;
  /** Whole commands. */
  readonly diffCommandMs: number;
  readonly listBothCommandsMs: number;
}

async function benchExt(): Promise<Result> {
  const image = scratch.file('ext4.img');
  const folder = scratch.file('tree');
  plant(folder);
  writeFileSync(image, '');
  truncateSync(image, 1500 * MIB);
  await run('mke2fs', ['-q', '-F', '-t', 'ext4', '-N', `${fileCount * 2}`, '-d', folder, image]);
  const after = scratch.file('ext4.after.img');
  copyFileSync(image, after);
  await withExtMounted(after, 'loop', change);
  return await measure('ext4', image, after);
}

async function benchNtfs(): Promise<Result> {
  const image = scratch.file('ntfs.img');
  await makeNtfsVolume(image, { sizeBytes: 1500 * MIB }, plant);
  const after = scratch.file('ntfs.after.img');
  copyFileSync(image, after);
  await withNtfsMounted(after, [], change);
  return await measure('NTFS', image, after);
}

function plant(root: string): void {
  const random = new Random('bench', 'plant');
  for (let index = 0; index < fileCount; index += 1) {
    const folder = folderOf(root, index);
    if (index % FILES_PER_DIRECTORY === 0) mkdirSync(folder, { recursive: true });
    const bytes = noise('bench', String(index), random.pick([10, 200, 900, 3_000]));
    writeFileSync(path.join(folder, `file${index}.txt`), bytes);
  }
}

function folderOf(root: string, index: number): string {
  const directory = Math.floor(index / FILES_PER_DIRECTORY);
  return path.join(root, `d${Math.floor(directory / 50)}`, `s${directory}`);
}

function change(root: string): void {
  const random = new Random('bench', 'change');
  const chosen = new Set<number>();
  while (chosen.size < CHANGED) chosen.add(random.below(fileCount));
  for (const index of chosen) {
    appendFileSync(path.join(folderOf(root, index), `file${index}.txt`), 'changed');
  }
}

async function measure(name: string, before: string, after: string): Promise<Result> {
  const repository = scratch.file(`${name}-repository`);
  await run(REHYDRATE, ['init', repository]);
  for (const [index, image] of [before, after].entries()) {
    const at = POINTS[index] as string;
    command('capture', repository, '--machine', 'm', '--at', at, image);
  }
  const addresses = POINTS.map((point) => `m@${point}`);
  const { diff, list } = inTurn(repository, addresses);
  const commands = [];
  // The first time compiles.
  for (let round = -1; round < Number(values.rounds); round += 1) {
    const diffMs = command('diff', repository, ...addresses);
    const both = addresses.map((each) => command('ls', '-lR', repository, `${each}:/`));
    if (round < 0) continue;
    commands.push({ diffMs, bothMs: both.reduce((sum, ms) => sum + ms, 0) });
  }
  return {
    ...{ name, changes: diff[0]?.count ?? 0, diffMs: median(diff.map(({ ms }) => ms)) },
    ...{ listBothMs: median(list.map(({ ms }) => ms)) },
    ...{ diffCpuMs: median(diff.map(({ cpuMs }) => cpuMs)) },
    ...{ listBothCpuMs: median(list.map(({ cpuMs }) => cpuMs)) },
    diffCommandMs: median(commands.map(({ diffMs }) => diffMs)),
    listBothCommandsMs: median(commands.map(({ bothMs }) => bothMs)),
  };
}

interface Round {
  readonly ms: number;
  readonly cpuMs: number;
  readonly count: number;
}

function inTurn(
  repository: string,
  addresses: readonly string[],
): { diff: Round[]; list: Round[] } {
  const once = (kind: string): Round => {
    const args = [import.meta.filename, 'rounds', kind, repository, ...addresses, '1'];
    const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as Round;
  };
  const [diff, list]: [Round[], Round[]] = [[], []];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    diff.push(once('diff'));
    list.push(once('list'));
  }
  return { diff, list };
}

function command(...args: readonly string[]): number {
  const startedAtMs = performance.now();
  const options = { env: environment, maxBuffer: 1024 * MIB };
  const { status, stderr } = spawnSync(REHYDRATE, args, options);
  if (status !== 0) throw new Error(stderr.toString());
  return Math.round(performance.now() - startedAtMs);
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] as number;
}
