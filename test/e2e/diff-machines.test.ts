/** Whole machines compared, and volumes whose driver cannot say what changed. */
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeLinuxServer, MIB } from '../fixtures/disks/index.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { Cli } from './command/harness.ts';
import { diffByCommand, type JsonDifference } from './diff/apply.ts';
import { compareImages, POINTS } from './diff/compare-images.ts';

const scratch = new Scratch();
const cli = new Cli(scratch);
const repository = scratch.file('repository');

beforeAll(async () => {
  await cli.json('init', repository);
});
afterAll(() => scratch[Symbol.dispose]());

const compared = (
  machine: string,
  images: readonly [string, string],
  ...more: readonly string[]
): Promise<JsonDifference> => compareImages(cli, repository, machine, images, ...more);

/** The image with one byte of the only place that holds `text` changed. */
function patched(image: string, text: Buffer): string {
  const bytes = readFileSync(image);
  const at = bytes.indexOf(text);
  expect(at).toBeGreaterThan(0);
  bytes[at] = (bytes[at] as number) ^ 0x01;
  const copy = `${image}.after`;
  writeFileSync(copy, bytes);
  return copy;
}

describe('a machine of several volumes', () => {
  it('differs at the paths that its own table of mounts gives', async () => {
    const manifest = await makeLinuxServer({
      ...{ path: scratch.file('web01.raw'), hostname: 'web01', seed: 'diff' },
      ...{ sizeBytes: 512 * MIB, fileCount: 200, contentBytes: 16 * MIB },
    });
    const text = Buffer.from('data in the middle of a hole\n');
    const after = patched(manifest.path, text);
    const { changes, volumes } = await compared('web01', [manifest.path, after]);
    expect(changes.map(({ change, path, aspects }) => [change, path, aspects])).toEqual([
      ['changed', '/home/anna/template.img', ['content']],
    ]);
    const methods = Object.fromEntries(volumes.map(({ volume, method }) => [volume, method]));
    expect(methods).toMatchObject({ 'web01-vg/root': 'records', 'web01-vg/srv': 'records' });
    const [one, other] = POINTS.map((point) => `web01@${point}/web01-vg/root`);
    const alone = await diffByCommand(cli, repository, one as string, other as string);
    expect(alone.changes.map(({ path }) => path)).toEqual(['/home/anna/template.img']);
    const elsewhere = await diffByCommand(
      ...([cli, repository, `web01@${POINTS[0]}`, `web01@${POINTS[1]}`, '/srv'] as const),
    );
    expect(elsewhere.changes).toEqual([]);
  });
});

describe('a FAT volume', () => {
  it('is compared by listing, and says so', async (context) => {
    const lacking = ['mkfs.fat', 'mcopy', 'mdel', 'mmd'].filter((tool) => !findTool(tool));
    context.skip(lacking.length > 0, `not installed: ${lacking.join(', ')}`);
    const before = scratch.file('fat.img');
    writeFileSync(before, '');
    truncateSync(before, 40 * MIB);
    await run('mkfs.fat', ['-F', '16', before]);
    const text = Buffer.from('only here: 0815');
    const put = async (image: string, name: string, content: Buffer | string): Promise<void> => {
      const file = scratch.file('content');
      writeFileSync(file, content);
      await run('mcopy', ['-o', '-i', image, file, `::/${name}`]);
    };
    await run('mmd', ['-i', before, '::/docs']);
    await put(before, 'docs/kept.txt', 'kept');
    await put(before, 'docs/gone.txt', 'gone');
    await put(before, 'longer.txt', 'short');
    await put(before, 'patched.bin', Buffer.concat([Buffer.alloc(5_000), text]));
    const after = patched(before, text);
    await run('mdel', ['-i', after, '::/docs/gone.txt']);
    await put(after, 'longer.txt', 'not so short any more');
    await put(after, 'docs/new.txt', 'new');
    const { changes, volumes } = await compared('fat', [before, after]);
    expect(volumes.map(({ method }) => method)).toEqual(['listing']);
    expect(changes.map(({ change, path }) => [change, path])).toEqual(
      [
        ['added', '/docs/new.txt'],
        ['removed', '/docs/gone.txt'],
        ['changed', '/longer.txt'],
        ['changed', '/patched.bin'],
      ].toSorted(([, a = ''], [, b = '']) => (a < b ? -1 : 1)),
    );
    expect(changes.at(-1)?.aspects).toEqual(['content']);
    copyFileSync(before, `${before}.same`);
    const same = await compared('fat-same', [before, `${before}.same`]);
    expect(same.changes).toEqual([]);
  });
});
