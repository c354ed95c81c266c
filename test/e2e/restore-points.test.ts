import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type DemoState, demoMachines } from '../../demo/machines/machines.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { Cli, type Service } from './command/harness.ts';

/**
 * The promise of the whole: a 4 GiB qcow2 with ext4 on LVM and a raw disk with NTFS, three restore
 * points of each, and every point is the source as it was, through iSCSI and after a restore. The
 * judge is qemu-img, on both sides.
 */
const STATES = [0, 1, 2] as const;
const MACHINES = ['web01', 'files02'] as const;
const TOOLS = ['qemu-img', 'sgdisk', 'mke2fs', 'debugfs', 'mkntfs', 'mcopy'];
const absent = TOOLS.filter((tool) => findTool(tool) === undefined);
const reason = absent.length === 0 ? undefined : `not installed: ${absent.join(', ')}`;

interface Opened {
  readonly iqn: string;
  readonly portal: string;
  readonly lun: number;
  readonly chap: { readonly user: string; readonly secret: string };
}

describe('three restore points of two machines', () => {
  const scratch = new Scratch();
  const cli = new Cli(scratch);
  const repository = scratch.file('repository');
  const control = scratch.file('control.sock');
  const points = new Map<string, { address: string; kept: string; format: string }>();
  let service: Service | undefined;

  beforeAll(async () => {
    if (reason !== undefined) return;
    const machines = demoMachines({ folder: scratch.file('machines') });
    await cli.json('init', repository);
    for (const number of STATES) await captureState(await machines.state(number));
    await rm(scratch.file('machines'), { recursive: true });
    service = await cli.serve(repository, control);
  }, 300_000);

  afterAll(async () => {
    await service?.stop();
    scratch[Symbol.dispose]();
  });

  beforeEach((context) => context.skip(reason !== undefined, reason));

  /** Captures both machines and keeps their disks as they are now. */
  async function captureState(state: DemoState): Promise<void> {
    for (const { name, disk } of state.machines) {
      const format = disk.endsWith('.qcow2') ? 'qcow2' : 'raw';
      const kept = scratch.file(`${name}-${state.number}.${format}`);
      await run('cp', ['--sparse=always', disk, kept]);
      const { address } = await cli.json<{ address: string }>(
        'capture',
        repository,
        disk,
        '--machine',
        name,
        '--at',
        state.time.toISOString(),
      );
      points.set(`${name} ${state.number}`, { address, kept, format });
    }
  }

  for (const machine of MACHINES) {
    for (const state of STATES) {
      test(`${machine}, state ${state}: over iSCSI with CHAP`, { timeout: 120_000 }, async () => {
        const { address, kept, format } = known(machine, state);
        const { iqn, portal, lun, chap } = await cli.json<Opened>(
          'export',
          address,
          '--iscsi',
          '--control',
          control,
        );
        const url = `iscsi://${chap.user}%${chap.secret}@${portal}/${iqn}/${lun}`;
        const compared = await run('qemu-img', ['compare', '-f', format, '-F', 'raw', kept, url]);
        expect(compared.stdout).toContain('Images are identical.');
      });

      test(`${machine}, state ${state}: restored to a file`, { timeout: 120_000 }, async () => {
        const { address, kept, format } = known(machine, state);
        for (const target of ['raw', 'qcow2']) {
          const out = scratch.file(`restored.${target}`);
          await cli.json('restore', repository, address, out, '--format', target);
          const args = ['compare', '-f', format, '-F', target, kept, out];
          expect((await run('qemu-img', args)).stdout).toContain('Images are identical.');
          await rm(out);
        }
      });
    }
  }

  test('the judge does tell one state from another', { timeout: 120_000 }, async () => {
    const other = path.join(scratch.path, 'other.qcow2');
    await cp(known('web01', 1).kept, other);
    const args = ['compare', '-f', 'qcow2', '-F', 'qcow2', known('web01', 0).kept, other];
    expect((await run('qemu-img', args, { accept: [1] })).stdout).toContain('Content mismatch');
  });

  function known(
    machine: string,
    state: number,
  ): { address: string; kept: string; format: string } {
    const point = points.get(`${machine} ${state}`);
    if (point === undefined) throw new Error(`${machine} ${state} was not captured`);
    return point;
  }
});
