/** Two points of an NTFS volume compared, against what ntfs-3g shows of both. */
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../fixtures/disks/random.ts';
import {
  listMounted,
  type Listing,
  missingForNtfs,
  withNtfsMounted,
} from '../fixtures/file-systems/index.ts';
import { makeNtfsVolume } from '../fixtures/file-systems/ntfs-volume.ts';
import { Scratch } from '../fixtures/repository.ts';
import { Cli } from './command/harness.ts';
import { expectExplains, type JsonDifference } from './diff/apply.ts';
import { compareImages } from './diff/compare-images.ts';
import { disturb, plant } from './diff/random-work.ts';

const MIB = 1024 * 1024;
const scratch = new Scratch();
const cli = new Cli(scratch);
const repository = scratch.file('repository');
const missing = missingForNtfs();

beforeAll(async () => {
  await cli.json('init', repository);
});
afterAll(() => scratch[Symbol.dispose]());

const compared = (
  machine: string,
  before: string,
  after: string,
  ...more: readonly string[]
): Promise<JsonDifference> => compareImages(cli, repository, machine, [before, after], ...more);

const listOf = (image: string): Promise<Listing> => withNtfsMounted(image, ['ro'], listMounted);

async function changedCopy(image: string, change: (root: string) => void): Promise<string> {
  const copy = `${image}.after`;
  copyFileSync(image, copy);
  await withNtfsMounted(copy, ['special_files=wsl'], change);
  return copy;
}

describe('points of an NTFS volume', () => {
  it.for([1, 2, 3])('differ as ntfs-3g shows: seed %i', async (seed, context) => {
    context.skip(missing !== undefined, missing);
    const random = new Random(`ntfs ${seed}`, 'diff');
    const before = scratch.file(`ntfs-${seed}.img`);
    await makeNtfsVolume(before, { sizeBytes: 48 * MIB, mount: ['special_files=wsl'] }, (root) =>
      plant(root, random, 250),
    );
    const after = await changedCopy(before, (root) => disturb(root, random, 50));
    const difference = await compared(`ntfs-${seed}`, before, after);
    expect(difference.volumes.map(({ method }) => method)).toEqual(['records']);
    expectExplains(difference, await listOf(before), await listOf(after));
    expect(difference.changes.length).toBeGreaterThan(15);
  });

  it('differ in a file whose record tells nothing of it, and in renamed directories', async (context) => {
    context.skip(missing !== undefined, missing);
    const before = scratch.file('patched.img');
    const marked = Buffer.from('a text that stands nowhere else: 4711');
    await makeNtfsVolume(before, { sizeBytes: 32 * MIB }, (root) => {
      mkdirSync(path.join(root, 'docs'));
      for (let index = 0; index < 200; index += 1) {
        writeFileSync(path.join(root, 'docs', `file ${index}.txt`), Buffer.alloc(9_000, index + 1));
      }
      writeFileSync(path.join(root, 'docs/marked'), Buffer.concat([Buffer.alloc(6_000), marked]));
      mkdirSync(path.join(root, 'many'));
      for (let index = 0; index < 1_000; index += 1) {
        writeFileSync(path.join(root, 'many', `${index}`), 'x');
      }
    });
    const after = await changedCopy(before, (root) => {
      renameSync(path.join(root, 'many'), path.join(root, 'docs/few'));
    });
    const at = readFileSync(after).indexOf(marked);
    const file = openSync(after, 'r+');
    writeSync(file, Buffer.from('A'), 0, 1, at);
    closeSync(file);
    const difference = await compared('patched', before, after);
    const told = difference.changes.map(({ change, path: to, from, aspects }) => [
      ...[change, from, to, aspects],
    ]);
    expect(told).toEqual([
      ['renamed', '/many', '/docs/few', []],
      ['changed', undefined, '/docs/marked', ['content']],
    ]);
  });
});
