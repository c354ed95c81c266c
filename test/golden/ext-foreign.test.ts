/** ext volumes that others made: sound ones read as the kernel does, damaged ones come to an end. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, isRestoreError } from '../../core/index.ts';
import { openFileSystem, openImage } from '../../parsers/index.ts';
import { withExtMounted } from '../fixtures/file-systems/ext.ts';
import {
  listFileSystem,
  type Listing,
  listMounted,
  readAll,
} from '../fixtures/file-systems/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { run } from '../fixtures/tools/index.ts';
import { missingTool, nodeFiles, removeFolder, temporaryFolder } from './image-support.ts';

const IMAGES = process.env['REHYDRATE_IMAGES'] ?? path.resolve('..', 'shared', 'images');
const E2FSPROGS = path.join(IMAGES, 'tytso+e2fsprogs', 'tests');
const TIME_LIMIT_MS = 10_000;
const MEMORY_LIMIT_BYTES = 512 * 1024 * 1024;
const READ_LIMITS = { contentBytes: 256 * 1024 * 1024, entries: 200_000 };

/** Packed volumes, and how many files each is known to hold at least. */
const PACKED = {
  'nicholasbishop+ext4-view-rs/test_data/test_disk1.bin.zst': 11_000,
  'nicholasbishop+ext4-view-rs/test_data/test_disk_4k_block_journal.bin.zst': 700,
  'nicholasbishop+ext4-view-rs/test_data/test_disk_ext2.bin.zst': 4,
  'nicholasbishop+ext4-view-rs/test_data/test_disk_ext3.bin.zst': 1000,
  'nicholasbishop+ext4-view-rs/history/test_data/09a17673.test_disk1.bin.zst': 11_000,
  'nicholasbishop+ext4-view-rs/history/test_data/c4e14793.test_disk1.bin.zst': 11_000,
  'nicholasbishop+ext4-view-rs/history/test_data/ccb3abc6.test_disk_ext2.bin.zst': 3,
  'nicholasbishop+ext4-view-rs/history/test_data/febc132b.test_disk_4k_block_journal.bin.zst': 700,
  'mbroz+cryptsetup/tests/img_fs_ext4.img.xz': 3,
  'util-linux+util-linux/tests/ts/blkid/images-fs/ext2.img.xz': 1,
  'util-linux+util-linux/tests/ts/blkid/images-fs/ext3.img.xz': 1,
} as const;

/** The same volume in three image formats; qemu unpacks it for the kernel. */
const DISK_IMAGES = ['ext2.qcow2', 'ext2.vhd', 'ext2.vmdk'] as const;

describe('ext volumes that others made', () => {
  let folder: string;
  let reason: string | undefined;
  beforeAll(async () => {
    folder = await temporaryFolder();
    reason = existsSync(E2FSPROGS)
      ? (missingTool('zstd', 'xz', 'bzip2', 'e2fsck', 'qemu-img') ??
        (await LoopDevice.missing(path.join(folder, 'probe'))))
      : 'no foreign images: set REHYDRATE_IMAGES to their folder';
  });
  afterAll(() => removeFolder(folder));
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it.each(Object.entries(PACKED))('reads as the kernel does: %s', async (name, least) => {
    const data = await unpack(path.join(IMAGES, name));
    const ours = await listFileSystem(await openFileSystem(new BytesSource(data)));
    expect(ours.size).toBeGreaterThan(least);
    expectSame(ours, await kernelListing(folder, data));
  });

  it.each(DISK_IMAGES)('reads as the kernel does: %s', async (name) => {
    const image = path.join(IMAGES, 'log2timeline+dfvfs', 'test_data', name);
    const raw = path.join(folder, `${name}.raw`);
    await run('qemu-img', ['convert', '-O', 'raw', image, raw]);
    const { source } = await openImage(image, nodeFiles());
    const ours = await listFileSystem(await openFileSystem(source));
    await source.close();
    expect(ours.size).toBeGreaterThan(3);
    expectSame(ours, await kernelListing(folder, readFileSync(raw)));
  });

  it('comes to an end with each of e2fsck’s test images', { timeout: 300_000 }, async () => {
    const outcomes = { read: 0, partial: 0, refused: 0 };
    const differing: unknown[] = [];
    let compared = 0;
    for (const name of readdirSync(E2FSPROGS).sort()) {
      const data = await packedIn(path.join(E2FSPROGS, name));
      if (data === undefined) continue;
      const memoryBefore = process.memoryUsage().rss;
      const startedMs = performance.now();
      const outcome = await outcomeOf(data);
      const tookMs = performance.now() - startedMs;
      const grownBytes = process.memoryUsage().rss - memoryBefore;
      if (tookMs > TIME_LIMIT_MS) expect.fail(`${name} took ${tookMs} ms`);
      if (grownBytes > MEMORY_LIMIT_BYTES) expect.fail(`${name} took ${grownBytes} bytes`);
      outcomes[outcome] += 1;
      const theirs = await kernelListingIfSound(folder, name, data);
      if (theirs === undefined) continue;
      compared += 1;
      const ours = await listFileSystem(await openFileSystem(new BytesSource(data)));
      const different = differences(ours, theirs);
      if (different.length > 0) differing.push({ name, different });
    }
    expect(differing).toEqual([]);
    // Exact, so that whoever changes what is read sees what it does to these.
    expect({ ...outcomes, compared }).toEqual(OUTCOMES);
  });
});

