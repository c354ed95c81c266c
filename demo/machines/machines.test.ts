import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MIB } from '../../test/fixtures/disks/index.ts';
import { run } from '../../test/fixtures/tools/index.ts';
import { type DemoMachines, type DemoState, demoMachines, madeStates } from './machines.ts';

const NOW = new Date('2026-11-22T08:00:00.700Z');
const SMALL = { contentBytes: 8 * MIB, fileCount: 60 } as const;

let folder: string;
const states: DemoState[] = [];
const comparisons: number[] = [];
let machines: DemoMachines;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'rehydrate-demo-machines-'));
  machines = demoMachines({
    folder,
    now: NOW,
    linux: { ...SMALL, sizeBytes: 160 * MIB },
    windows: { ...SMALL, sizeBytes: 96 * MIB },
  });
  for (const number of [0, 1, 2] as const) {
    const state = await machines.state(number);
    states.push(state);
    const [linux] = state.machines;
    const { exitCode } = await run(
      'qemu-img',
      ['compare', '-f', 'qcow2', '-F', 'raw', linux?.disk ?? '', linux?.manifest.path ?? ''],
      { accept: [0, 1] },
    );
    comparisons.push(exitCode);
  }
}, 60_000);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('the machines of the demo', () => {
  test('have three states: three weeks ago, last week, now', () => {
    expect(states.map((state) => [state.label, state.time.toISOString()])).toEqual([
      ['three weeks ago', '2026-11-01T08:00:00.000Z'],
      ['last week', '2026-11-15T08:00:00.000Z'],
      ['now', '2026-11-22T08:00:00.000Z'],
    ]);
  });

  test('are a Linux server as qcow2, equal to its raw disk in every state, and a raw Windows one', () => {
    expect(
      states.map((state) => state.machines.map((machine) => path.basename(machine.disk))),
    ).toEqual(Array.from({ length: 3 }, () => ['web01.qcow2', 'files02.raw']));
    expect(comparisons).toEqual([0, 0, 0]);
  });

  test('differ from state to state', () => {
    for (const machine of [0, 1]) {
      const contents = states.map((state) =>
        JSON.stringify(state.machines[machine]?.manifest.files.map((file) => file.sha256)),
      );
      expect(new Set(contents).size).toBe(3);
    }
  });

  test('do not go back to a state that has passed', async () => {
    await expect(machines.state(1)).rejects.toMatchObject({ code: 'INVALID' });
    expect(await machines.state(2)).toEqual(states[2]);
  });

  test('leave a record of each state', async () => {
    expect(await madeStates(folder)).toEqual(states);
    expect(await madeStates(path.join(folder, 'elsewhere'))).toEqual([]);
  });
});
