/**
 * Files of a volume: listing 100,000 with what is known of each, and reading one of 500 MB, against
 * Sleuth Kit, ntfs-3g and the kernel, alternately in one run, images in the page cache; and the same
 * from a repository, through the command.
 *
 * `node bench/files/run.ts [--rounds N] [--folder FOLDER] [--json FILE]`: as root, for the mounts.
 * FOLDER keeps the volumes, which take some minutes to make, for other runs.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine } from '../support/machine.ts';
import { formatSpread, ratios, spreadOf } from '../support/statistics.ts';
import { type Cost, measureCommand } from '../support/measure.ts';
import { BIG_NAME, command, DIRECTORIES, FILES_EACH, makeVolumes } from './volumes.ts';

const MIB = 1024 * 1024;
const ROOT = path.join(import.meta.dirname, '../..');
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    folder: {
      type: 'string',
      default: path.join(
        process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'),
        'rehydrate/bench-files',
      ),
    },
    json: { type: 'string' },
  },
});
const folder = path.resolve(values.folder);
const rounds = Number(values.rounds);

/** One way to do a task, a shell line whose output is thrown away. */
interface Contender {
  readonly name: string;
  readonly line: string;
}

interface Task {
  readonly name: string;
  /** The first of them is ours, and others are compared with it. */
  readonly contenders: readonly Contender[];
}

interface Sample extends Cost {
  readonly task: string;
  readonly contender: string;
  readonly round: number;
}

await main();

async function main(): Promise<void> {
  const machine = describeMachine({
    sleuthkit: ['fls', '-V'],
    'ntfs-3g': ['dpkg-query', '--show', 'ntfs-3g'],
    e2fsprogs: ['dpkg-query', '--show', 'e2fsprogs'],
  });
  const images = await makeVolumes(folder);
  const repository = makeRepository(images);
  const program = build();
  const samples: Sample[] = [];
  for (const [kind, image] of Object.entries(images)) {
    for (const task of tasksOf(kind as keyof typeof images, image, repository, program)) {
      samples.push(...compare(task));
    }
  }
  if (values.json === undefined) return;
  writeFileSync(values.json, `${JSON.stringify({ machine, rounds, samples }, null, 2)}\n`);
}

/** Each image as the newest point of a machine of its own. */
function makeRepository(images: { readonly ext4: string; readonly ntfs: string }): string {
  const repository = path.join(folder, 'repository');
  if (existsSync(path.join(folder, 'captured'))) return repository;
  rmSync(repository, { recursive: true, force: true });
  const rehydrate = path.join(ROOT, 'bin/rehydrate');
  command(rehydrate, 'init', repository);
  for (const [machine, image] of Object.entries(images)) {
    command(rehydrate, 'capture', repository, image, '--machine', machine);
  }
  writeFileSync(path.join(folder, 'captured'), '');
  return repository;
}

/** What users run: compiled. The raw image has no command: the bench's own program, compiled with it. */
function build(): { readonly main: string; readonly rawImage: string } {
  const target = path.join(folder, 'dist');
  const own = path.join(import.meta.dirname, 'raw-image.ts');
  command(process.execPath, path.join(ROOT, 'scripts/build.ts'), '--program', own, target);
  const packages = path.join(folder, 'node_modules');
  command('ln', '-sfn', path.join(ROOT, 'node_modules'), packages);
  return { main: path.join(target, 'main.js'), rawImage: path.join(target, 'raw-image.js') };
}

