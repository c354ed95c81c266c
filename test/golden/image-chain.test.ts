/** Disks that stand on parent files, in every format that has them. */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../fixtures/tools/index.ts';
import { buildCowd, buildDifferencingVhd, buildVhdx, vhdxChecksum } from './image-build.ts';
import {
  expectExtentsCover,
  expectExtentsSkip,
  expectSameBytes,
  makeRaw,
  MIB,
  missingTool,
  qemuIo,
  qemuRaw,
  randomCommands,
  removeFolder,
  temporaryFolder,
  withImage,
} from './image-support.ts';

const SIZE_BYTES = 9 * MIB + 1536;
const withoutQemu = missingTool('qemu-img', 'qemu-io');

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => removeFolder(folder));

const inFolder = (name: string): string => path.join(folder, name);

describe(`chains made by qemu${withoutQemu === undefined ? '' : ` (skipped: ${withoutQemu})`}`, () => {
  beforeEach((context) => context.skip(withoutQemu !== undefined, withoutQemu));

  it.each([
    { name: 'shorter', baseBytes: 5 * MIB + 512, options: 'cluster_size=64k' },
    { name: 'longer', baseBytes: 20 * MIB, options: 'cluster_size=4k' },
    { name: 'extended', baseBytes: 7 * MIB, options: 'extended_l2=on,cluster_size=32k' },
  ])('qcow2 of depth 4 on a raw base that is $name', async ({ name, baseBytes, options }) => {
    const base = inFolder(`${name}-0.raw`);
    await makeRaw(base, baseBytes, 3);
    let below = { file: base, format: 'raw' };
    for (let level = 1; level < 4; level += 1) {
      const image = inFolder(`${name}-${level}.qcow2`);
      const backing = ['-b', below.file, '-F', below.format];
      const size = String(SIZE_BYTES + (level === 2 ? -MIB : 0));
      await run('qemu-img', [
        'create',
        '-q',
        '-f',
        'qcow2',
        '-o',
        options,
        ...backing,
        image,
        size,
      ]);
      const kinds = ['write', 'zero', 'unmap', 'discard'] as const;
      await qemuIo('qcow2', image, randomCommands(SIZE_BYTES - 2 * MIB, level, kinds));
      below = { file: image, format: 'qcow2' };
    }
    const raw = await qemuRaw('qcow2', below.file);
    await withImage(
      below.file,
      async ({ source, files, details }) => {
        expect(files).toEqual([3, 2, 1].map((n) => inFolder(`${name}-${n}.qcow2`)).concat(base));
        expect(details).toMatchObject({ chainDepth: 4 });
        await expectSameBytes(source, raw);
        const extents = await expectExtentsCover(source, raw);
        await expectExtentsSkip(extents, below.file, 'qcow2');
      },
      { withHoles: true },
    );
  });

  it('VMDK deltas on a sparse base', async () => {
    const content = inFolder('vmdk.raw');
    await makeRaw(content, SIZE_BYTES, 8);
    const base = inFolder('base.vmdk');
    await run('qemu-img', ['convert', '-O', 'vmdk', content, base]);
    const middle = inFolder('middle.vmdk');
    const top = inFolder('top.vmdk');
    for (const [child, parent] of [
      [middle, base],
      [top, middle],
    ] as const) {
      const options = ['-o', 'zeroed_grain=on', '-b', parent, '-F', 'vmdk'];
      await run('qemu-img', ['create', '-q', '-f', 'vmdk', ...options, child]);
      await qemuIo('vmdk', child, randomCommands(SIZE_BYTES, 11, ['write']));
    }
    const raw = await qemuRaw('vmdk', top);
    await withImage(top, async ({ source, files }) => {
      expect(files).toEqual([top, middle, base]);
      await expectSameBytes(source, raw);
      await expectExtentsSkip(await expectExtentsCover(source, raw), top, 'vmdk');
    });
    await qemuIo('vmdk', middle, ['write -P 1 0 512']);
    await expect(withImage(top, async () => {})).rejects.toMatchObject({
      code: 'CORRUPT',
      where: { object: top, structure: 'descriptor line parentCID' },
    });
  });

  it('an ESX sparse extent (COWD)', async () => {
    const image = inFolder('cowd.vmdk');
    await buildCowd(image, inFolder('cowd-delta.vmdk'), 21);
    const raw = await qemuRaw('vmdk', image);
    await withImage(image, async ({ source, details }) => {
      expect(details).toMatchObject({ subformat: 'vmfsSparse' });
      await expectSameBytes(source, raw);
      await expectExtentsCover(source, raw);
    });
  });

  it('a VHDX whose log has not been replayed, as qemu reads it after its own replay', async () => {
    const image = inFolder('log.vhdx');
    await run('qemu-img', ['create', '-q', '-f', 'vhdx', '-o', 'block_size=1M', image, '16M']);
    await qemuIo('vhdx', image, ['write -P 1 0 1M']);
    const before = await readFile(image);
    await qemuIo('vhdx', image, ['write -P 2 3M 64k']);
    await qemuIo('vhdx', image, ['write -P 3 7M 64k', 'write -P 4 9M 64k']);
    await writeFile(image, unreplayed(before, await readFile(image)));

    const replayed = inFolder('log-by-qemu.vhdx');
    await copyFile(image, replayed);
    const { stdout } = await run('qemu-img', ['check', '-f', 'vhdx', '-r', 'all', replayed]);
    expect(stdout).toMatch(/repaired|No errors/u);
    const raw = await qemuRaw('vhdx', replayed);
    await withImage(image, async ({ source, details }) => {
      expect(details).toMatchObject({ logReplayed: true });
      await expectSameBytes(source, raw);
      const extents = await expectExtentsCover(source, raw);
      // Without the log's table there would be but the first of the blocks.
      expect(extents.length).toBeGreaterThan(1);
    });
  });
});

