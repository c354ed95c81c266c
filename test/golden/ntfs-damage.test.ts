/** Damaged NTFS volumes: what is sound is read, what is not is told, and nothing is made up. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type FileSystem, isRestoreError, type VolumeHealth } from '../../core/index.ts';
import {
  hashOf,
  type Listing,
  listMounted,
  missingForNtfs,
  type NTFS_DAMAGES,
  ntfsDamaged,
  withNtfsMounted,
} from '../fixtures/file-systems/index.ts';
import { NtfsScratch } from '../fixtures/file-systems/ntfs-scratch.ts';
import { editStructure, recordAt } from '../fixtures/file-systems/ntfs-patch.ts';
import { run } from '../fixtures/tools/index.ts';
import { nodeAt, withVolume } from './ntfs-support.ts';

const reason = missingForNtfs('fls', 'blkid');
const suffix = reason === undefined ? '' : ` (skipped: ${reason})`;
type Damage = keyof typeof NTFS_DAMAGES;

let scratch: NtfsScratch;
/** The volume before any damage, as ntfs-3g reads it. */
let sound: Listing;
beforeAll(async () => {
  scratch = new NtfsScratch();
  if (reason !== undefined) return;
  sound = await withNtfsMounted(await damaged('nothing at all'), ['ro'], listMounted);
});
afterAll(() => {
  scratch.remove();
});

async function damaged(damage: Damage): Promise<string> {
  const { imagePath } = await ntfsDamaged(scratch.file(damage.replaceAll(/\W+/g, '-')), damage);
  return imagePath;
}

/** Content by path, and errors by path, of all that a listing with attributes gives. */
interface Found {
  readonly hashes: Record<string, string | undefined>;
  readonly errors: Record<string, string>;
  readonly end: string;
  readonly health: VolumeHealth;
}

async function findAll(fileSystem: FileSystem): Promise<Found> {
  const found: Found = { hashes: {}, errors: {}, end: '', health: fileSystem.health };
  const visit = async (node: number, folder: string): Promise<void> => {
    for await (const batch of fileSystem.list(node, { attributes: true })) {
      for (const entry of batch) {
        const name = `${folder}/${entry.name}`;
        if (entry.error !== undefined) found.errors[name] = entry.error.code;
        else if (entry.attributes?.kind === 'directory') await visit(entry.node, name);
        else found.hashes[name] = await hashOf(await fileSystem.open(entry.node));
      }
    }
  };
  let end = '';
  try {
    await visit(fileSystem.root, '');
  } catch (error) {
    if (!isRestoreError(error)) throw error;
    end = error.code;
  }
  return { ...found, end, health: fileSystem.health };
}

/** What a sound volume of the fixture holds; files whose damage is the test's matter left out. */
function soundHashes(...without: string[]): Record<string, string | undefined> {
  const files = [...sound].filter(([name, { kind }]) => kind === 'file' && !without.includes(name));
  return Object.fromEntries(files.map(([name, { sha256 }]) => [name, sha256]));
}

