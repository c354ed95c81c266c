/** What happens to images that qemu made when chosen parts of them are damaged. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../fixtures/tools/index.ts';
import { vhdxChecksum } from './image-build.ts';
import {
  expectSameBytes,
  makeRaw,
  MIB,
  missingTool,
  qemuRaw,
  removeFolder,
  temporaryFolder,
  withImage,
} from './image-support.ts';

const reason = missingTool('qemu-img');

describe(`damaged images${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  let folder: string;
  let raw: string;
  beforeAll(async () => {
    if (reason !== undefined) return;
    folder = await temporaryFolder();
    raw = path.join(folder, 'content.raw');
    await makeRaw(raw, 6 * MIB, 23);
  });
  afterAll(async () => {
    if (folder !== undefined) await removeFolder(folder);
  });
  beforeEach((context) => context.skip(reason !== undefined, reason));

  /** An image of the content, changed. */
  async function damaged(
    name: string,
    format: string,
    options: string,
    change: (image: Buffer) => Buffer,
  ): Promise<string> {
    const image = path.join(folder, name);
    await run('qemu-img', ['convert', '-O', format, '-o', options, raw, image]);
    await writeFile(image, change(await readFile(image)));
    return image;
  }

  it.each([
    {
      name: 'cut.qcow2',
      format: 'qcow2',
      options: 'cluster_size=64k',
      structure: /L2 table|data cluster/u,
    },
    {
      name: 'cut.vmdk',
      format: 'vmdk',
      options: 'subformat=monolithicSparse',
      structure: /grain/u,
    },
    {
      name: 'stream.vmdk',
      format: 'vmdk',
      options: 'subformat=streamOptimized',
      structure: /grain/u,
    },
    { name: 'cut.vhd', format: 'vpc', options: 'force_size=on', structure: /data block/u },
    {
      name: 'fixed.vhd',
      format: 'vpc',
      options: 'subformat=fixed,force_size=on',
      structure: /footer|undefined/u,
    },
    { name: 'cut.vhdx', format: 'vhdx', options: 'block_size=1M', structure: /payload block/u },
  ])(
    '$name, cut short: the file, the place and what was expected',
    async ({ name, format, options, structure }) => {
      const image = await damaged(name, format, options, (whole) => whole.subarray(0, -700 * 512));
      const reading = withImage(image, async ({ source }) => {
        await source.readInto(new Uint8Array(source.size), 0);
      });
      const error = await reading.then(
        () => expect.fail('was read'),
        (thrown: unknown) => thrown,
      );
      expect(error).toMatchObject({ code: 'CORRUPT', where: { object: image } });
      const { where } = error as {
        where: { structure?: string; offset?: number; expected?: string };
      };
      expect(String(where.structure)).toMatch(structure);
      expect(where.offset).toBeTypeOf('number');
      expect(where.expected).toBeDefined();
    },
  );

  it('flat extent cut short: refused at opening', async () => {
    const image = await damaged('flat.vmdk', 'vmdk', 'subformat=monolithicFlat', (whole) => whole);
    const flat = path.join(folder, 'flat-flat.vmdk');
    await writeFile(flat, (await readFile(flat)).subarray(0, 5 * MIB));
    await expect(withImage(image, async () => {})).rejects.toMatchObject({
      code: 'CORRUPT',
      where: { object: flat, structure: 'flat extent', found: `${5 * MIB} bytes` },
    });
  });

  it('a stream-optimized VMDK with its directory named in the footer, as qemu reads it, and cut', async () => {
    const image = await damaged('footer.vmdk', 'vmdk', 'subformat=streamOptimized', withFooter);
    const expected = await qemuRaw('vmdk', image);
    await withImage(image, ({ source }) => expectSameBytes(source, expected));
    const whole = await readFile(image);
    for (const lost of [512, 1024, 1536, 100 * 512]) {
      await writeFile(image, whole.subarray(0, -lost));
      await expect(withImage(image, async () => {})).rejects.toMatchObject({
        code: 'CORRUPT',
        where: { object: image, structure: 'footer' },
      });
    }
  });

  it('a grain of another place of the disk is not taken, even when it is at hand', async () => {
    const image = await damaged('swapped.vmdk', 'vmdk', 'subformat=streamOptimized', (whole) => {
      const directoryAt = Number(whole.readBigUInt64LE(56)) * 512;
      const tableAt = whole.readUInt32LE(directoryAt) * 512;
      const used = Array.from({ length: 96 }, (_, at) => at).filter(
        (at) => whole.readUInt32LE(tableAt + at * 4) > 1,
      );
      const [one, other] = [used.at(0), used.at(-1)] as [number, number];
      expect(other).toBeGreaterThan(one);
      whole.writeUInt32LE(whole.readUInt32LE(tableAt + one * 4), tableAt + other * 4);
      return whole;
    });
    await withImage(image, async ({ source }) => {
      const wrong = source.readInto(new Uint8Array(source.size), 0);
      await expect(wrong).rejects.toMatchObject({
        code: 'CORRUPT',
        where: { structure: 'grain marker' },
      });
    });
  });

  it('a dynamic VHD that lost its footer is read by the copy at its start', async () => {
    const image = await damaged('no-footer.vhd', 'vpc', 'force_size=on', (whole) =>
      whole.subarray(0, -512),
    );
    await withImage(image, async ({ source, details }) => {
      expect(details).toMatchObject({ footerFrom: 'copy at start' });
      await expectSameBytes(source, raw);
    });
  });

  it('a VHDX is read by the header and the region table that are sound', async () => {
    for (const at of [65536, 131072, 196608, 262144]) {
      const image = await damaged(`header-${at}.vhdx`, 'vhdx', 'block_size=1M', (whole) => {
        whole[at + 100] = (whole[at + 100] as number) ^ 0xff;
        return whole;
      });
      await withImage(image, ({ source }) => expectSameBytes(source, raw));
    }
    const image = await damaged('headers.vhdx', 'vhdx', 'block_size=1M', (whole) => {
      whole.fill(0x11, 65536 + 8, 65536 + 16);
      whole.fill(0x11, 131072 + 8, 131072 + 16);
      return whole;
    });
    await expect(withImage(image, async () => {})).rejects.toMatchObject({
      code: 'CORRUPT',
      where: { structure: 'header' },
    });
  });

  it('a VHDX that asks for a replay of a log that is not there is refused', async () => {
    const image = await damaged('no-log.vhdx', 'vhdx', 'block_size=1M', (whole) => {
      for (const at of [65536, 131072]) {
        whole.fill(0x77, at + 48, at + 64);
        vhdxChecksum(whole.subarray(at, at + 4096));
      }
      return whole;
    });
    await expect(withImage(image, async () => {})).rejects.toMatchObject({
      code: 'CORRUPT',
      where: { object: image, structure: 'log' },
    });
  });

  it('a VHDX with a required region or item that is not known is refused by its GUID', async () => {
    const image = await damaged('region.vhdx', 'vhdx', 'block_size=1M', (whole) => {
      for (const at of [196608, 262144]) {
        whole.writeUInt32LE(3, at + 8);
        whole.fill(0xab, at + 80, at + 96);
        whole.writeUInt32LE(1, at + 80 + 28);
        vhdxChecksum(whole.subarray(at, at + 65536));
      }
      return whole;
    });
    await expect(withImage(image, async () => {})).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      where: { object: image, found: 'abababab-abab-abab-abab-abababababab' },
    });
  });
});

/** As writers that cannot go back leave the file: header without a place, footer with it. */
function withFooter(image: Buffer): Buffer {
  const marker = Buffer.alloc(512);
  marker.writeUInt32LE(1, 0);
  marker.writeUInt32LE(3, 12);
  const footer = Buffer.from(image.subarray(0, 512));
  image.fill(0xff, 56, 64);
  const padding = Buffer.alloc((512 - (image.length % 512)) % 512);
  return Buffer.concat([image, padding, marker, footer, Buffer.alloc(512)]);
}
