/** NTFS volumes of every hard kind, held against ntfs-3g's mount of the same volume. */
import { createHash } from 'node:crypto';
import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type FileSystem, isRestoreError } from '../../core/index.ts';
import { identifyFileSystem, openFileSystem } from '../../parsers/index.ts';
import { fileSystemSuite } from '../conformance/file-system-suite.ts';
import {
  hashOf,
  listFileSystem,
  type Listing,
  listMounted,
  missingForNtfs,
  NTFS_FIXTURES,
  type NtfsFixtureName,
  withNtfsMounted,
} from '../fixtures/file-systems/index.ts';
import { NtfsScratch, recordWords } from '../fixtures/file-systems/ntfs-scratch.ts';
import { editStructure, recordAt } from '../fixtures/file-systems/ntfs-patch.ts';
import { makeNtfsVolume } from '../fixtures/file-systems/ntfs-volume.ts';
import { run } from '../fixtures/tools/index.ts';
import { nodeFiles } from './image-support.ts';
import {
  attributesByGetfattr,
  attributesByUs,
  comparable,
  nodeAt,
  withVolume,
} from './ntfs-support.ts';

const reason = missingForNtfs('getfattr', 'blkid');
const suffix = reason === undefined ? '' : ` (skipped: ${reason})`;

/** Compared otherwise below: ntfs-3g shows these as broken links, or rounds their times up. */
const APART: readonly NtfsFixtureName[] = ['reparse points', 'WSL files', 'times'];
const WHOLE = (Object.keys(NTFS_FIXTURES) as NtfsFixtureName[]).filter(
  (name) => !APART.includes(name),
);
const ROOT_RECORD = 5;
/** Counts a file's names without the short one, as Windows does. */
const MOUNT = ['ro', 'posix_nlink'];

let scratch: NtfsScratch;
beforeAll(() => {
  scratch = new NtfsScratch();
});
afterAll(() => {
  scratch.remove();
});

async function both<T>(
  name: NtfsFixtureName,
  ours: (fileSystem: FileSystem) => Promise<T>,
  theirs: (mountPoint: string) => Promise<T> | T,
): Promise<{ ours: T; theirs: T }> {
  const file = await scratch.image(name);
  return { theirs: await withNtfsMounted(file, MOUNT, theirs), ours: await withVolume(file, ours) };
}