describe(`damaged NTFS${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it.each([
    ['a torn index block of the directory `folder`', 'partly damaged'],
    ['every index block of the directory `folder` torn', 'partly damaged'],
    ['no boot sector but the one at the end', 'partly damaged'],
    ['a torn first record, that of the MFT itself', 'partly damaged'],
    ['no first records but those of the copy', 'partly damaged'],
    ['one wrong letter in the table of capitals', 'partly damaged'],
    ['a damaged security descriptor, whose copy is sound', 'clean'],
    ['a log that waits for its replay', 'stale'],
    ['a log that says it was dismounted', 'clean'],
  ] as const)('is read whole with %s', async (damage, state) => {
    const file = await damaged(damage);
    const { health, ...found } = await withVolume(file, findAll);
    expect(found).toEqual({ hashes: soundHashes(), errors: {}, end: '' });
    expect(health.state).toBe(state);
    expect(health.findings.length > 0).toBe(state !== 'clean');
  });

  it('lists all 300 files of a directory of which Sleuth Kit lists none', async () => {
    const file = await damaged('every index block of the directory `folder` torn');
    const { stdout } = await run('fls', ['-r', '-p', '-u', file], { accept: [0, 1] });
    expect(stdout).not.toMatch(/^r\/r .*folder\/block-/m);
    const names = await withVolume(file, async (fileSystem) => {
      const folder = await nodeAt(fileSystem, 'folder');
      const listed: string[] = [];
      for await (const batch of fileSystem.list(folder)) {
        listed.push(...batch.map(({ name }) => name));
      }
      // And finds them by name, and knows what is not among them.
      for (const name of listed) expect(await fileSystem.lookup(folder, name)).toBeDefined();
      expect(await fileSystem.lookup(folder, 'no such name')).toBeUndefined();
      return listed;
    });
    const expected = [...sound.keys()].filter((name) => name.startsWith('/folder/'));
    expect(names.map((name) => `/folder/${name}`).toSorted()).toEqual(expected.toSorted());
    expect(names.length).toBe(300);
  });

  it.each([
    ['a torn record, that of the file `torn`', '/torn'],
    ['an index entry that names another use of a record, that of the file `stale`', '/stale'],
  ] as const)('lists, and cannot read, the one file of %s', async (damage, name) => {
    const file = await damaged(damage);
    const { health, ...found } = await withVolume(file, findAll);
    const errors = { [name]: 'CORRUPT' };
    expect(found).toEqual({ hashes: soundHashes(name), errors, end: '' });
    expect(health.state).toBe('partly damaged');
    await withVolume(file, async (fileSystem) => {
      const error = await nodeAt(fileSystem, name)
        .then((node) => fileSystem.open(node))
        .catch((thrown: unknown) => thrown);
      expect(isRestoreError(error, 'CORRUPT')).toBe(true);
    });
  });

  it('is unknown without any boot sector', async () => {
    const file = await damaged('no boot sector at all');
    const error = await withVolume(file, async () => 'opened').catch((thrown: unknown) => thrown);
    expect(isRestoreError(error, 'UNSUPPORTED')).toBe(true);
  });

  it('finds the files of a directory whose own record is torn', async () => {
    const file = await damaged('nothing at all');
    const number = await withVolume(file, async (fileSystem) => {
      return (await fileSystem.stat(await nodeAt(fileSystem, 'folder'))).fileNumber;
    });
    const image = readFileSync(file);
    image.writeUInt16LE(0xdead, recordAt(image, number) + 510);
    writeFileSync(file, image);
    await withVolume(file, async (fileSystem) => {
      const entries: { name: string; node: number; code: string | undefined }[] = [];
      for await (const batch of fileSystem.list(fileSystem.root, { attributes: true })) {
        for (const { name, node, error } of batch) entries.push({ name, node, code: error?.code });
      }
      const folder = entries.find(({ name }) => name === 'folder');
      expect(folder?.code).toBe('CORRUPT');
      const names: string[] = [];
      const listing = (async () => {
        for await (const batch of fileSystem.list(folder?.node ?? 0)) {
          names.push(...batch.map(({ name }) => name));
        }
      })();
      // Its own record is what cannot be read, so whether that is all cannot be known.
      await expect(listing).rejects.toMatchObject({ code: 'CORRUPT' });
      expect(names.length).toBe(300);
    });
  });

  it('reads what is left of a volume that was cut short, and no more', async () => {
    const file = await scratch.image('clusters of 64 KiB');
    const whole = await withNtfsMounted(file, ['ro'], listMounted);
    const cut = scratch.file('cut');
    writeFileSync(cut, readFileSync(file));
    truncateSync(cut, 6 * 1024 * 1024);
    await withVolume(cut, async (fileSystem) => {
      expect(fileSystem.health.state).toBe('partly damaged');
      let read = 0;
      let refused = 0;
      for await (const batch of fileSystem.list(fileSystem.root, { attributes: true })) {
        for (const { name, node, attributes } of batch) {
          if (attributes?.kind !== 'file') continue;
          const content = await fileSystem.open(node);
          const hash = await hashOf(content).catch((error: unknown) => error);
          if (typeof hash === 'string') {
            expect(hash).toBe(whole.get(`/${name}`)?.sha256);
            read += 1;
          } else {
            expect(isRestoreError(hash, 'CORRUPT')).toBe(true);
            refused += 1;
          }
        }
      }
      expect({ total: read + refused, isSomeRead: read > 0, isSomeRefused: refused > 0 }).toEqual({
        total: 3,
        isSomeRead: true,
        isSomeRefused: true,
      });
    });
  });

  it('says that Windows has a check to do', async () => {
    const file = await damaged('nothing at all');
    const image = readFileSync(file);
    editStructure(image, recordAt(image, 3), (record) => {
      const at = record.indexOf(Buffer.from([0x70, 0, 0, 0]));
      record.writeUInt16LE(1, at + record.readUInt16LE(at + 20) + 10);
    });
    writeFileSync(file, image);
    await withVolume(file, async (fileSystem) => {
      expect(fileSystem.health.state).toBe('stale');
      expect(fileSystem.health.findings[0]?.where?.structure).toBe('$Volume');
    });
  });

  it('does not walk in circles where a directory is entered in itself', async () => {
    const file = await scratch.image('deep path');
    const looped = scratch.file('looped');
    const image = readFileSync(file);
    const numbers = await withVolume(file, async (fileSystem) => {
      const outer = await fileSystem.stat(await nodeAt(fileSystem, 'd0/d1'));
      const inner = await fileSystem.stat(await nodeAt(fileSystem, 'd0/d1/d2/d3'));
      return { outer, inner };
    });
    // The entry of `d4` in `d3` leads to `d1` instead.
    editStructure(image, recordAt(image, numbers.inner.fileNumber), (record) => {
      const key = record.lastIndexOf(Buffer.from('d4', 'utf16le'));
      record.writeUIntLE(numbers.outer.fileNumber, key - 0x42 - 16, 6);
      record.writeUInt16LE(numbers.outer.generation, key - 0x42 - 10);
    });
    writeFileSync(looped, image);
    const found = await withVolume(looped, findAll);
    expect(found.end).toBe('CORRUPT');
    expect(found.health.state).toBe('partly damaged');
  });
});