/** e2fsprogs at the commit of the manifest; compared by Linux 6.18 without quota and verity. */
const OUTCOMES = { read: 68, partial: 39, refused: 8, compared: 25 };

/**
 * Sound by `e2fsck -fn`, and yet Linux answers errors for a file: an inode for an attribute without
 * the feature, and a file with `verity` where the kernel lacks it.
 */
const REFUSED_BY_KERNEL = ['f_ea_inode_no_feature', 'f_verity'];

async function outcomeOf(data: Uint8Array): Promise<'read' | 'partial' | 'refused'> {
  try {
    const fileSystem = await openFileSystem(new BytesSource(data));
    const { errors } = await readAll(fileSystem, READ_LIMITS);
    const isWhole = ['clean', 'journal replayed'].includes(fileSystem.health.state);
    return errors.length === 0 && isWhole ? 'read' : 'partial';
  } catch (error) {
    if (!isRestoreError(error)) throw error;
    return 'refused';
  }
}

async function packedIn(folder: string): Promise<Uint8Array | undefined> {
  for (const name of ['image.gz', 'image.bz2', 'image']) {
    const file = path.join(folder, name);
    if (existsSync(file)) return unpack(file);
  }
  return undefined;
}

const UNPACKERS: Readonly<Record<string, string>> = {
  '.zst': 'zstd',
  '.xz': 'xz',
  '.bz2': 'bzip2',
};

async function unpack(file: string): Promise<Uint8Array> {
  const extension = path.extname(file);
  if (extension === '.gz') return gunzipSync(readFileSync(file));
  const tool = UNPACKERS[extension];
  if (tool === undefined) return readFileSync(file);
  return (await run(tool, ['-dcq', file])).stdoutBytes;
}

/** What the kernel shows of a copy, its journal recovered. */
function kernelListing(folder: string, data: Uint8Array): Promise<Listing> {
  const image = path.join(folder, 'copy.img');
  writeFileSync(image, data);
  return withExtMounted(image, 'loop', listMounted);
}

async function kernelListingIfSound(
  folder: string,
  name: string,
  data: Uint8Array,
): Promise<Listing | undefined> {
  const image = path.join(folder, 'copy.img');
  writeFileSync(image, data);
  const { exitCode } = await run('e2fsck', ['-fn', image], { accept: [0, 4, 8, 12, 16] });
  if (exitCode !== 0 || REFUSED_BY_KERNEL.includes(name)) return undefined;
  if (!(await canMount(image))) return undefined;
  return withExtMounted(image, 'loop', listMounted);
}

/** Kernels differ in what they mount: block sizes beyond a page, quotas, … */
async function canMount(image: string): Promise<boolean> {
  try {
    await withExtMounted(image, 'loop', () => undefined);
    return true;
  } catch {
    return false;
  }
}

function differences(ours: Listing, theirs: Listing): unknown[] {
  return [...new Set([...ours.keys(), ...theirs.keys()])]
    .filter((key) => JSON.stringify(ours.get(key)) !== JSON.stringify(theirs.get(key)))
    .slice(0, 5)
    .map((key) => ({ key, ours: ours.get(key), theirs: theirs.get(key) }));
}

function expectSame(ours: Listing, theirs: Listing): void {
  expect(differences(ours, theirs)).toEqual([]);
}
