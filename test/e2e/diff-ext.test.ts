/** Two points of a machine compared, against the kernel's listings of both. */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../fixtures/disks/random.ts';
import { makeExt, withExtMounted } from '../fixtures/file-systems/ext.ts';
import { makeDirty, recoveredByKernel } from '../fixtures/file-systems/ext-dirty.ts';
import { listMounted, type Listing } from '../fixtures/file-systems/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { Cli, EXIT } from './command/harness.ts';
import { diffByCommand, expectExplains, type JsonDifference } from './diff/apply.ts';
import { compareImages } from './diff/compare-images.ts';
import { disturb, plant } from './diff/random-work.ts';

const MIB = 1024 * 1024;
const scratch = new Scratch();
const cli = new Cli(scratch);
const repository = scratch.file('repository');
let missing: string | undefined;

beforeAll(async () => {
  missing = await LoopDevice.missing(scratch.file('loop'));
  await cli.json('init', repository);
});
afterAll(() => scratch[Symbol.dispose]());

const compared = (
  machine: string,
  before: string,
  after: string,
  ...more: readonly string[]
): Promise<JsonDifference> => compareImages(cli, repository, machine, [before, after], ...more);

const listOf = (image: string): Promise<Listing> => withExtMounted(image, 'loop,ro', listMounted);

async function changedCopy(image: string, change: (root: string) => void): Promise<string> {
  const copy = `${image}.after`;
  copyFileSync(image, copy);
  await withExtMounted(copy, 'loop', change);
  return copy;
}

const VOLUMES: readonly (readonly [name: string, mkfs: readonly string[]])[] = [
  ['ext4', ['-t', 'ext4']],
  ['ext4-inline', ['-t', 'ext4', '-O', 'inline_data', '-I', '256']],
  ['ext4-small-groups', ['-t', 'ext4', '-b', '1024', '-g', '1024', '-N', '4096', '-O', '^flex_bg']],
  ['ext3', ['-t', 'ext3', '-b', '2048']],
  ['ext2-old', ['-t', 'ext2', '-b', '1024', '-I', '128', '-O', '^dir_index']],
];

