/** Images made by qemu, in every subformat that it writes, hold the bytes that qemu reads. */
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../fixtures/tools/index.ts';
import {
  expectExtentsCover,
  expectExtentsSkip,
  expectSameBytes,
  KIB,
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

const reason = missingTool('qemu-img', 'qemu-io');
/** Not a multiple of any cluster size but the smallest. */
const SIZE_BYTES = 12 * MIB + 1536;

interface Recipe {
  /** qemu's name of the format. */
  readonly format: 'qcow2' | 'vmdk' | 'vpc' | 'vhdx';
  readonly options: string;
  readonly compress?: boolean;
  /** Virtual size; some formats round. */
  readonly sizeBytes?: number;
  readonly writes?: Parameters<typeof randomCommands>[2];
  readonly details?: Readonly<Record<string, string | number | boolean>>;
  /** qemu's vhdx driver and flat extents report all as data, so that there is nothing to compare. */
  readonly mapKnown?: boolean;
}

const ALL = ['write', 'write', 'zero', 'unmap', 'discard'] as const;
const qcow2 = (options: string, more: Partial<Recipe> = {}): Recipe => ({
  format: 'qcow2',
  options,
  writes: ALL,
  mapKnown: true,
  ...more,
});
const vmdk = (options: string, more: Partial<Recipe> = {}): Recipe => ({
  format: 'vmdk',
  options,
  writes: ['write'],
  mapKnown: true,
  ...more,
});
const vpc = (options: string, more: Partial<Recipe> = {}): Recipe => ({
  format: 'vpc',
  options,
  writes: ['write'],
  mapKnown: true,
  ...more,
});
const vhdx = (options: string, more: Partial<Recipe> = {}): Recipe => ({
  format: 'vhdx',
  options,
  writes: ['write'],
  ...more,
});

const RECIPES: readonly Recipe[] = [
  qcow2('cluster_size=512', { details: { clusterSize: 512 } }),
  qcow2('cluster_size=4k'),
  qcow2('cluster_size=64k', { details: { clusterSize: 65536, version: 3 } }),
  qcow2('cluster_size=2M'),
  qcow2('compat=0.10', { details: { version: 2 }, writes: ['write', 'discard'] }),
  qcow2('compat=0.10,cluster_size=1k', { compress: true, writes: ['write'] }),
  qcow2('extended_l2=on,cluster_size=16k', { details: { extendedL2: true } }),
  qcow2('extended_l2=on,cluster_size=128k'),
  qcow2('extended_l2=on,cluster_size=2M', { compress: true }),
  qcow2('cluster_size=64k', { compress: true, details: { compression: 'deflate' } }),
  qcow2('cluster_size=512', { compress: true }),
  qcow2('cluster_size=2M', { compress: true }),
  qcow2('compression_type=zstd', { compress: true, details: { compression: 'zstd' } }),
  qcow2('compression_type=zstd,cluster_size=4k', { compress: true }),
  qcow2('compression_type=zstd,cluster_size=2M', { compress: true }),
  qcow2('lazy_refcounts=on,refcount_bits=1'),
  qcow2('preallocation=metadata', { mapKnown: false }),
  qcow2('preallocation=falloc', { mapKnown: false }),
  qcow2('preallocation=full', { mapKnown: false }),
  vmdk('subformat=monolithicSparse', { details: { subformat: 'monolithicSparse' } }),
  vmdk('subformat=monolithicSparse,zeroed_grain=on', { writes: ['write', 'zero'] }),
  vmdk('subformat=monolithicFlat', { mapKnown: false }),
  vmdk('subformat=twoGbMaxExtentSparse', {
    sizeBytes: 4096 * MIB + 3 * MIB,
    details: { extents: 3 },
  }),
  vmdk('subformat=twoGbMaxExtentFlat', {
    sizeBytes: 2048 * MIB + 3 * MIB,
    details: { extents: 2 },
    mapKnown: false,
  }),
  vmdk('subformat=streamOptimized', { writes: [], details: { compressed: true } }),
  vpc('subformat=dynamic', { details: { subformat: 'dynamic', sizeRule: 'geometry' } }),
  vpc('subformat=dynamic,force_size=on', { details: { sizeRule: 'current size' } }),
  vpc('subformat=fixed', { mapKnown: false }),
  vpc('subformat=fixed,force_size=on', { mapKnown: false, details: { subformat: 'fixed' } }),
  vhdx('subformat=dynamic', { details: { subformat: 'dynamic' } }),
  vhdx('subformat=dynamic,block_size=1M', { details: { blockSize: MIB } }),
  vhdx('subformat=dynamic,block_size=32M,log_size=4M'),
  vhdx('subformat=dynamic,block_size=1M', { sizeBytes: 5000 * MIB }),
  vhdx('subformat=fixed,block_size=2M', { details: { subformat: 'fixed' } }),
];

describe(`images made by qemu${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
  });
  afterAll(() => removeFolder(folder));
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it.each(RECIPES.map((recipe, seed) => ({ ...recipe, seed, label: labelOf(recipe) })))(
    '$label: the same bytes, and extents that skip what is not there',
    async (recipe) => {
      const { format, seed } = recipe;
      const sizeBytes = recipe.sizeBytes ?? SIZE_BYTES;
      const content = path.join(folder, `${seed}.content.raw`);
      const image = path.join(folder, `${seed}.${format}`);
      await makeRaw(content, sizeBytes, seed + 1);
      const compress = recipe.compress === true ? ['-c'] : [];
      const options = ['-o', recipe.options];
      await run('qemu-img', ['convert', ...compress, '-O', format, ...options, content, image]);
      if (recipe.writes?.length !== 0) {
        await qemuIo(format, image, randomCommands(sizeBytes, seed, recipe.writes ?? []));
      }
      const raw = await qemuRaw(format, image);

      await withImage(
        image,
        async ({ source, details, format: found }) => {
          expect(found).toBe(format === 'vpc' ? 'vhd' : format);
          expect(details).toMatchObject(recipe.details ?? {});
          await expectSameBytes(source, raw);
          const extents = await expectExtentsCover(source, raw);
          if (recipe.mapKnown === true) await expectExtentsSkip(extents, image, format);
        },
        { withHoles: recipe.sizeBytes !== undefined },
      );
    },
  );

  it('skips what vhdx does not hold, block by block', async () => {
    const image = path.join(folder, 'blocks.vhdx');
    await run('qemu-img', ['create', '-q', '-f', 'vhdx', '-o', 'block_size=1M', image, '9000M']);
    await qemuIo('vhdx', image, [
      'write -P 1 5M 4k',
      'write -P 2 4097M 512',
      'write -P 3 8999M 1M',
    ]);
    await withImage(image, async ({ source }) => {
      expect(await Array.fromAsync(source.extents(0, source.size))).toEqual([
        { offset: 5 * MIB, length: MIB },
        { offset: 4097 * MIB, length: MIB },
        { offset: 8999 * MIB, length: MIB },
      ]);
    });
  });

  it.each([
    { name: 'holes.raw', format: 'raw', options: [] },
    { name: 'holes-flat.desc.vmdk', format: 'vmdk', options: ['-o', 'subformat=monolithicFlat'] },
    { name: 'holes.vhd', format: 'vpc', options: ['-o', 'subformat=fixed,force_size=on'] },
    { name: 'holes.qcow2', format: 'qcow2', options: ['-o', 'preallocation=metadata'] },
  ])('skips the holes of the file below: $name', async ({ name, format, options }) => {
    const image = path.join(folder, name);
    await run('qemu-img', ['create', '-q', '-f', format, ...options, image, '64M']);
    await qemuIo(format, image, ['write -P 9 20M 64k', 'write -P 8 40M 64k']);
    await withImage(
      image,
      async ({ source }) => {
        const extents = await expectExtentsCover(source, await qemuRaw(format, image));
        const bytes = extents.reduce((sum, { length }) => sum + length, 0);
        expect(bytes).toBeGreaterThanOrEqual(128 * KIB);
        expect(bytes).toBeLessThan(512 * KIB);
      },
      { withHoles: true },
    );
  });

  it('reads a qcow2 with an external data file, plain and raw', async () => {
    for (const rawFlag of ['off', 'on']) {
      const image = path.join(folder, `external-${rawFlag}.qcow2`);
      const data = path.join(folder, `external-${rawFlag}.data`);
      const options = `data_file=${data},data_file_raw=${rawFlag}`;
      await run('qemu-img', [
        'create',
        '-q',
        '-f',
        'qcow2',
        '-o',
        options,
        image,
        String(SIZE_BYTES),
      ]);
      await qemuIo('qcow2', image, randomCommands(SIZE_BYTES, 77, ALL));
      const raw = await qemuRaw('qcow2', image);
      await withImage(image, async ({ source, files }) => {
        expect(files).toEqual([image, data]);
        await expectSameBytes(source, raw);
        await expectExtentsCover(source, raw);
      });
    }
  });

  it('reads the active state of a qcow2 with internal snapshots, and a dirty one', async () => {
    const image = path.join(folder, 'snapshots.qcow2');
    const size = String(SIZE_BYTES);
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on', image, size]);
    await qemuIo('qcow2', image, randomCommands(SIZE_BYTES, 5, ['write']));
    await run('qemu-img', ['snapshot', '-c', 'first', image]);
    await qemuIo('qcow2', image, randomCommands(SIZE_BYTES, 6, ALL));
    const crash = ['-f', 'qcow2', '-c', 'write -P 3 1M 1M', '-c', 'flush', '-c', 'abort', image];
    await run('qemu-io', crash, { accept: [-1, 134] });
    await withImage(image, async ({ source, details }) => {
      expect(details).toMatchObject({ dirty: true, internalSnapshots: 1 });
      await expectSameBytes(source, await qemuRaw('qcow2', image));
    });
  });
});

function labelOf({ format, options, compress, sizeBytes }: Recipe): string {
  const size = sizeBytes === undefined ? '' : ` ${Math.round(sizeBytes / MIB)} MiB`;
  return `${format} ${options}${compress === true ? ' compressed' : ''}${size}`;
}
