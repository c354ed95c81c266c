/**
 * The demo: two machines, three restore points of each, and the main job. A file that is gone today is
 * fetched from last week's disk, through iSCSI with CHAP, by stock tools.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { RestoreError } from '../core/index.ts';
import {
  type DiskManifest,
  LINUX_FILES,
  manifestFile,
  WINDOWS_FILES,
} from '../test/fixtures/disks/index.ts';
import { run } from '../test/fixtures/tools/index.ts';
import { type DemoState, demoMachines, madeStates } from './machines/machines.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const FOLDER = path.join(ROOT, '.rehydrate-demo');
const REPOSITORY = path.join(FOLDER, 'repository');
const CONTROL = path.join(FOLDER, 'control.sock');
const CACHE = path.join(FOLDER, 'cache');
const STATE = path.join(FOLDER, 'state');
const DONE = path.join(FOLDER, 'captured');
const REHYDRATE = path.join(ROOT, 'bin/rehydrate');
const STATE_NUMBERS = [0, 1, 2] as const;
const START_TIMEOUT_MS = 20_000;

interface OpenDisk {
  readonly id: string;
  readonly iqn: string;
  readonly portal: string;
  readonly lun: number;
  readonly chap: { readonly user: string; readonly secret: string };
}

const states = existsSync(DONE) ? await madeStates(FOLDER) : await makeAndCapture();
say('What is in the repository');
await rehydrate(['ls', REPOSITORY]);
for (const machine of ['web01', 'files02']) await rehydrate(['ls', REPOSITORY, machine]);
await copyFiles(states);
say('Starting the service');
const service = await startService();
try {
  await pullFiles(states);
  await tellHowToOpen(states);
  if (process.stdout.isTTY && process.stdin.isTTY) await waitForInterrupt();
  else
    print(
      '\nNo terminal, so the service ends here: `bin/rehydrate serve .rehydrate-demo/repository`',
    );
} finally {
  service.kill('SIGTERM');
}

async function makeAndCapture(): Promise<DemoState[]> {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  const machines = demoMachines({ folder: FOLDER });
  await rehydrate(['init', REPOSITORY]);
  const made: DemoState[] = [];
  for (const number of STATE_NUMBERS) {
    say(`Making both machines as they were: state ${number + 1} of ${STATE_NUMBERS.length}`);
    const state = await machines.state(number);
    made.push(state);
    say(`Capturing them: ${state.label}`);
    for (const { name, disk } of state.machines) {
      const at = state.time.toISOString();
      await rehydrate(['capture', REPOSITORY, disk, '--machine', name, '--at', at]);
    }
  }
  writeFileSync(DONE, '');
  return made;
}

/** The main job, on both machines: one file of last week, nothing mounted, nothing else restored. */
async function copyFiles(all: readonly DemoState[]): Promise<void> {
  const lastWeek = all[1] as DemoState;
  const time = lastWeek.time.toISOString();
  say('What a machine is made of');
  await rehydrate(['volumes', REPOSITORY, `web01@${time}`]);
  say('The main job: files that are gone today, from last week');
  await copyFile(lastWeek, 'web01', `web01@${time}`, LINUX_FILES.contract);
  await copyFile(lastWeek, 'files02', `files02@${time}/disk0/p3`, WINDOWS_FILES.report);
}

async function copyFile(
  state: DemoState,
  machine: string,
  place: string,
  file: string,
): Promise<void> {
  const manifest = state.machines.find(({ name }) => name === machine)?.manifest as DiskManifest;
  const { sha256 } = manifestFile(manifest, file);
  const target = path.join(FOLDER, 'copied');
  await rehydrate(['ls', '-l', REPOSITORY, `${place}:${file}`]);
  await rehydrate(['cp', '--force', REPOSITORY, `${place}:${file}`, target]);
  const copy = path.join(target, path.basename(file));
  const found = createHash('sha256').update(readFileSync(copy)).digest('hex');
  if (found !== sha256) throw new RestoreError('CORRUPT', `${file} is not what it was`);
  print(`  → ${path.relative(ROOT, copy)}, SHA-256 ${found}: the same as on the machine that day`);
}

