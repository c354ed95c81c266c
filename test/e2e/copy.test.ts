/** `rehydrate cp`, held against what the kernel and ntfs-3g read from the same disks. */
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { withExtMounted } from '../fixtures/file-systems/ext.ts';
import {
  listMounted,
  type Listing,
  missingForNtfs,
  NTFS_FIXTURES,
  withNtfsMounted,
} from '../fixtures/file-systems/index.ts';
import {
  attributesOf,
  captureRaw,
  comparable,
  fillHostile,
  flipStored,
} from '../fixtures/file-systems/hostile-tree.ts';
import { randomBytes } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { extMachine } from './command/ext-machine.ts';
import { Cli, EXIT } from './command/harness.ts';

const MIB = 1024 * 1024;
const EXT = ['-t', 'ext4', '-O', 'ea_inode'];

describe('cp', () => {
  it('gives with --acls --devices what the kernel shows', async (context) => {
    using scratch = new Scratch();
    context.skip(findTool('setfacl') === undefined, 'setfacl not installed');
    const { cli, repository, image } = await extMachine(scratch, context, {
      sizeBytes: 128 * MIB,
      mkfs: EXT,
      fill: fillHostile,
    });
    const out = scratch.file('out');
    const { status, stderr } = await cli.run(
      ...['cp', '-r', '--acls', '--devices', repository, 'web01@latest:/', out],
    );
    expect([status, stderr]).toEqual([EXIT.ok, '']);
    await withExtMounted(image, 'loop,ro', async (root) => {
      expect(comparable(listMounted(out))).toEqual(comparable(listMounted(root)));
      expect(await attributesOf(out)).toBe(await attributesOf(root));
    });
    expect(statSync(`${out}/d/sparse`).blocks * 512).toBeLessThan(MIB);
    expect(statSync(`${out}/a`).ino).toBe(statSync(`${out}/d/twin`).ino);
    expect(readdirSync(out).filter((name) => name.startsWith('.rehydrate'))).toEqual([]);
  });

  it('leaves owners, special bits and devices out unless asked for them', async (context) => {
    using scratch = new Scratch();
    const { cli, repository } = await extMachine(scratch, context, {
      sizeBytes: 128 * MIB,
      mkfs: EXT,
      fill: fillHostile,
    });
    const out = scratch.file('out');
    const { status, stdout } = await cli.run('cp', '-r', repository, 'web01@latest:/d', out);
    expect(status).toBe(EXIT.ok);
    expect(stdout.toString()).toContain('left out 2: 2 device nodes');
    const suid = statSync(`${out}/suid`);
    expect([suid.mode & 0o7777, suid.uid]).toEqual([0o751, process.getuid?.()]);
    expect(readdirSync(out)).not.toContain('null');
  });

  it('copies one file into a folder, and overwrites only when told', async (context) => {
    using scratch = new Scratch();
    const { cli, repository } = await extMachine(scratch, context, {
      sizeBytes: 16 * MIB,
      mkfs: EXT,
      fill: (root) => writeFileSync(`${root}/report.txt`, 'from the backup'),
    });
    const out = scratch.file('out');
    const copy = ['cp', repository, 'web01@latest:/report.txt', out];
    expect((await cli.run(...copy)).status).toBe(EXIT.ok);
    writeFileSync(`${out}/report.txt`, 'newer work');
    const second = await cli.run(...copy);
    expect([second.status, second.stderr]).toEqual([
      EXIT.exists,
      expect.stringContaining('--force'),
    ]);
    expect((await run('cat', [`${out}/report.txt`])).stdout).toBe('newer work');
    expect((await cli.run(...copy, '--force')).status).toBe(EXIT.ok);
    expect((await run('cat', [`${out}/report.txt`])).stdout).toBe('from the backup');
    const absent = await cli.run('cp', repository, 'web01@latest:/nothing', out);
    expect(absent.status).toBe(EXIT.notFound);
  });

  it.for(['names', 'compressed', 'valid length'] as const)(
    'gives the files of NTFS (%s) as ntfs-3g reads them',
    async (fixture, context) => {
      const missing = missingForNtfs();
      context.skip(missing !== undefined, missing);
      using scratch = new Scratch();
      const image = scratch.file('ntfs.img');
      const made = await NTFS_FIXTURES[fixture](image);
      const cli = new Cli(scratch);
      const repository = await captureRaw(cli, scratch, made.imagePath);
      const out = scratch.file('out');
      const { status, stderr } = await cli.run('cp', '-r', repository, 'web01@latest:/', out);
      // 255 units of UTF-16 may be more bytes than a name can have here.
      const fits = (file: string): boolean =>
        file.split('/').every((name) => Buffer.byteLength(name) <= 255);
      let isWhole = true;
      await withNtfsMounted(made.imagePath, ['ro'], (root) => {
        const files = (listing: Listing): unknown =>
          [...listing].map(([file, { kind, sha256, modified }]) => ({
            file,
            kind,
            sha256,
            modified,
          }));
        const sorted = (listing: Listing): unknown =>
          (files(listing) as { file: string }[])
            .filter(({ file }) => fits(file))
            .sort((a, b) => (a.file < b.file ? -1 : 1));
        const theirs = listMounted(root);
        isWhole = [...theirs.keys()].every(fits);
        expect(sorted(listMounted(out))).toEqual(sorted(theirs));
      });
      expect([status, stderr === '']).toEqual([isWhole ? EXIT.ok : EXIT.invalid, isWhole]);
    },
  );
});

describe('cp of a damaged disk', () => {
  it('leaves nothing of a file that cannot be read, and says which', async (context) => {
    using scratch = new Scratch();
    const { cli, repository } = await extMachine(scratch, context, {
      sizeBytes: 64 * MIB,
      mkfs: EXT,
      fill: (root) => {
        for (const name of ['a', 'b', 'c']) {
          writeFileSync(`${root}/${name}`, randomBytes(8 * MIB, name.charCodeAt(0)));
        }
      },
    });
    await flipStored(repository, randomBytes(8 * MIB, 'b'.charCodeAt(0)).subarray(4 * MIB));
    const out = scratch.file('out');
    const { status, stderr } = await cli.run('cp', '-r', repository, 'web01@latest:/', out);
    expect(status).toBe(EXIT.corrupt);
    expect(stderr).toContain('/b');
    expect(readdirSync(out).sort()).toEqual(['a', 'c', 'lost+found']);
  });
});
