/** ISO 9660 volumes by two writers, held against bsdtar, xorriso and blkid; and damaged ones. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, type FileSystem, isRestoreError } from '../../core/index.ts';
import { openFileSystem } from '../../parsers/index.ts';
import { fileSystemSuite } from '../conformance/file-system-suite.ts';
import { listFileSystem, type Listing } from '../fixtures/file-systems/index.ts';
import {
  addSpecialFiles,
  extractWithBsdtar,
  ISO_PLANS,
  type IsoPlan,
  LONG_TARGET,
  makeIso,
  makeIsoTree,
} from '../fixtures/file-systems/iso.ts';
import { run } from '../fixtures/tools/index.ts';
import { ImageFiles } from './fat-support.ts';
import { missingTool, removeFolder, temporaryFolder } from './image-support.ts';

const reason = missingTool('genisoimage', 'xorriso', 'bsdtar', 'blkid');
const suffix = reason === undefined ? '' : ` (skipped: ${reason})`;
const files = new ImageFiles();
let folder: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  if (reason !== undefined) return;
  for (const kind of ['Rock Ridge', 'Joliet', 'plain'] as const) makeIsoTree(treeOf(kind), kind);
  for (const [index, plan] of ISO_PLANS.entries()) {
    await makeIso(imageOf(index), plan, treeOf(plan.kind));
  }
});
afterAll(async () => {
  await files.close();
  await removeFolder(folder);
});

const treeOf = (kind: string): string => path.join(folder, kind);
const imageOf = (index: number): string => path.join(folder, `${index}.iso`);
const indexOf = (name: string): number => ISO_PLANS.findIndex((plan) => plan.name === name);
const open = (image: Uint8Array): Promise<FileSystem> => openFileSystem(new BytesSource(image));

/** bsdtar leaves out the fraction of a second and, like us, has directories' sizes its own way. */
function comparable(listing: Listing, kind: IsoPlan['kind']): Map<string, unknown> {
  const entries = [...listing].map(([name, file]) => {
    const { size, sha256, target, mode, owner, links } = file;
    // Of the root only the folder that it was unpacked into has a time.
    const modified = name === '/' ? undefined : file.modified.split('.')[0];
    const basic = { kind: file.kind, sha256, target, modified };
    const sized = file.kind === 'file' ? { ...basic, size } : basic;
    if (kind !== 'Rock Ridge')
      return [kind === 'plain' ? name.toLowerCase() : name, sized] as const;
    const linked = file.kind === 'file' ? { ...sized, links } : sized;
    return [name, { ...linked, owner, mode }] as const;
  });
  return new Map(entries);
}

describe.each(ISO_PLANS.map((plan, index) => ({ ...plan, index })))(
  `$name${suffix}`,
  ({ kind, index }) => {
    beforeEach((context) => context.skip(reason !== undefined, reason));

    it('holds what bsdtar takes out of it', async () => {
      const fileSystem = await files.fileSystem(imageOf(index));
      const expected = await extractWithBsdtar(imageOf(index), path.join(folder, `out ${index}`));
      const found = await listFileSystem(fileSystem);
      // The writers' own folder for moved directories is empty once they are back in their place.
      found.delete('/rr_moved');
      expected.delete('/rr_moved');
      expect(comparable(found, kind)).toEqual(comparable(expected, kind));
      expect(expected.size).toBeGreaterThan(305);
      expect(fileSystem.health).toEqual({ state: 'clean', findings: [], omitted: 0 });
    });

    it('is what blkid says', async () => {
      const fileSystem = await files.fileSystem(imageOf(index));
      const { stdout } = await run('blkid', ['-p', '-o', 'export', imageOf(index)]);
      const field = (key: string): string =>
        new RegExp(`^${key}=(.*)$`, 'm').exec(stdout)?.[1] ?? '';
      expect(fileSystem.label).toBe(field('LABEL'));
      expect(fileSystem.uuid).toBe(field('UUID'));
      expect(fileSystem.caseSensitive).toBe(kind === 'Rock Ridge');
    });
  },
);