/** The same through the whole disk: what stock tools find on the LUN. */
async function pullFiles(all: readonly DemoState[]): Promise<void> {
  const lastWeek = all[1] as DemoState;
  say('The same files through the disk itself, over iSCSI with CHAP');
  await pull(lastWeek, 'web01', LINUX_FILES.contract, (image, file) =>
    run('debugfs', ['-R', `cat "${file}"`, image]),
  );
  await pull(lastWeek, 'files02', WINDOWS_FILES.report, (image, file) =>
    run('ntfscat', [image, file]),
  );
}

async function pull(
  state: DemoState,
  machine: string,
  file: string,
  read: (image: string, file: string) => Promise<{ stdoutBytes: Buffer }>,
): Promise<void> {
  const startedAt = Date.now();
  const manifest = state.machines.find(({ name }) => name === machine)?.manifest as DiskManifest;
  const { volume, sha256 } = manifestFile(manifest, file);
  const range = manifest.volumes.find(({ name }) => name === volume)?.ranges[0];
  if (range === undefined) throw new RestoreError('NOT_FOUND', `no volume ${volume}`);
  const address = `${machine}@${state.time.toISOString()}/disk0`;
  const open = JSON.parse(
    (await run(REHYDRATE, ['export', address, '--iscsi', '--control', CONTROL, '--json'])).stdout,
  ) as OpenDisk;
  const image = path.join(FOLDER, `${machine}-${volume}.img`);
  const source = [
    'driver=raw',
    `offset=${range.startBytes}`,
    `size=${range.sizeBytes}`,
    'file.driver=iscsi',
    'file.transport=tcp',
    `file.portal=${open.portal}`,
    `file.target=${open.iqn}`,
    `file.lun=${open.lun}`,
    `file.user=${open.chap.user}`,
    `file.password=${open.chap.secret}`,
  ].join(',');
  await run('qemu-img', ['convert', '--image-opts', source, '-O', 'raw', image]);
  const { stdoutBytes } = await read(image, file);
  const found = createHash('sha256').update(stdoutBytes).digest('hex');
  if (found !== sha256) throw new RestoreError('CORRUPT', `${file} is not what it was`);
  const copy = path.join(FOLDER, path.basename(file));
  writeFileSync(copy, stdoutBytes);
  rmSync(image, { force: true });
  await run(REHYDRATE, ['revoke', open.id, '--control', CONTROL]);
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
  print(`  ${address}:${file}`);
  print(`    → ${path.relative(ROOT, copy)}, ${stdoutBytes.length} bytes, in ${seconds} s`);
  print(`    SHA-256 ${found}: the same as on the machine that day`);
}

async function tellHowToOpen(all: readonly DemoState[]): Promise<void> {
  say('Open a disk yourself: this one is open now');
  const lastWeek = all[1] as DemoState;
  const address = `web01@${lastWeek.time.toISOString()}/disk0`;
  await rehydrate(['export', address, '--iscsi', '--control', CONTROL]);
}

async function startService(): Promise<ChildProcess> {
  // What an earlier demo left open stays closed.
  rmSync(STATE, { recursive: true, force: true });
  const args = ['serve', REPOSITORY, '--iscsi-listen', '127.0.0.1:0', '--control', CONTROL];
  const child = spawn(REHYDRATE, args, {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, XDG_CACHE_HOME: CACHE, XDG_STATE_HOME: STATE },
  });
  const ready = await new Promise<string>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('the service is not ready')), START_TIMEOUT_MS);
    child.stdout?.once('data', (line: Buffer) => {
      clearTimeout(late);
      resolve(line.toString().trim());
    });
    child.once('exit', (code) => reject(new Error(`the service ended with ${code}`)));
  });
  print(`  ${ready}`);
  return child;
}

async function rehydrate(args: readonly string[]): Promise<void> {
  const child = spawn(REHYDRATE, args, {
    stdio: 'inherit',
    env: { ...process.env, XDG_CACHE_HOME: CACHE, XDG_STATE_HOME: STATE },
  });
  const status = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  if (status !== 0) throw new RestoreError('IO', `rehydrate ${args[0]} ended with ${status}`);
}

async function waitForInterrupt(): Promise<void> {
  print('\nThe service runs until you press Ctrl-C.');
  await new Promise<void>((resolve) => process.once('SIGINT', () => resolve()));
}

function say(title: string): void {
  print(`\n== ${title}`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
