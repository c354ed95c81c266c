import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { asRestoreError, RestoreError } from '../../core/index.ts';
import {
  type DiskManifest,
  makeLinuxServer,
  makeWindowsServer,
  mutateLinuxServer,
  mutateWindowsServer,
} from '../../test/fixtures/disks/index.ts';
import { run } from '../../test/fixtures/tools/index.ts';

/** The restore points of the demo: each one's number, its name in a story, and how old it is. */
const DEMO_STATES = [
  { number: 0, label: 'three weeks ago', ageDays: 21 },
  { number: 1, label: 'last week', ageDays: 7 },
  { number: 2, label: 'now', ageDays: 0 },
] as const;

export type StateNumber = (typeof DEMO_STATES)[number]['number'];

export interface DemoMachinesOptions {
  /** Made when absent; the disks of an earlier run in it are replaced. */
  readonly folder: string;
  /** What "now" is. Default: the present, in whole seconds. */
  readonly now?: Date;
  readonly linux?: MachineSize;
  readonly windows?: MachineSize;
  /** What the Linux server's disk is handed out as. Default `qcow2`; the other one is raw. */
  readonly linuxFormat?: 'qcow2' | 'raw';
}

export interface MachineSize {
  readonly sizeBytes?: number;
  readonly contentBytes?: number;
  readonly fileCount?: number;
}

export interface DemoMachine {
  readonly name: string;
  /** The disk to capture; valid until the next state is made. */
  readonly disk: string;
  /** What is on the disk; `manifest.path` is always the raw one. */
  readonly manifest: DiskManifest;
}

export interface DemoState {
  readonly number: StateNumber;
  readonly label: string;
  readonly time: Date;
  /** The Linux server `web01` and the Windows server `files02`. */
  readonly machines: readonly DemoMachine[];
}

export interface DemoMachines {
  /**
   * Brings both machines to a state, by way of the ones before it. States only go forward: capture
   * one before asking for the next.
   *
   * @throws RestoreError `INVALID` for a state that has passed, and what the disk makers throw.
   */
  state(number: StateNumber): Promise<DemoState>;
}

const DAY_MS = 86_400_000;
const LINUX_NAME = 'web01';
const WINDOWS_NAME = 'files02';

/** Two machines that can be taken through the demo's states. Nothing is made before `state(0)`. */
export function demoMachines(options: DemoMachinesOptions): DemoMachines {
  const nowMs = Math.floor((options.now ?? new Date()).getTime() / 1000) * 1000;
  let current: DemoState | undefined;
  return {
    state: async (number) => {
      if (current !== undefined && number < current.number) throw passed(number, current.number);
      for (const { number: step } of DEMO_STATES) {
        if (step > number || (current !== undefined && step <= current.number)) continue;
        current = await nextState(options, step, nowMs, current);
      }
      if (current === undefined) throw passed(number, -1);
      return current;
    },
  };
}

/** The states made in a folder by an earlier run, for checks that come later. */
export async function madeStates(folder: string): Promise<DemoState[]> {
  const states: DemoState[] = [];
  for (const { number } of DEMO_STATES) {
    const text = await readFile(recordPath(folder, number), 'utf8').catch((error: unknown) => {
      const problem = asRestoreError(error, 'cannot read what the demo made');
      if (problem.code === 'NOT_FOUND') return undefined;
      throw problem;
    });
    if (text === undefined) break;
    const state = JSON.parse(text) as Omit<DemoState, 'time'> & { time: string };
    states.push({ ...state, time: new Date(state.time) });
  }
  return states;
}

async function nextState(
  options: DemoMachinesOptions,
  number: StateNumber,
  nowMs: number,
  before: DemoState | undefined,
): Promise<DemoState> {
  const { label, ageDays } = DEMO_STATES[number];
  const time = new Date(nowMs - ageDays * DAY_MS);
  if (before === undefined) await startAfresh(options.folder);
  const [linux, windows] =
    before === undefined ? await makeBoth(options, time) : await changeBoth(before, number, time);
  const machines = [
    { name: LINUX_NAME, disk: await handOut(linux, options.linuxFormat), manifest: linux },
    { name: WINDOWS_NAME, disk: windows.path, manifest: windows },
  ];
  const state: DemoState = { number, label, time, machines };
  await writeFile(recordPath(options.folder, number), JSON.stringify(state));
  return state;
}

async function makeBoth(
  { folder, linux, windows }: DemoMachinesOptions,
  time: Date,
): Promise<[DiskManifest, DiskManifest]> {
  const place = (name: string): string => path.join(folder, `${name}.raw`);
  return [
    await makeLinuxServer({ ...linux, path: place(LINUX_NAME), hostname: LINUX_NAME, time }),
    await makeWindowsServer({
      ...windows,
      path: place(WINDOWS_NAME),
      hostname: WINDOWS_NAME,
      time,
    }),
  ];
}

async function changeBoth(
  before: DemoState,
  step: number,
  time: Date,
): Promise<[DiskManifest, DiskManifest]> {
  const [linux, windows] = before.machines;
  if (linux === undefined || windows === undefined) {
    throw new RestoreError('INVALID', 'a state of the demo has two machines');
  }
  return [
    await mutateLinuxServer(linux.manifest, step, time),
    await mutateWindowsServer(windows.manifest, step, time),
  ];
}

async function handOut(linux: DiskManifest, format: 'qcow2' | 'raw' = 'qcow2'): Promise<string> {
  if (format === 'raw') return linux.path;
  const image = linux.path.replace(/\.raw$/, '.qcow2');
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', linux.path, image]);
  return image;
}

/** A run that was cut short leaves records of states its disks are no longer in. */
async function startAfresh(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const { number } of DEMO_STATES) await rm(recordPath(folder, number), { force: true });
}

function recordPath(folder: string, number: number): string {
  return path.join(folder, `state-${number}.json`);
}

function passed(number: number, current: number): RestoreError {
  return new RestoreError('INVALID', 'the machines are not in that state any more', {
    where: { object: 'state', expected: `${Math.max(current, 0)} or later`, found: number },
    hint: 'Capture each state before the next is made, or start again from state 0.',
  });
}
