/** NTFS volumes held against The Sleuth Kit, which shares no code with ntfs-3g. */
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { openFileSystem } from '../../parsers/index.ts';
import {
  hashOf,
  listBySleuthKit,
  listFileSystem,
  type Listing,
  missingForNtfs,
  type NtfsFixtureName,
} from '../fixtures/file-systems/index.ts';
import { NtfsScratch } from '../fixtures/file-systems/ntfs-scratch.ts';
import { nodeFiles } from './image-support.ts';

const reason = missingForNtfs('fls', 'icat', 'istat');

/** It has no words for WSL's files, spells control characters otherwise, and knows time from 1970. */
const NAMES: readonly NtfsFixtureName[] = [
  'compressed',
  'compressed in clusters of 512',
  'compressed in sectors of 4096',
  'attribute lists',
  'valid length',
  'short names',
  'deleted',
  'clusters of 64 KiB',
];

describe(`NTFS as The Sleuth Kit reads it${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  const scratch = reason === undefined ? new NtfsScratch() : undefined;
  beforeEach((context) => context.skip(scratch === undefined, reason));
  afterAll(() => scratch?.remove());

  it.each(NAMES)('reads: %s', { timeout: 120_000 }, async (name) => {
    const image = await (scratch as NtfsScratch).image(name);
    const { files, streams } = await listBySleuthKit(image, { skip: isMetadata });
    const source = await nodeFiles().open(image);
    const fileSystem = await openFileSystem(source);
    expect(comparable(await listFileSystem(fileSystem))).toEqual(comparable(files));
    expect(streams.size).toBe(0);
    await fileSystem.close();
    await source.close();
  });

  it('reads: streams', { timeout: 120_000 }, async () => {
    const image = await (scratch as NtfsScratch).image('streams');
    const { files, streams } = await listBySleuthKit(image, { skip: isMetadata });
    const source = await nodeFiles().open(image);
    const fileSystem = await openFileSystem(source);
    const read: Record<string, string> = {};
    for (const path of files.keys()) {
      const node = await fileSystem.lookup(fileSystem.root, path.slice(1));
      for (const { name } of await fileSystem.streams(node as number)) {
        read[`${path}:${name}`] = await hashOf(await fileSystem.open(node as number, name));
      }
    }
    // It shows the empty stream of `many` under the name of the file.
    const expected = [...streams].map(([path, { sha256 }]) => [path, sha256]);
    delete read['/many:stream-0'];
    expect(read).toEqual(Object.fromEntries(expected));
    expect(expected.length).toBe(105);
    await fileSystem.close();
    await source.close();
  });
});

/** `$MFT` and its like, and what lies in `$Extend`. */
function isMetadata(path: string): boolean {
  return path.startsWith('/$');
}

/** All but the root, which it does not list; of directories no size and no count of names. */
function comparable(listing: Listing): Record<string, unknown> {
  const rows = [...listing].filter(([path]) => path !== '/');
  return Object.fromEntries(
    rows.map(([path, { kind, size, modified, sha256 }]) => {
      return [path, kind === 'directory' ? { kind, modified } : { kind, size, modified, sha256 }];
    }),
  );
}
