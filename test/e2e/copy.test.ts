/** `rehydrate cp`, held against what the kernel and ntfs-3g read from the same disks. */
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeExt, withExtMounted } from '../fixtures/file-systems/ext.ts';
import {
  listMounted,
  type Listing,
  missingForNtfs,
  NTFS_FIXTURES,
  withNtfsMounted,
} from '../fixtures/file-systems/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { randomBytes } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { Cli, EXIT } from './command/harness.ts';

const MIB = 1024 * 1024;
const EXT = ['-t', 'ext4', '-O', 'ea_inode'];

async function fill(root: string): Promise<void> {
  const file = (name: string | Buffer, content: string | Uint8Array): void => {
    const place = typeof name === 'string' ? Buffer.from(name) : name;
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), place]), content);
  };
  mkdirSync(`${root}/d/e/f`, { recursive: true });
  file('a', 'hello');
  linkSync(`${root}/a`, `${root}/d/twin`);
  file('d/large', randomBytes(5 * MIB + 17, 1));
  file('d/sparse', 'head');
  truncateSync(`${root}/d/sparse`, 30 * MIB);
  file('d/line\nbreak', 'n');
  file('d/\x1b[31mred\u202etxt', 'e');
  file(Buffer.from([0x64, 0x2f, 0xff, 0xfe, 0x80]), 'bytes');
  file(`d/${'x'.repeat(255)}`, 'long');
  file('d/caf\u00e9', 'NFC');
  file('d/cafe\u0301', 'NFD');
  file('d/CON', 'reserved elsewhere');
  file('d/suid', 'x');
  chownSync(`${root}/d/suid`, 1234, 5678);
  chmodSync(`${root}/d/suid`, 0o6751);
  symlinkSync('/etc/passwd', `${root}/d/out`);
  symlinkSync('../../../../../etc', `${root}/d/up`);
  symlinkSync('loop', `${root}/d/loop`);
  mkdirSync(`${root}/sticky`);
  chmodSync(`${root}/sticky`, 0o1777);
  await run('mknod', [`${root}/d/null`, 'c', '1', '3']);
  await run('mkfifo', [`${root}/d/pipe`]);
  await run('setfattr', ['-n', 'user.note', '-v', '0x00ff0a', `${root}/a`]);
  await run('setfacl', ['-m', 'u:4321:rwx,g:77:r', `${root}/d/large`]);
  await run('setfacl', ['-d', '-m', 'u:99:r', `${root}/d/e`]);
}

/** Directories' sizes are the file system's own affair. */
function comparable(listing: Listing, keep: (file: string) => boolean = () => true): unknown {
  return [...listing]
    .filter(([file]) => !file.startsWith('/lost+found') && keep(file))
    .map(([file, found]) => [file, found.kind === 'directory' ? { ...found, size: 0 } : found])
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
}

async function attributesOf(folder: string): Promise<string> {
  const { stdout } = await run('getfattr', ['-R', '-h', '-d', '-m', '-', '-e', 'hex', '.'], {
    cwd: folder,
  });
  const parts = stdout.split('\n\n').filter((part) => !part.includes('lost+found'));
  return parts.sort().join('\n\n');
}

async function capture(cli: Cli, scratch: Scratch, image: string): Promise<string> {
  const repository = scratch.file('repository');
  await cli.json('init', repository);
  await cli.json('capture', repository, image, '--machine', 'web01', '--format', 'raw');
  return repository;
}

describe('cp', () => {
  it('gives with --acls --devices what the kernel shows', async (context) => {
    using scratch = new Scratch();
    const missing = await LoopDevice.missing(scratch.file('loop'));
    context.skip(missing !== undefined, missing);
    context.skip(findTool('setfacl') === undefined, 'setfacl not installed');
    const image = await makeExt(scratch.path, 'disk', { sizeBytes: 128 * MIB, mkfs: EXT, fill });
    const cli = new Cli(scratch);
    const repository = await capture(cli, scratch, image);
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
    const missing = await LoopDevice.missing(scratch.file('loop'));
    context.skip(missing !== undefined, missing);
    const image = await makeExt(scratch.path, 'disk', { sizeBytes: 128 * MIB, mkfs: EXT, fill });
    const cli = new Cli(scratch);
    const repository = await capture(cli, scratch, image);
    const out = scratch.file('out');
    const { status, stderr } = await cli.run('cp', '-r', repository, 'web01@latest:/d', out);
    expect(status).toBe(EXIT.ok);
    expect(stderr).toContain('2 device nodes');
    const suid = statSync(`${out}/suid`);
    expect([suid.mode & 0o7777, suid.uid]).toEqual([0o751, process.getuid?.()]);
    expect(readdirSync(out)).not.toContain('null');
  });

  it('copies one file into a folder, and overwrites only when told', async (context) => {
    using scratch = new Scratch();
    const missing = await LoopDevice.missing(scratch.file('loop'));
    context.skip(missing !== undefined, missing);
    const image = await makeExt(scratch.path, 'disk', {
      sizeBytes: 16 * MIB,
      mkfs: EXT,
      fill: (root) => writeFileSync(`${root}/report.txt`, 'from the backup'),
    });
    const cli = new Cli(scratch);
    const repository = await capture(cli, scratch, image);
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
      const repository = await capture(cli, scratch, made.imagePath);
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
    const missing = await LoopDevice.missing(scratch.file('loop'));
    context.skip(missing !== undefined, missing);
    const image = await makeExt(scratch.path, 'disk', {
      sizeBytes: 64 * MIB,
      mkfs: EXT,
      fill: (root) => {
        for (const name of ['a', 'b', 'c']) {
          writeFileSync(`${root}/${name}`, randomBytes(8 * MIB, name.charCodeAt(0)));
        }
      },
    });
    const cli = new Cli(scratch);
    const repository = await capture(cli, scratch, image);
    await damageBlockOf(repository, randomBytes(8 * MIB, 'b'.charCodeAt(0)).subarray(4 * MIB));
    const out = scratch.file('out');
    const { status, stderr } = await cli.run('cp', '-r', repository, 'web01@latest:/', out);
    expect(status).toBe(EXIT.corrupt);
    expect(stderr).toContain('/b');
    expect(readdirSync(out).sort()).toEqual(['a', 'c', 'lost+found']);
  });
});

/** Flips a byte of the pack record that holds these (incompressible) bytes as they are. */
async function damageBlockOf(repository: string, bytes: Uint8Array): Promise<void> {
  const wanted = Buffer.from(bytes.subarray(0, 64));
  const folder = mkdtempSync(path.join(tmpdir(), 'rehydrate-damage-'));
  try {
    const { stdout } = await run('find', [`${repository}/packs`, '-type', 'f']);
    for (const pack of stdout.trim().split('\n')) {
      const { stdoutBytes } = await run('cat', [pack]);
      const at = stdoutBytes.indexOf(wanted);
      if (at < 0) continue;
      stdoutBytes[at + 10] = (stdoutBytes[at + 10] as number) ^ 0xff;
      chmodSync(pack, 0o600);
      writeFileSync(pack, stdoutBytes);
      return;
    }
    throw new Error('no pack holds the bytes');
  } finally {
    rmSync(folder, { recursive: true });
  }
}
