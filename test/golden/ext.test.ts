/** ext2, ext3 and ext4 as our driver reads them, and as the kernel does. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, statfsSync, writeSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fileSystemSuite } from '../conformance/file-system-suite.ts';
import { openFileSystem, openImage } from '../../parsers/index.ts';
import {
  type ExtRecipe,
  makeExt,
  withExtMounted,
  withExtOpened,
} from '../fixtures/file-systems/ext.ts';
import { type Listing, listFileSystem, listMounted } from '../fixtures/file-systems/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { run } from '../fixtures/tools/index.ts';
import {
  attributed,
  everyKind,
  everyName,
  everySecondBlock,
  everyTime,
  manyNames,
  sparse,
  unwrittenOverData,
} from './ext-content.ts';
import { missingTool, nodeFiles, removeFolder, temporaryFolder } from './image-support.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

function everything(root: string): void {
  everyKind(root);
  for (const [name, fill] of Object.entries({ everyName, everyTime })) {
    mkdirSync(path.join(root, name));
    fill(path.join(root, name));
  }
  manyNames(root, 300);
}

const RECIPES: Readonly<Record<string, ExtRecipe>> = {
  'ext4 as mke2fs makes it': { sizeBytes: 64 * MIB, mkfs: ['-t', 'ext4'], fill: everything },
  ext2: { sizeBytes: 32 * MIB, mkfs: ['-t', 'ext2', '-b', '1024'], fill: everything },
  'ext2 of revision 0': { sizeBytes: 16 * MIB, mkfs: ['-r', '0', '-t', 'ext2'], fill: everything },
  'ext3 of 2 KiB blocks': {
    sizeBytes: 64 * MIB,
    mkfs: ['-t', 'ext3', '-b', '2048'],
    fill: everything,
  },
  'inodes of 128 bytes': {
    sizeBytes: 64 * MIB,
    mkfs: ['-t', 'ext4', '-I', '128'],
    fill: everything,
  },
  'inodes of 1,024 bytes with inline data': {
    sizeBytes: 64 * MIB,
    mkfs: ['-t', 'ext4', '-I', '1024', '-O', 'inline_data'],
    fill: everything,
  },
  'inline data': {
    sizeBytes: 64 * MIB,
    mkfs: ['-t', 'ext4', '-b', '4096', '-O', 'inline_data'],
    fill: everything,
  },
  'bigalloc with clusters of 64 KiB': {
    sizeBytes: 256 * MIB,
    mkfs: ['-t', 'ext4', '-O', 'bigalloc', '-C', '65536', '-b', '4096'],
    fill: (root) => {
      everything(root);
      everySecondBlock(root, 4096, 200);
    },
  },
  'meta_bg without resize_inode': {
    sizeBytes: 300 * MIB,
    mkfs: ['-t', 'ext4', '-O', 'meta_bg,^resize_inode,64bit', '-b', '1024', '-g', '1024'],
    fill: everything,
  },
  'sparse_super2, no flex_bg': {
    sizeBytes: 100 * MIB,
    mkfs: ['-t', 'ext4', '-O', 'sparse_super2,^flex_bg,^resize_inode', '-b', '1024'],
    fill: everything,
  },
  'uninit_bg without metadata_csum': {
    sizeBytes: 64 * MIB,
    mkfs: ['-t', 'ext4', '-O', 'uninit_bg,^metadata_csum,^64bit', '-b', '1024'],
    fill: everything,
  },
  'metadata_csum_seed, another UUID since': {
    sizeBytes: 64 * MIB,
    mkfs: ['-t', 'ext4', '-O', 'metadata_csum_seed'],
    fill: everything,
  },
  'no filetype, no dir_index': {
    sizeBytes: 64 * MIB,
    mkfs: ['-t', 'ext4', '-O', '^filetype,^dir_index,^extents,^64bit'],
    fill: everything,
  },
  'large_dir, ea_inode, an orphan file': {
    sizeBytes: 64 * MIB,
    mkfs: ['-t', 'ext4', '-I', '256', '-O', 'large_dir,ea_inode,orphan_file'],
    fill: everything,
  },
  'an extent tree of depth 2': {
    sizeBytes: 200 * MIB,
    mkfs: ['-t', 'ext4', '-b', '1024'],
    fill: (root) => everySecondBlock(root, 1024, 30_000),
  },
  'unwritten extents over old data': {
    sizeBytes: 64 * MIB,
    mkfs: ['-t', 'ext4'],
    fill: unwrittenOverData,
  },
  'triple indirection': {
    sizeBytes: 64 * MIB,
    mkfs: ['-t', 'ext2', '-b', '1024'],
    fill: (root) => sparse(root, [0, 11_000, 12_288, 274_432, 67_383_296, 500_000_000]),
  },
  'indirect blocks of a fragmented file': {
    sizeBytes: 64 * MIB,
    mkfs: ['-t', 'ext3', '-b', '1024'],
    fill: (root) => everySecondBlock(root, 1024, 5000),
  },
  'a hash tree of two levels': {
    sizeBytes: 128 * MIB,
    mkfs: ['-t', 'ext4', '-b', '1024', '-N', '10000'],
    fill: (root) => manyNames(root, 6000),
  },
  'attributes and ACLs': { sizeBytes: 64 * MIB, mkfs: ['-t', 'ext4'], fill: attributed },
};

describe('ext against the kernel', () => {
  let folder: string;
  let reason: string | undefined;
  beforeAll(async () => {
    folder = await temporaryFolder();
    reason =
      missingTool('mke2fs', 'debugfs', 'tune2fs', 'setfattr', 'setfacl', 'python3', 'xfs_io') ??
      (await LoopDevice.missing(path.join(folder, 'probe')));
  });
  afterAll(() => removeFolder(folder));
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it.each(Object.entries(RECIPES))('reads alike: %s', async (name, recipe) => {
    const mkfs = ['-L', 'ext-label', ...recipe.mkfs];
    const image = await makeExt(folder, name, { ...recipe, mkfs });
    if (name.includes('another UUID')) execFileSync('tune2fs', ['-U', 'random', image]);
    const { stdout } = await run('blkid', ['-p', '-o', 'export', image]);
    const ours = await withExtOpened(image, async (fileSystem) => {
      expect(stdout).toContain(`TYPE=${fileSystem.type}\n`);
      expect(stdout).toContain(`UUID=${fileSystem.uuid}\n`);
      expect(stdout).toContain(`LABEL=${fileSystem.label}\n`);
      const listing = await listFileSystem(fileSystem);
      expect(fileSystem.health).toEqual({ state: 'clean', findings: [], omitted: 0 });
      return { listing, freeBytes: fileSystem.space.freeBytes };
    });
    const theirs = await withExtMounted(image, 'loop,ro', (root) => {
      const { bfree, bsize } = statfsSync(root);
      return { listing: listMounted(root), freeBytes: bfree * bsize };
    });
    expectSame(ours.listing, theirs.listing);
    expect(ours.freeBytes).toBe(theirs.freeBytes);
    await removeFolder(image);
  });

  it('reads a 16 GiB sparse file of ext2 to its last block', async () => {
    const offsets = [0, 300_000, 70_000_000, 17_000_000_000];
    const image = await makeExt(folder, 'huge sparse', {
      sizeBytes: 64 * MIB,
      mkfs: ['-t', 'ext2', '-b', '1024'],
      fill: (root) => sparse(root, offsets),
    });
    await withExtOpened(image, async (fileSystem) => {
      const node = await fileSystem.lookup(fileSystem.root, 'sparse');
      const content = await fileSystem.open(node ?? 0);
      expect(content.size).toBe(17_000_005_000);
      const extents = await Array.fromAsync(content.extents(0, content.size));
      expect(extents.length).toBe(offsets.length);
      for (const offset of offsets) {
        const bytes = new Uint8Array(3);
        await content.readInto(bytes, Math.max(0, offset - 1));
        expect([...bytes]).toContain(1 + (offset % 255));
      }
    });
  });

  it('shows attributes and ACLs as getxattr does', async () => {
    const image = await makeExt(folder, 'attributes', {
      sizeBytes: 64 * MIB,
      mkfs: ['-t', 'ext4', '-O', 'ea_inode'],
      fill: (root) => {
        attributed(root);
        execFileSync('sh', ['-c', 'head -c 50000 /dev/urandom > big.bin'], { cwd: folder });
        const value = execFileSync('base64', ['-w0', 'big.bin'], { cwd: folder }).toString();
        const script = `import os,base64,sys;os.setxattr(sys.argv[1],b"user.huge",base64.b64decode(sys.stdin.read()))`;
        execFileSync('python3', ['-c', script, path.join(root, 'few')], { input: value });
      },
    });
    const theirs = await withExtMounted(image, 'loop,ro', (root) => attributesByKernel(root));
    const ours = await withExtOpened(image, async (fileSystem) => {
      const found: string[] = [];
      for await (const batch of fileSystem.list(fileSystem.root)) {
        for (const { name, node } of batch) {
          for (const { name: key, value } of await fileSystem.xattrs(node)) {
            found.push(`${name} ${key} ${Buffer.from(value).toString('hex')}`);
          }
        }
      }
      return found;
    });
    expect(theirs.filter((line) => line.includes('posix_acl')).length).toBe(3);
    expect(theirs.filter((line) => line.includes('user.huge')).length).toBe(1);
    expect(ours.sort()).toEqual(theirs.sort());
  });

  it.each([1024, 2048, 4096])(
    'reads by a copy of the superblock, blocks of %i',
    async (blockSize) => {
      const image = await makeExt(folder, `copy-${blockSize}`, {
        sizeBytes: blockSize === 4096 ? GIB : 200 * MIB,
        mkfs: ['-t', 'ext4', '-b', String(blockSize)],
        fill: everyKind,
      });
      const theirs = await withExtMounted(image, 'loop,ro', listMounted);
      const file = openSync(image, 'r+');
      writeSync(file, Buffer.alloc(blockSize === 1024 ? 4096 : 3 * blockSize), 0, undefined, 0);
      closeSync(file);
      const [ours, state] = await withExtOpened(image, async (fileSystem) => [
        await listFileSystem(fileSystem),
        fileSystem.health.state,
      ]);
      expect(state).toBe('partly damaged');
      expectSame(ours, theirs);
      await removeFolder(image);
    },
  );

  it('does not show what was open and deleted', async () => {
    const image = await makeExt(folder, 'orphans', {
      sizeBytes: 64 * MIB,
      mkfs: ['-t', 'ext4'],
      fill: everyKind,
    });
    const crashed = path.join(folder, 'crashed.img');
    await withExtMounted(image, 'loop', (root) => {
      const opened = openSync(path.join(root, 'size-100000'), 'r');
      execFileSync('rm', [path.join(root, 'size-100000')]);
      execFileSync('sync', ['-f', root]);
      execFileSync('xfs_io', ['-x', '-c', 'shutdown -f', root]);
      execFileSync('cp', [image, crashed]);
      closeSync(opened);
    });
    const ours = await withExtOpened(crashed, listFileSystem);
    expect(ours.has('/size-100000')).toBe(false);
    expectSame(ours, await withExtMounted(crashed, 'loop', listMounted));
  });

  fileSystemSuite('ext4', async () => {
    const image = await makeExt(folder, 'suite', {
      sizeBytes: 64 * MIB,
      mkfs: ['-t', 'ext4', '-O', 'inline_data'],
      fill: (root) => {
        everything(root);
        unwrittenOverData(root);
      },
    });
    const { source } = await openImage(image, nodeFiles());
    return { fileSystem: await openFileSystem(source), close: () => source.close() };
  });
});

/** Differences first: two whole listings in a message help nobody. */
function expectSame(ours: Listing, theirs: Listing): void {
  const differences = [...new Set([...ours.keys(), ...theirs.keys()])]
    .filter((key) => JSON.stringify(ours.get(key)) !== JSON.stringify(theirs.get(key)))
    .slice(0, 5)
    .map((key) => ({ key, ours: ours.get(key), theirs: theirs.get(key) }));
  expect(differences).toEqual([]);
  expect(ours.size).toBe(theirs.size);
  expect(ours.size).toBeGreaterThan(2);
}

/** Every attribute under `root`, one level deep, values in hexadecimal, as the kernel says. */
function attributesByKernel(root: string): string[] {
  const script = [
    'import os,sys',
    'root=sys.argv[1]',
    'for n in os.listdir(root):',
    '  p=os.path.join(root,n)',
    '  for k in os.listxattr(p,follow_symlinks=False): print(n,k,os.getxattr(p,k,follow_symlinks=False).hex())',
  ].join('\n');
  return execFileSync('python3', ['-c', script, root]).toString().trim().split('\n');
}
