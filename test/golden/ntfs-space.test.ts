/** Free space of NTFS volumes, held against ntfs-3g's `statfs` and against ntfsinfo. */
import { statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  missingForNtfs,
  NTFS_FIXTURES,
  type NtfsFixtureName,
  withNtfsMounted,
} from '../fixtures/file-systems/index.ts';
import { NtfsScratch } from '../fixtures/file-systems/ntfs-scratch.ts';
import { makeNtfsVolume } from '../fixtures/file-systems/ntfs-volume.ts';
import { run } from '../fixtures/tools/index.ts';
import { withVolume } from './ntfs-support.ts';

const reason = missingForNtfs('ntfsinfo');
const suffix = reason === undefined ? '' : ` (skipped: ${reason})`;

let scratch: NtfsScratch;
beforeAll(() => {
  scratch = new NtfsScratch();
});
afterAll(() => {
  scratch.remove();
});

const freeOf = async (file: string): Promise<number | undefined> =>
  await withVolume(file, async (volume) => await volume.countFree?.());

describe(`free space of NTFS${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it.each(Object.keys(NTFS_FIXTURES) as NtfsFixtureName[])('as ntfs-3g: %s', async (name) => {
    const file = await scratch.image(name);
    const theirs = await withNtfsMounted(file, ['ro'], (mountPoint) => {
      const { bfree, bsize } = statfsSync(mountPoint);
      return bfree * bsize;
    });
    expect(theirs).toBeGreaterThan(0);
    expect(await freeOf(file)).toBe(theirs);
  });

  it.each([1_085_440, 2_142_208, 3_000_320])('as ntfsinfo: %i bytes', async (sizeBytes) => {
    const file = scratch.file('odd');
    await makeNtfsVolume(file, { sizeBytes, format: ['-c', '512'] }, (mountPoint) => {
      writeFileSync(path.join(mountPoint, 'filling'), new Uint8Array(200_000));
    });
    const { stdout } = await run('ntfsinfo', ['-m', file]);
    const clusters = Number(/Free Clusters: (\d+)/u.exec(stdout)?.[1]);
    expect(clusters).toBeGreaterThan(0);
    expect(await freeOf(file)).toBe(clusters * 512);
  });
});