describe(`the contract on ISO 9660${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));
  for (const name of [
    'Rock Ridge by genisoimage',
    'Joliet by xorriso',
    'plain level 1 by genisoimage',
  ]) {
    fileSystemSuite(name, async () => {
      const source = await files.source(imageOf(indexOf(name)));
      return { fileSystem: await openFileSystem(source), close: async () => {} };
    });
  }
});

describe(`what Rock Ridge alone has${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('reads a target over several areas, and a pipe', async () => {
    const tree = path.join(folder, 'special');
    makeIsoTree(tree, 'Rock Ridge');
    await addSpecialFiles(tree);
    const image = path.join(folder, 'special.iso');
    await makeIso(image, ISO_PLANS[2] as IsoPlan, tree);
    const listing = await listFileSystem(await files.fileSystem(image));
    expect(listing.get('/long link')?.target).toBe(LONG_TARGET);
    expect(listing.get('/pipe')?.kind).toBe('fifo');
    const { stdout } = await run('xorriso', ['-indev', image, '-lsl', '/']);
    expect(stdout).toContain(`'long link' -> '${LONG_TARGET}'`);
  });

  it.each([
    ['a small', 8, 17],
    ['a large', 8, 70_000],
    ['the largest', 4095, 1_048_575],
  ])('tells %s device number as bsdtar does', async (_, major, minor) => {
    const image = path.join(folder, 'device.iso');
    const list = path.join(folder, 'device.mtree');
    writeFileSync(list, `#mtree\ndisk type=block mode=0600 device=native,${major},${minor}\n`);
    await run('bsdtar', ['--format=iso9660', '-cf', image, `@${list}`]);
    const { stdout } = await run('bsdtar', ['-tvf', image]);
    expect(stdout).toMatch(new RegExp(`^b.* ${major},${minor} .* disk$`, 'm'));
    const listing = await listFileSystem(await files.fileSystem(image));
    expect(listing.get('/disk')?.device).toBe(`${major}:${minor}`);
  });

  it('says that it does not read what zisofs compressed', async () => {
    const image = path.join(folder, 'zisofs.iso');
    const filter = ['-set_filter_r', '--zisofs', '/BIG.TXT', '--', '-zisofs', 'by_magic=off'];
    const text = path.join(folder, 'BIG.TXT');
    writeFileSync(text, 'compressible '.repeat(20_000));
    await run('xorriso', ['-outdev', image, '-map', text, '/BIG.TXT', ...filter]);
    const fileSystem = await files.fileSystem(image);
    const node = (await fileSystem.lookup(fileSystem.root, 'BIG.TXT')) as number;
    const attributes = await fileSystem.stat(node);
    expect(attributes.size).toBe(260_000);
    expect(attributes.unreadable).toContain('zisofs');
    await expect(fileSystem.open(node)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });
});

describe(`a damaged or unusual ISO 9660${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  const plain = (): Buffer => readFileSync(imageOf(indexOf('plain level 3 by genisoimage')));
  /** Where the directory record of a file begins, in a plain volume. */
  const recordOf = (image: Buffer, name: string): number => image.indexOf(`${name};1`) - 33;

  it('reads a file of two extents as bsdtar does', async () => {
    const image = plain();
    const at = recordOf(image, 'BOTTOM.TXT');
    const record = Buffer.from(image.subarray(at, at + image.readUInt8(at)));
    const first = Buffer.from(record);
    first.writeUInt8(0x80, 25);
    setBoth(first, 10, 4096);
    setBoth(record, 2, record.readUInt32LE(2) + 2);
    setBoth(record, 10, 5000 - 4096);
    Buffer.concat([first, record]).copy(image, at);
    const file = path.join(folder, 'extents.iso');
    writeFileSync(file, image);
    const expected = await extractWithBsdtar(file, path.join(folder, 'out extents'));
    const found = await listFileSystem(await open(image));
    expect(comparable(found, 'plain')).toEqual(comparable(expected, 'plain'));
    expect(found.get('/d0/d1/d2/d3/d4/bottom.txt')?.size).toBe(5000);
  });

  it('refuses an interleaved file', async () => {
    const image = plain();
    image.writeUInt8(2, recordOf(image, 'BIG.BIN') + 26);
    const fileSystem = await open(image);
    const node = (await fileSystem.lookup(fileSystem.root, 'big.bin')) as number;
    expect((await fileSystem.stat(node)).unreadable).toContain('interleaved');
    await expect(fileSystem.open(node)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  it('lists a file whose two forms of a number differ, and does not read it', async () => {
    const image = plain();
    image.writeUInt32BE(77, recordOf(image, 'BIG.BIN') + 6);
    const fileSystem = await open(image);
    const entries = (await Array.fromAsync(fileSystem.list(fileSystem.root))).flat();
    const entry = entries.find(({ name }) => name === 'big.bin');
    expect(isRestoreError(entry?.error, 'CORRUPT')).toBe(true);
    await expect(fileSystem.open(entry?.node as number)).rejects.toMatchObject({ code: 'CORRUPT' });
    expect(fileSystem.health.state).toBe('partly damaged');
  });

  it('ends where a directory contains itself', async () => {
    const image = plain();
    // Behind the volume's number, so that it is not found in a path table.
    const inner = image.indexOf('\x01\0\0\x01\x02D1') - 28;
    const outer = image.indexOf('\x01\0\0\x01\x02D0') - 28;
    image.copy(image, inner + 2, outer + 2, outer + 18);
    const fileSystem = await open(image);
    await expect(listFileSystem(fileSystem)).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  it('ends where the root names itself by its own first record', async () => {
    const image = plain();
    const root = image.readUInt32LE(16 * 2048 + 156 + 2) * 2048;
    // The name of `.`, which is the byte 0.
    image.writeUInt8('X'.charCodeAt(0), root + 33);
    const fileSystem = await open(image);
    const names: string[] = [];
    const listing = (async () => {
      for await (const batch of fileSystem.list(fileSystem.root)) {
        names.push(...batch.map(({ name }) => name));
        expect(batch.map(({ node }) => node)).not.toContain(fileSystem.root);
      }
    })();
    await expect(listing).rejects.toMatchObject({ code: 'CORRUPT' });
    expect(names).toContain('many');
    expect(names).not.toContain('x');
  });

  it('lists what comes before a damaged record and in the sectors behind it', async () => {
    const image = plain();
    const sound = await listFileSystem(await open(plain()));
    image.writeUInt8(5, recordOf(image, 'FILE100.DAT'));
    const fileSystem = await open(image);
    const many = (await fileSystem.lookup(fileSystem.root, 'MANY')) as number;
    const names: string[] = [];
    const listing = (async () => {
      for await (const batch of fileSystem.list(many)) names.push(...batch.map(({ name }) => name));
    })();
    await expect(listing).rejects.toMatchObject({ code: 'CORRUPT' });
    const all = [...sound.keys()].filter((name) => name.startsWith('/many/'));
    expect(names.length).toBeGreaterThan(all.length - 50);
    expect(names.length).toBeLessThan(all.length);
    await expect(fileSystem.lookup(many, 'file100.dat')).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  it('reads what a volume that was cut off still has', async () => {
    const image = plain();
    const at = image.readUInt32LE(recordOf(image, 'BIG.BIN') + 2) * 2048;
    const fileSystem = await open(image.subarray(0, at + 100_000));
    expect(fileSystem.health.state).toBe('partly damaged');
    const node = (await fileSystem.lookup(fileSystem.root, 'big.bin')) as number;
    const source = await fileSystem.open(node);
    const head = Buffer.alloc(100_000);
    await source.readInto(head, 0);
    expect(head.equals(image.subarray(at, at + 100_000))).toBe(true);
    const behind = source.readInto(new Uint8Array(2), 99_999);
    await expect(behind).rejects.toMatchObject({ code: 'CORRUPT' });
  });
});

/** Numbers are stored in both byte orders. */
function setBoth(record: Buffer, offset: number, value: number): void {
  record.writeUInt32LE(value, offset);
  record.writeUInt32BE(value, offset + 4);
}
