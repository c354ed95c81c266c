/** FAT, exFAT and ISO 9660 volumes that others made: as `blkid` names them, as mtools and bsdtar read them. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { identifyFileSystem } from '../../parsers/index.ts';
import { extractWithMtools } from '../fixtures/file-systems/fat-oracles.ts';
import { listFileSystem, type Listing } from '../fixtures/file-systems/index.ts';
import { extractWithBsdtar } from '../fixtures/file-systems/iso.ts';
import { run } from '../fixtures/tools/index.ts';
import { ImageFiles } from './fat-support.ts';
import { missingTool, removeFolder, temporaryFolder } from './image-support.ts';

const IMAGES = process.env['REHYDRATE_IMAGES'] ?? path.resolve('..', 'shared', 'images');
const reason = existsSync(IMAGES) ? missingTool('xz', 'mcopy', 'bsdtar') : 'no foreign images';
const suffix = reason === undefined ? '' : ` (skipped: ${reason})`;
const UTIL_LINUX = path.join(IMAGES, 'util-linux+util-linux/tests');

/** As `blkid` calls them; of FAT it has the kind elsewhere. */
const TYPES: Readonly<Record<string, string>> = { exfat: 'exFAT', iso9660: 'ISO 9660' };
const ISOS = [
  'iso',
  'iso-joliet',
  'iso-rr-joliet',
  'iso-different-iso-joliet-label',
  'iso-unicode-long-label',
].map((name) => `util-linux+util-linux/tests/ts/blkid/images-fs/${name}.img.xz`);
const FILLED = ['mbroz+cryptsetup/tests/img_fs_vfat.img.xz'];
/** `blkid` prints a label's bytes; of these only a code page tells the letters. */
const LABELS_IN_CODE_PAGES: Readonly<Record<string, string>> = {
  '\xe5\xe5\xe5': '\u03c3\u03c3\u03c3',
};

const identified =
  reason === undefined
    ? readdirSync(path.join(UTIL_LINUX, 'ts/blkid/images-fs')).filter((name) =>
        /^((small-)?fat|exfat|iso(?!-multi))/.test(name),
      )
    : ['(none)'];

const files = new ImageFiles();
let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(async () => {
  await files.close();
  await removeFolder(folder);
});

async function unpack(image: string): Promise<string> {
  const file = path.join(folder, path.basename(path.dirname(image)) + path.basename(image));
  const { stdoutBytes } = await run('xz', ['-dc', image]);
  writeFileSync(file, stdoutBytes);
  return file;
}

describe(`volumes of others${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it.each(identified)('names %s as blkid does', async (name) => {
    const file = await unpack(path.join(UTIL_LINUX, 'ts/blkid/images-fs', name));
    const expected = readFileSync(
      path.join(UTIL_LINUX, 'expected/blkid', `low-probe-${name.replace('.img.xz', '')}`),
      'utf8',
    );
    const field = (key: string): string =>
      new RegExp(`^${key}=(.*)$`, 'm').exec(expected)?.[1] ?? '';
    const found = await identifyFileSystem(await files.source(file));
    expect(found).toEqual({
      type: TYPES[field('ID_FS_TYPE')] ?? field('ID_FS_VERSION'),
      label: labelOf(field('ID_FS_LABEL_ENC')),
      uuid: field('ID_FS_UUID'),
    });
  });

  it.each(FILLED)('reads %s as mtools does', async (name) => {
    const file = await unpack(path.join(IMAGES, name));
    const expected = await extractWithMtools(file, `${file}.out`);
    const fileSystem = await files.fileSystem(file);
    expect(contents(await listFileSystem(fileSystem))).toEqual(contents(expected));
  });

  it.each([...ISOS, 'log2timeline+dfvfs/test_data/iso9660.raw'])(
    'reads %s as bsdtar does',
    async (name) => {
      const image = path.join(IMAGES, name);
      const file = name.endsWith('.xz') ? await unpack(image) : image;
      const expected = await extractWithBsdtar(file, path.join(folder, path.basename(name)));
      const found = await listFileSystem(await files.fileSystem(file));
      expect(lowerCase(contents(found))).toEqual(lowerCase(contents(expected)));
    },
  );
});

/** Linux shows plain names in lower case, bsdtar as they are stored. */
function lowerCase<T>(listing: ReadonlyMap<string, T>): Map<string, T> {
  return new Map([...listing].map(([name, file]) => [name.toLowerCase(), file]));
}

function contents(listing: Listing): Map<string, unknown> {
  return new Map([...listing].map(([name, { kind, sha256 }]) => [name, { kind, sha256 }]));
}

/** `\x20` and the like stand for bytes. */
function labelOf(encoded: string): string {
  const bytes = encoded.replaceAll(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return LABELS_IN_CODE_PAGES[bytes] ?? bytes;
}
