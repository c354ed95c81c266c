/** Images that others made, as independent tools read them. */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../fixtures/tools/index.ts';
import { vhdChecksum } from './image-build.ts';
import {
  expectExtentsCover,
  expectSameBytes,
  missingTool,
  removeFolder,
  temporaryFolder,
  withImage,
} from './image-support.ts';

const IMAGES = process.env['REHYDRATE_IMAGES'] ?? path.resolve('..', 'shared', 'images');
const DFVFS = 'log2timeline+dfvfs/test_data';
const withoutImages = existsSync(path.join(IMAGES, DFVFS))
  ? undefined
  : 'no foreign images: set REHYDRATE_IMAGES to their folder';
const withoutQemu = withoutImages ?? missingTool('qemu-img');
const withoutVhdi = withoutImages ?? missingTool('vhdimount', 'fusermount');

const READ_BY_QEMU = [
  { file: `${DFVFS}/ext2.qcow2`, format: 'qcow2' },
  { file: `${DFVFS}/windows_volume.qcow2`, format: 'qcow2' },
  { file: `${DFVFS}/ext2.vmdk`, format: 'vmdk' },
  { file: `${DFVFS}/ext2.vhd`, format: 'vpc' },
  {
    file: 'diskfs+go-diskfs/history/disk/formats/qcow2/testdata/05f3c95d.file.qcow2',
    format: 'qcow2',
  },
] as const;

describe(`foreign images${withoutImages === undefined ? '' : ` (skipped: ${withoutImages})`}`, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
  });
  afterAll(() => removeFolder(folder));

  describe('as qemu reads them', () => {
    beforeEach((context) => context.skip(withoutQemu !== undefined, withoutQemu));
    it.each(READ_BY_QEMU)('$file', async ({ file, format }) => {
      const raw = path.join(folder, `${path.basename(file)}.raw`);
      const image = path.join(IMAGES, file);
      await run('qemu-img', ['convert', '-f', format, '-O', 'raw', image, raw]);
      await withImage(image, async ({ source }) => {
        await expectSameBytes(source, raw);
        await expectExtentsCover(source, raw);
      });
    });
  });

  describe('differencing VHD', () => {
    beforeEach((context) => context.skip(withoutVhdi !== undefined, withoutVhdi));

    it('is refused while its checksums are wrong, and read as libvhdi reads it once they are right', async () => {
      const own = path.join(folder, 'differential');
      await mkdir(path.join(own, 'mount'), { recursive: true });
      const names = ['image.vhd', 'image-differential.vhd'];
      for (const name of names) {
        await copyFile(path.join(IMAGES, DFVFS, name), path.join(own, name));
      }
      const child = path.join(own, 'image-differential.vhd');
      await expect(withImage(child, async () => {})).rejects.toMatchObject({
        code: 'CORRUPT',
        where: { object: child, structure: 'hard disk footer' },
      });
      for (const name of names) await repairChecksums(path.join(own, name));
      await run('vhdimount', [child, path.join(own, 'mount')], { timeoutMs: 20_000 });
      try {
        await run('cp', [path.join(own, 'mount', 'vhdi2'), path.join(own, 'expected.raw')]);
      } finally {
        await run('fusermount', ['-u', path.join(own, 'mount')], { timeoutMs: 20_000 });
      }
      await withImage(child, async ({ source, files }) => {
        expect(files).toEqual([child, path.join(own, 'image.vhd')]);
        await expectSameBytes(source, path.join(own, 'expected.raw'));
      });
    });

    it('names the parent that is not there', async () => {
      const image = path.join(IMAGES, DFVFS, 'fat-differential.vhd');
      await expect(withImage(image, async () => {})).rejects.toMatchObject({
        code: 'NOT_FOUND',
        where: {
          object: image,
          expected: `a file at ${path.join(IMAGES, DFVFS, 'fat-parent.vhd')}`,
        },
      });
    });
  });
});

/** Sets the checksums of the footer, of its copy and of the dynamic disk header. */
async function repairChecksums(name: string): Promise<void> {
  const image = await readFile(name);
  vhdChecksum(image.subarray(0, 512), 64);
  vhdChecksum(image.subarray(512, 1536), 36);
  vhdChecksum(image.subarray(image.length - 512), 64);
  await writeFile(name, image);
}