describe('points of an ext volume', () => {
  for (const [name, mkfs] of VOLUMES) {
    it.for([1, 2])(`differ as the kernel shows: ${name}, seed %i`, async (seed, context) => {
      context.skip(missing !== undefined, missing);
      const random = new Random(`${name} ${seed}`, 'diff');
      const machine = `${name}-${seed}`;
      const before = await makeExt(scratch.path, machine, {
        ...{ sizeBytes: 48 * MIB, mkfs },
        fill: (root) => plant(root, random, 300),
      });
      const after = await changedCopy(before, (root) => disturb(root, random, 60));
      const difference = await compared(machine, before, after);
      expect(difference.volumes.map(({ method }) => method)).toEqual(['records']);
      expectExplains(difference, await listOf(before), await listOf(after));
      expect(difference.changes.length).toBeGreaterThan(20);
    });
  }

  it('differ by what a journal holds', async (context) => {
    context.skip(missing !== undefined, missing);
    context.skip(findTool('xfs_io') === undefined, 'not installed: xfs_io');
    const random = new Random('dirty', 'diff');
    const before = scratch.file('dirty.before');
    const after = await makeDirty(scratch.path, {
      ...{ name: 'dirty', sizeBytes: 48 * MIB, mkfs: ['-t', 'ext4'] },
      populate: (root) => plant(root, random, 200),
      work: async (root) => {
        await run('sync', []);
        copyFileSync(scratch.file('dirty.work'), before);
        disturb(root, random, 40);
        await run('sync', ['-f', root]);
      },
    });
    const difference = await compared('dirty', before, after);
    const one = await recoveredByKernel(before, listMounted);
    expectExplains(difference, one, await recoveredByKernel(after, listMounted));
    expect(difference.changes.length).toBeGreaterThan(10);
  });

  it('differ in a file whose inode tells nothing of it', async (context) => {
    context.skip(missing !== undefined, missing);
    const before = await makeExt(scratch.path, 'patched', {
      ...{ sizeBytes: 32 * MIB, mkfs: ['-t', 'ext4', '-b', '4096'] },
      fill: (root) => {
        mkdirSync(path.join(root, 'data'));
        for (let index = 0; index < 40; index += 1) {
          writeFileSync(path.join(root, 'data', `f${index}`), Buffer.alloc(9_000, index + 1));
        }
        writeFileSync(path.join(root, 'sparse'), 'x');
      },
    });
    const after = `${before}.after`;
    copyFileSync(before, after);
    const { stdout } = await run('debugfs', ['-R', 'bmap /data/f17 1', before]);
    const file = openSync(after, 'r+');
    writeSync(file, Buffer.from('other'), 0, 5, Number(stdout.trim()) * 4096 + 100);
    closeSync(file);
    const difference = await compared('patched', before, after);
    const told = difference.changes.map(({ change, path: at, aspects }) => [change, at, aspects]);
    expect(told).toEqual([['changed', '/data/f17', ['content']]]);
    expectExplains(difference, await listOf(before), await listOf(after));
  });

  it('differ in one line when a directory of many files gets another name', async (context) => {
    context.skip(missing !== undefined, missing);
    const before = await makeExt(scratch.path, 'many', {
      ...{ sizeBytes: 64 * MIB, mkfs: ['-t', 'ext4', '-N', '16384'] },
      fill: (root) => {
        mkdirSync(path.join(root, 'deep/many'), { recursive: true });
        for (let index = 0; index < 10_000; index += 1) {
          writeFileSync(path.join(root, 'deep/many', `file ${index}`), '');
        }
      },
    });
    const after = await changedCopy(before, (root) => {
      renameSync(path.join(root, 'deep/many'), path.join(root, 'few'));
      chmodSync(path.join(root, 'few/file 77'), 0o600);
    });
    const { changes } = await compared('many', before, after);
    const told = changes.map(({ change, path: at, from, aspects }) => [change, from, at, aspects]);
    expect(told).toEqual([
      ['renamed', '/deep/many', '/few', []],
      ['changed', undefined, '/few/file 77', ['mode']],
    ]);
  });

  it('differ in what a directory of the caller’s choice holds', async (context) => {
    context.skip(missing !== undefined, missing);
    const before = await makeExt(scratch.path, 'scope', {
      ...{ sizeBytes: 32 * MIB, mkfs: ['-t', 'ext4'] },
      fill: (root) => {
        for (const folder of ['etc', 'srv', 'etcetera']) {
          mkdirSync(path.join(root, folder));
          writeFileSync(path.join(root, folder, 'a'), folder);
        }
      },
    });
    const after = await changedCopy(before, (root) => {
      for (const folder of ['etc', 'srv', 'etcetera']) {
        writeFileSync(path.join(root, folder, 'b'), folder);
      }
      renameSync(path.join(root, 'etc/a'), path.join(root, 'srv/from-etc'));
      rmSync(path.join(root, 'srv/a'));
    });
    const { changes } = await compared('scope', before, after, '/etc');
    expect(changes.map((change) => [change.change, change.path])).toEqual([
      ['added', '/etc/b'],
      ['renamed', '/srv/from-etc'],
    ]);
    const points = ['scope@2026-01-01', 'scope@2026-01-02'];
    const { status, stdout } = await cli.run('diff', repository, ...points, '--summary');
    expect(status).toBe(EXIT.ok);
    expect(stdout.toString()).toMatch(/^3 added, 1 removed, 0 changed, 1 renamed\n/);
    const gone = await cli.failure('diff', repository, ...points, '/nowhere');
    expect(gone.status).toBe(EXIT.notFound);
    const same = await diffByCommand(cli, repository, points[0] as string, points[0] as string);
    expect(same.changes).toEqual([]);
  });
});