describe(`NTFS as ntfs-3g reads it${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it.each(WHOLE)('every file: %s', async (name) => {
    const { ours, theirs } = await both(
      name,
      async (fileSystem) => {
        const listing = await listFileSystem(fileSystem);
        expect(fileSystem.health).toEqual({ state: 'clean', findings: [], omitted: 0 });
        return listing;
      },
      listMounted,
    );
    expect(theirs.size).toBeGreaterThan(1);
    expect(comparable(ours)).toEqual(comparable(theirs));
  });

  it('an MFT in pieces, whose map is in an attribute list', { timeout: 120_000 }, async () => {
    const file = scratch.file('pieces');
    await makeNtfsVolume(file, { sizeBytes: 16 * 1024 * 1024, format: ['-c', '512'] }, scatterMft);
    expect(await recordWords(file, 0)).toMatch(/^\$ATTRIBUTE_LIST Attribute Values/m);
    const theirs = await withNtfsMounted(file, MOUNT, listMounted);
    const ours = await withVolume(file, listFileSystem);
    expect(theirs.size).toBeGreaterThan(PIECES_NEW_FILES);
    expect(comparable(ours)).toEqual(comparable(theirs));
  });

  it('tells times to the unit, from 1601 to the last', async () => {
    const { ours, theirs } = await both(
      'times',
      async (fileSystem) => ticksOf(await listFileSystem(fileSystem)),
      async (mountPoint) => {
        // Four times, each with its highest byte first; the second is that of the content.
        const found = await attributesByGetfattr(mountPoint, 'system.ntfs_times_be');
        return new Map(
          Object.entries(found).map(([name, hex]) => [name, BigInt(`0x${hex.slice(16, 32)}`)]),
        );
      },
    );
    expect(theirs.get('/the-last')).toBe(0x7fff_ffff_ffff_ffffn);
    expect(sorted(ours)).toEqual(sorted(theirs));
  });

  it.each(['reparse points', 'WSL files'] as const)('plain files among: %s', async (name) => {
    const { ours, theirs } = await both(
      name,
      async (fileSystem) => plainFiles(await listFileSystem(readableOnly(fileSystem))),
      (mountPoint) => plainFiles(listMounted(mountPoint)),
    );
    // What the other takes for a link that it cannot follow is a file of ours, or nothing there.
    const shared = [...ours.keys()].filter((key) => theirs.has(key));
    expect(shared.length).toBeGreaterThan(0);
    expect([...theirs.keys()].filter((key) => !ours.has(key))).toEqual([]);
    const ofShared = (listing: Listing): Listing =>
      new Map(shared.map((key) => [key, listing.get(key) as never]));
    expect(comparable(ofShared(ours))).toEqual(comparable(ofShared(theirs)));
  });

  it('special files that WSL made', async () => {
    const fields = ['kind', 'size', 'links', 'modified', 'device', 'target', 'sha256'] as const;
    const { ours, theirs } = await both('WSL files', listFileSystem, listMounted);
    expect(comparable(ours, fields)).toEqual(comparable(theirs, fields));
    expect([...ours.values()].map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['symlink', 'fifo', 'block-device', 'character-device']),
    );
  });

  it.each(['security', 'WSL files', 'reparse points', 'attribute lists'] as const)(
    'extended attributes: %s',
    async (name) => {
      const attributes = [
        'system.ntfs_acl',
        'system.ntfs_attrib',
        'system.ntfs_ea',
        'system.ntfs_reparse_data',
      ];
      const file = await scratch.image(name);
      const expected = await withNtfsMounted(file, MOUNT, async (mountPoint) => ({
        paths: [...listMounted(mountPoint).keys()],
        values: await Promise.all(
          attributes.map((attribute) => attributesByGetfattr(mountPoint, attribute)),
        ),
      }));
      await withVolume(file, async (fileSystem) => {
        for (const [index, attribute] of attributes.entries()) {
          const found = await attributesByUs(fileSystem, expected.paths, attribute);
          expect(found).toEqual(expected.values[index]);
        }
      });
      expect(Object.keys(expected.values[0] ?? {}).length).toBe(expected.paths.length);
    },
  );

  it('named streams of files and directories', async () => {
    const owners = ['file', 'only-streams', 'folder', 'many'];
    const file = await scratch.image('streams');
    await withNtfsMounted(file, MOUNT, (mountPoint) =>
      withVolume(file, async (fileSystem) => {
        for (const owner of owners) {
          const node = await nodeAt(fileSystem, owner);
          const streams = await fileSystem.streams(node);
          expect(streams.length).toBeGreaterThan(0);
          for (const { name, size } of streams) {
            const expected = readFileSync(path.join(mountPoint, `${owner}:${name}`));
            expect(size).toBe(expected.length);
            expect(await hashOf(await fileSystem.open(node, name))).toBe(sha256(expected));
          }
        }
        expect(await namesOfStreams(fileSystem, 'folder')).toEqual(['großer Strom', 'notes']);
        expect((await namesOfStreams(fileSystem, 'many')).length).toBe(100);
      }),
    );
  });

  it('says what it is as blkid does', async () => {
    const file = await scratch.image('sectors of 4096');
    const { stdout } = await run('blkid', ['-p', '-o', 'export', file]);
    const field = (key: string): string | undefined =>
      new RegExp(`^${key}=(.*)$`, 'm').exec(stdout)?.[1];
    const source = await nodeFiles().open(file);
    const found = await identifyFileSystem(source);
    await source.close();
    expect(found).toEqual({ type: 'NTFS', label: field('LABEL'), uuid: field('UUID') });
  });
});

describe(`NTFS by its own rules${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('keeps short names beside the long ones', async () => {
    const file = await scratch.image('short names');
    const attribute = 'system.ntfs_dos_name';
    const expected = await withNtfsMounted(file, MOUNT, (mountPoint) =>
      attributesByGetfattr(mountPoint, attribute),
    );
    await withVolume(file, async (fileSystem) => {
      const folder = 'A long folder name';
      for (const attributes of [false, true]) {
        const pairs: Record<string, string | undefined> = {};
        const listing = fileSystem.list(await nodeAt(fileSystem, folder), { attributes });
        for await (const batch of listing) {
          for (const { name, shortName = '' } of batch) {
            pairs[`/${folder}/${name}`] = Buffer.from(shortName, 'latin1').toString('hex');
          }
        }
        expect(Object.keys(pairs).length).toBe(20);
        expect({ ...pairs, [`/${folder}`]: Buffer.from('ALONGF~1').toString('hex') }).toEqual(
          expected,
        );
      }
      const long = await nodeAt(fileSystem, `${folder}/A long file name 7.text`);
      expect(await nodeAt(fileSystem, 'alongf~1/alongf~7.tex')).toBe(long);
    });
  });

  it('finds names whatever their case, but as they are written first', async () => {
    const file = await scratch.image('names');
    await withVolume(file, async (fileSystem) => {
      const find = (name: string): Promise<number | undefined> =>
        fileSystem.lookup(fileSystem.root, name);
      const twins = await Promise.all(['File', 'file', 'FILE'].map(find));
      expect(new Set(twins).size).toBe(3);
      expect(twins).not.toContain(undefined);
      expect(twins).toContain(await find('fILE'));
      // A letter that has no single capital is equal to itself alone.
      expect(await find('STRASSE')).not.toBe(await find('Straße'));
      expect(await find('\u00c9 COMPOSED')).toBe(await find('\u00e9 composed'));
      expect(await find('E\u0301 COMPOSED')).toBe(await find('e\u0301 composed'));
      expect(await find('trailing dot')).toBeUndefined();
    });
  });

  it('hides files of the system, and finds them by name', async () => {
    const file = await scratch.image('deleted');
    await withVolume(file, async (fileSystem) => {
      for (const name of ['$MFT', '$Extend', '$Secure', '$UpCase']) {
        const node = await nodeAt(fileSystem, name);
        expect((await fileSystem.stat(node)).fileNumber).toBeLessThan(16);
      }
      const upcase = await fileSystem.open(await nodeAt(fileSystem, '$UpCase'));
      expect(upcase.size).toBe(131_072);
      await nodeAt(fileSystem, '$Extend/$ObjId');
    });
  });

  it('refuses content that lies elsewhere, and lists it', async () => {
    const file = await scratch.image('reparse points');
    await withVolume(file, async (fileSystem) => {
      for (const name of ['wof-lzx', 'wof-xpress16k', 'wof-archive', 'deduplicated']) {
        const node = await nodeAt(fileSystem, name);
        const { kind, unreadable } = await fileSystem.stat(node);
        expect({ kind, unreadable }).toEqual({ kind: 'file', unreadable: expect.any(String) });
        const error = await fileSystem.open(node).catch((thrown: unknown) => thrown);
        expect(isRestoreError(error, 'UNSUPPORTED')).toBe(true);
      }
    });
  });

  it('tells where links lead as programs write it', async () => {
    const file = await scratch.image('reparse points');
    await withVolume(file, async (fileSystem) => {
      const target = async (name: string): Promise<unknown> =>
        fileSystem.readLink(await nodeAt(fileSystem, name));
      const windows = (text: string): unknown => ({ target: text, style: 'windows' });
      expect(await target('junction')).toEqual(windows('C:\\Users\\eva'));
      expect(await target('link-absolute')).toEqual(windows('D:\\data\\file.txt'));
      expect(await target('link-relative')).toEqual(windows('..\\folder\\ünïcode'));
      expect(await target('volume-mount')).toEqual(
        windows('\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\'),
      );
    });
  });

  it('finds exact names alone in a directory marked case-sensitive', async () => {
    const file = scratch.file('case-sensitive');
    const image = readFileSync(await scratch.image('names'));
    editStructure(image, recordAt(image, ROOT_RECORD), (record) => {
      const standard = record.readUInt16LE(20);
      const value = standard + record.readUInt16LE(standard + 20);
      record.writeUInt32LE(1, value + 40);
    });
    writeFileSync(file, image);
    await withVolume(file, async (fileSystem) => {
      expect(await fileSystem.lookup(fileSystem.root, 'File')).toBeDefined();
      expect(await fileSystem.lookup(fileSystem.root, 'file')).toBeDefined();
      expect(await fileSystem.lookup(fileSystem.root, 'fILE')).toBeUndefined();
    });
  });

  it('refuses an encrypted file, and lists it', async () => {
    const file = scratch.file('encrypted');
    const image = readFileSync(await scratch.image('valid length'));
    const number = await withVolume(await scratch.image('valid length'), async (fileSystem) => {
      return (await fileSystem.stat(await nodeAt(fileSystem, 'allocated'))).fileNumber;
    });
    editStructure(image, recordAt(image, number), (record) => {
      const data = record.indexOf(Buffer.from([0x80, 0, 0, 0]));
      record.writeUInt16LE(0x4000, data + 12);
    });
    writeFileSync(file, image);
    await withVolume(file, async (fileSystem) => {
      const node = await nodeAt(fileSystem, 'allocated');
      const { size, unreadable } = await fileSystem.stat(node);
      expect({ size, unreadable }).toEqual({ size: 100_000, unreadable: 'it is encrypted (EFS)' });
      const error = await fileSystem.open(node).catch((thrown: unknown) => thrown);
      expect(isRestoreError(error, 'UNSUPPORTED')).toBe(true);
    });
  });

  it('tells owner and mode where WSL kept them', async () => {
    const file = await scratch.image('WSL files');
    await withVolume(file, async (fileSystem) => {
      const stat = async (name: string): Promise<unknown> => {
        const { mode, uid, gid } = await fileSystem.stat(await nodeAt(fileSystem, name));
        return { mode, uid, gid };
      };
      expect(await stat('script')).toEqual({ mode: 0o4755, uid: 1000, gid: 0xffff_fffe });
      expect(await stat('folder')).toEqual({ mode: 0o1777, uid: 1001, gid: 0xffff_fffe });
    });
  });
});

describe(`NTFS${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  const suites: readonly NtfsFixtureName[] = ['compressed', 'directories', 'streams', 'names'];
  for (const name of suites) {
    fileSystemSuite(`NTFS (${name})`, async () => {
      const source = await nodeFiles().open(await scratch.image(name));
      return { fileSystem: await openFileSystem(source), close: () => source.close() };
    });
  }
});

const PIECES_NEW_FILES = 3500;

/** Fills the volume, makes holes all over it, and has the MFT grow into them. */
function scatterMft(mountPoint: string): void {
  const block = Buffer.alloc(2048, 'x');
  const names: string[] = [];
  try {
    for (;;) {
      const name = path.join(mountPoint, `fill-${names.length}`);
      writeFileSync(name, block);
      names.push(name);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
  for (let index = 0; index < names.length; index += 2) unlinkSync(names[index] as string);
  for (let index = 0; index < PIECES_NEW_FILES; index += 1) {
    writeFileSync(path.join(mountPoint, `new-${index}`), `small ${index}`);
  }
}

/** Listing helpers open every file: those that cannot be opened are left out. */
function readableOnly(fileSystem: FileSystem): FileSystem {
  return new Proxy(fileSystem, {
    get(target, key) {
      if (key !== 'list') return bound(target, key);
      return async function* list(node: number) {
        for await (const batch of target.list(node, { attributes: true })) {
          yield batch.filter(({ attributes }) => attributes?.unreadable === undefined);
        }
      };
    },
  });
}

function bound(target: FileSystem, key: string | symbol): unknown {
  const value: unknown = Reflect.get(target, key, target);
  return typeof value === 'function' ? value.bind(target) : value;
}

function plainFiles(listing: Listing): Listing {
  const plain = [...listing].filter(([, { kind }]) => kind === 'file' || kind === 'directory');
  return new Map(plain);
}

/** Times as stored: in units of 100 ns since 1601. */
function ticksOf(listing: Listing): Map<string, bigint> {
  return new Map(
    [...listing].map(([name, { modified }]) => {
      const [seconds, nanoseconds] = modified.split('.') as [string, string];
      return [name, (BigInt(seconds) + 11_644_473_600n) * 10_000_000n + BigInt(nanoseconds) / 100n];
    }),
  );
}

const sorted = (times: Map<string, bigint>): [string, bigint][] =>
  [...times].toSorted(([one], [other]) => (one < other ? -1 : 1));

async function namesOfStreams(fileSystem: FileSystem, name: string): Promise<string[]> {
  const streams = await fileSystem.streams(await nodeAt(fileSystem, name));
  return streams.map((stream) => stream.name).toSorted();
}

const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');