function tasksOf(
  kind: 'ext4' | 'ntfs',
  image: string,
  repository: string,
  program: ReturnType<typeof build>,
): Task[] {
  const node = `${process.execPath} --disable-warning=ExperimentalWarning`;
  const raw = (what: string): string =>
    `${node} --permission --allow-fs-read=${ROOT} --allow-fs-read=${folder} ` +
    `--allow-fs-write=${folder}/compiled --max-old-space-size=420 --initial-old-space-size=64 ` +
    `--max-semi-space-size=8 ${program.rawImage} ${what}`;
  const ours = (what: string, at: string): string =>
    `${node} ${program.main} ${what} ${repository} ${kind}@latest/disk0/p1:${at}`;
  const mountPoint = path.join(folder, 'mounted');
  mkdirSync(mountPoint, { recursive: true });
  const mount = kind === 'ext4' ? 'mount -o loop,ro' : 'ntfs-3g -o ro';
  // A mount's own costs are its user's too; ntfs-3g's work is done by a process that is not waited for.
  const mounted = (what: string): string =>
    `${mount} ${image} ${mountPoint} && ${what}; umount ${mountPoint}`;
  const driver = kind === 'ext4' ? 'kernel' : 'ntfs-3g mount';
  const inode = numberOf(image);
  const peers = kind === 'ext4' ? [] : [{ name: 'ntfscat', line: `ntfscat ${image} ${BIG_NAME}` }];
  const lister = kind === 'ext4' ? [] : [{ name: 'ntfsls', line: `ntfsls -f -R -l -p / ${image}` }];
  return [
    {
      name: `${kind}: list ${DIRECTORIES * FILES_EACH} files`,
      contenders: [
        { name: 'ours, raw', line: raw(`list ${image}`) },
        { name: 'ours, repository', line: ours('ls -l -R', '/') },
        { name: 'fls', line: `fls -r -p -l ${image}` },
        { name: `${driver}, find`, line: mounted(`find ${mountPoint} -ls`) },
        ...lister,
      ],
    },
    {
      name: `${kind}: read 500 MB`,
      contenders: [
        { name: 'ours, raw', line: raw(`read ${image} /${BIG_NAME}`) },
        { name: 'ours, repository', line: ours('cat', `/${BIG_NAME}`) },
        { name: 'icat', line: `icat ${image} ${inode}` },
        { name: `${driver}, cat`, line: mounted(`cat ${mountPoint}/${BIG_NAME}`) },
        ...peers,
      ],
    },
  ];
}

/** The big file's, as Sleuth Kit addresses it. */
function numberOf(image: string): string {
  const { stdout } = spawnSync('fls', [image], { encoding: 'utf8' });
  const line = stdout.split('\n').find((each) => each.endsWith(`\t${BIG_NAME}`)) ?? '';
  return /\s(?<number>[\d-]+):/.exec(line)?.groups?.['number'] ?? '';
}

function compare({ name, contenders }: Task): Sample[] {
  const env = {
    ...process.env,
    MALLOC_ARENA_MAX: '2',
    NODE_COMPILE_CACHE: path.join(folder, 'compiled'),
  };
  const samples: Sample[] = [];
  for (let round = -1; round < rounds; round += 1) {
    // Who goes first changes from round to round, so that nobody always meets the same aftermath.
    const order = round % 2 === 0 ? contenders : contenders.toReversed();
    for (const contender of order) {
      const shell = ['sh', '-c', `{ ${contender.line}; } > /dev/null`];
      const cost = measureCommand(shell, { env, report: path.join(folder, 'cost') });
      // The first time compiles, and brings files into the page cache.
      if (round >= 0) samples.push({ task: name, contender: contender.name, round, ...cost });
    }
  }
  print(name, contenders, samples);
  return samples;
}

function print(task: string, contenders: readonly Contender[], samples: readonly Sample[]): void {
  console.log(`\n${task}`);
  const own = (name: string, pick: (cost: Cost) => number): number[] =>
    samples.filter(({ contender }) => contender === name).map(pick);
  const seconds = ({ seconds: taken }: Cost): number => taken;
  const processor = ({ cpuSeconds }: Cost): number => cpuSeconds;
  const first = contenders[0]?.name ?? '';
  for (const { name } of contenders) {
    const { max } = spreadOf(own(name, ({ peakRssBytes }) => peakRssBytes / MIB));
    console.log(
      `  ${name.padEnd(20)} ${formatSpread(own(name, seconds))} s, CPU ` +
        `${formatSpread(own(name, processor))} s, peak RSS ${max.toFixed(0)} MiB; ` +
        `${formatSpread(ratios(own(name, seconds), own(first, seconds)))} of ours in time, ` +
        `${formatSpread(ratios(own(name, processor), own(first, processor)))} in CPU`,
    );
  }
}