/**
 * The state after a crash: the log is durable and the header points to it, but the table that the
 * last entries changed is as it was before.
 */
function unreplayed(before: Buffer, after: Buffer): Buffer {
  const image = Buffer.from(after);
  const header = [65536, 131072]
    .map((at) => image.subarray(at, at + 4096))
    .sort((a, b) => Number(b.readBigUInt64LE(8) - a.readBigUInt64LE(8)))[0] as Buffer;
  const logAt = Number(header.readBigUInt64LE(72));
  const entry = image.subarray(logAt);
  expect(entry.toString('latin1', 0, 4)).toBe('loge');
  entry.copy(header, 48, 32, 48);
  vhdxChecksum(header);
  const changedAt = Number(entry.readBigUInt64LE(64 + 16));
  before.copy(image, changedAt, changedAt, changedAt + 4096);
  return image;
}

describe(`differencing disks${withoutQemu === undefined ? '' : ` (skipped: ${withoutQemu})`}`, () => {
  beforeEach((context) => context.skip(withoutQemu !== undefined, withoutQemu));

  it('VHD of depth 3', async () => {
    const sizeBytes = 9 * MIB + 5 * 512;
    const { base, middle, top, raw } = await chainNames('vhd', 'vhd');
    await makeRaw(raw, sizeBytes, 31);
    const expected = await readFile(raw);
    await run('qemu-img', ['convert', '-O', 'vpc', '-o', 'force_size=on', raw, base]);
    const common = { sizeBytes, expected };
    await buildDifferencingVhd(middle, base, { ...common, seed: 41, parentName: '.\\base.vhd' });
    await buildDifferencingVhd(top, middle, {
      ...common,
      seed: 43,
      parentName: 'D:\\vm\\middle.vhd',
    });
    await writeFile(raw, expected);
    await withImage(top, async ({ source, files, details }) => {
      expect(files).toEqual([top, middle, base]);
      expect(details).toMatchObject({ subformat: 'differencing', chainDepth: 3 });
      await expectSameBytes(source, raw);
      await expectExtentsCover(source, raw);
    });
    await buildDifferencingVhd(middle, base, { ...common, seed: 42, parentName: '.\\base.vhd' });
    await expect(withImage(top, async () => {})).rejects.toMatchObject({
      code: 'CORRUPT',
      where: { object: top, structure: 'header field Parent Unique ID' },
    });
  });

  it.each([
    { sectorSize: 512, blockBytes: MIB },
    { sectorSize: 512, blockBytes: 2 * MIB },
    { sectorSize: 4096, blockBytes: MIB },
  ] as const)('VHDX of depth 3: sectors of $sectorSize, blocks of $blockBytes', async (kind) => {
    const { base, middle, top, raw } = await chainNames(
      `vhdx-${kind.sectorSize}-${kind.blockBytes}`,
      'vhdx',
    );
    const sizeBytes = 9 * MIB + 4096;
    const expected = Buffer.alloc(sizeBytes);
    const common = { ...kind, sizeBytes, expected };
    await buildVhdx(base, { ...common, seed: 51 });
    await writeFile(raw, expected);
    // qemu knows no other sector size. That it reads the base says that the builder is right.
    if (kind.sectorSize === 512) {
      await withImage(await qemuRaw('vhdx', base), ({ source }) => expectSameBytes(source, raw));
    }
    await buildVhdx(middle, { ...common, seed: 53, parent: { file: base, name: 'base.vhdx' } });
    await buildVhdx(top, { ...common, seed: 55, parent: { file: middle, name: 'middle.vhdx' } });
    await writeFile(raw, expected);
    await withImage(top, async ({ source, files }) => {
      expect(files).toEqual([top, middle, base]);
      expect(source.sectorSize).toBe(kind.sectorSize);
      await expectSameBytes(source, raw);
      await expectExtentsCover(source, raw);
    });
    // The parent was written to: its data write GUID is another.
    await buildVhdx(middle, { ...common, seed: 57, parent: { file: base, name: 'base.vhdx' } });
    await expect(withImage(top, async () => {})).rejects.toMatchObject({
      code: 'CORRUPT',
      where: { object: top, structure: 'parent locator key parent_linkage' },
    });
  });
});

async function chainNames(
  name: string,
  extension: string,
): Promise<Record<'base' | 'middle' | 'top' | 'raw', string>> {
  const own = inFolder(name);
  await mkdir(own);
  const file = (part: string): string => path.join(own, `${part}.${extension}`);
  return {
    base: file('base'),
    middle: file('middle'),
    top: file('top'),
    raw: path.join(own, 'expected.raw'),
  };
}
