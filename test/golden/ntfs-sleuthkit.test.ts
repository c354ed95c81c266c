/** NTFS volumes held against The Sleuth Kit. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  listBySleuthKit,
  listFileSystem,
  type Listing,
  missingForNtfs,
  type NtfsFixtureName,
} from '../fixtures/file-systems/index.ts';
import { NtfsScratch } from '../fixtures/file-systems/ntfs-scratch.ts';
import { comparable, nodeAt, withVolume } from './ntfs-support.ts';

const reason = missingForNtfs('fls', 'icat', 'istat');
const suffix = reason === undefined ? '' : ` (skipped: ${reason})`;

/**
 * Not among them: names that `fls` shows changed (control characters), directories of thousands of
 * files (it starts a program for each), clusters of 2 MiB, which it does not list.
 */
const VOLUMES: readonly NtfsFixtureName[] = [
  'compressed',
  'compressed in clusters of 512',
  'attribute lists',
  'valid length',
  'streams',
  'deleted',
  'clusters of 512',
  'clusters of 64 KiB',
  'sectors of 4096',
];

let scratch: NtfsScratch;
beforeAll(() => {
  scratch = new NtfsScratch();
});
afterAll(() => {
  scratch.remove();
});

const isSystem = (path: string): boolean => path.startsWith('/$');

describe(`NTFS as Sleuth Kit reads it${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it.each(VOLUMES)('every file: %s', async (name) => {
    const file = await scratch.image(name);
    const { files } = await listBySleuthKit(file, { type: 'ntfs', skip: isSystem });
    const ours = await withVolume(file, listFileSystem);
    ours.delete('/');
    const fields = ['kind', 'size', 'modified', 'sha256'] as const;
    expect(files.size).toBeGreaterThan(0);
    expect(comparable(ours, fields)).toEqual(comparable(files, fields));
  });

  it('named streams', async () => {
    const file = await scratch.image('streams');
    const { streams } = await listBySleuthKit(file, { type: 'ntfs', skip: isSystem });
    const ours = await withVolume(file, async (fileSystem) => {
      const listed = await listFileSystem(fileSystem);
      const sizes: Record<string, number> = {};
      for (const owner of listed.keys()) {
        if (owner === '/') continue;
        const node = await nodeAt(fileSystem, owner);
        for (const { name, size } of await fileSystem.streams(node)) {
          sizes[`${owner}:${name}`] = size;
        }
      }
      return sizes;
    });
    // Empty, and in another record than the file's own: `fls` leaves it out; ntfs-3g has it.
    const { '/many:stream-0': left, ...others } = ours;
    expect(left).toBe(0);
    expect(others).toEqual(sizesOf(streams));
  });
});

function sizesOf(listing: Listing): Record<string, number> {
  return Object.fromEntries([...listing].map(([name, { size }]) => [name, size]));
}
