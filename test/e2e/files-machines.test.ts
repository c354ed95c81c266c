/** Files of whole captured machines through the commands, against the kernel and ntfs-3g. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type DiskManifest,
  extractVolume,
  LINUX_FILES,
  makeLinuxServer,
  makeWindowsServer,
  manifestFile,
  MIB,
  volumeOf,
  WINDOWS_FILES,
} from '../fixtures/disks/index.ts';
import { withExtMounted } from '../fixtures/file-systems/ext.ts';
import {
  type ListedFile,
  type Listing,
  listMounted,
  missingForNtfs,
  withNtfsMounted,
} from '../fixtures/file-systems/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { Scratch } from '../fixtures/repository.ts';
import { Cli, EXIT, sha256 } from './command/harness.ts';
import { comparable, listByCommand } from './inspect/listing.ts';

const scratch = new Scratch();
const cli = new Cli(scratch);
const repository = scratch.file('repository');
let linux: DiskManifest;
let windows: DiskManifest;

beforeAll(async () => {
  linux = await makeLinuxServer({
    ...{ path: scratch.file('web01.raw'), hostname: 'web01', seed: 'files' },
    ...{ sizeBytes: 512 * MIB, fileCount: 300, contentBytes: 24 * MIB },
  });
  windows = await makeWindowsServer({
    ...{ path: scratch.file('files02.raw'), hostname: 'files02', seed: 'files' },
    ...{ sizeBytes: 256 * MIB, fileCount: 300, contentBytes: 24 * MIB },
  });
  await cli.json('init', repository);
  await cli.json('capture', repository, '--machine', 'web01', linux.path);
  await cli.json('capture', repository, '--machine', 'files02', windows.path);
});
afterAll(() => scratch[Symbol.dispose]());

/** The contents of files one behind the other, in the order of their paths. */
async function readAll(address: string, paths: readonly string[]): Promise<Buffer> {
  const { status, stdout, stderr } = await cli.run(
    ...['cat', repository, ...paths.map((file) => `${address}:${file}`)],
  );
  expect({ status, stderr }).toEqual({ status: EXIT.ok, stderr: '' });
  return stdout;
}

describe('a Linux server on LVM', () => {
  it.for(['root', 'srv'])('lists its volume %s as the kernel does', async (name, context) => {
    const missing = await LoopDevice.missing(scratch.file('loop'));
    context.skip(missing !== undefined, missing);
    const image = scratch.file(`${name}.img`);
    await extractVolume(linux.path, volumeOf(linux, name), image);
    await withExtMounted(image, 'loop,ro', async (root) => {
      const expected = listMounted(root);
      const address = `web01@latest/web01-vg/${name}`;
      const listing = await listByCommand(cli, repository, `${address}:/`);
      expect(listing.size).toBe(expected.size - 1);
      expect(comparable(listing)).toEqual(comparable(expected));
      const files = [...expected].filter(([, { kind }]) => kind === 'file').map(([file]) => file);
      const content = await readAll(address, files);
      const own = Buffer.concat(files.map((file) => readFileSync(path.join(root, file))));
      expect(sha256(content)).toBe(sha256(own));
    });
  });

  it('gives every file its planned bytes, holes as zeros', async () => {
    const root = linux.files.filter(({ volume }) => volume === 'root');
    const content = await readAll(
      'web01@latest/web01-vg/root',
      root.map((file) => file.path),
    );
    let at = 0;
    for (const file of root) {
      const own = content.subarray(at, at + file.sizeBytes);
      expect([file.path, sha256(own)]).toEqual([file.path, file.sha256]);
      at += file.sizeBytes;
    }
    expect(at).toBe(content.length);
    const holes = await readAll('web01@latest/web01-vg/root', ['/home/anna/template.img']);
    expect(holes).toHaveLength(8 * MIB);
    const text = Buffer.from('data in the middle of a hole\n');
    expect(holes.subarray(4 * MIB, 4 * MIB + text.length).equals(text)).toBe(true);
    expect(holes.subarray(0, 4 * MIB).every((byte) => byte === 0)).toBe(true);
    expect(holes.subarray(4 * MIB + text.length).every((byte) => byte === 0)).toBe(true);
  });

  it('crosses volumes by its own table of mounts, and follows its links', async () => {
    const contract = manifestFile(linux, LINUX_FILES.contract);
    expect(sha256(await readAll('web01@latest', [contract.path]))).toBe(contract.sha256);
    const database = manifestFile(linux, LINUX_FILES.database);
    const across = await readAll('web01@latest', [`/srv${database.path}`]);
    expect(sha256(across)).toBe(database.sha256);
    const page = manifestFile(linux, LINUX_FILES.homePage);
    const linked = await readAll('web01@latest', ['/home/anna/website/index.html']);
    expect(sha256(linked)).toBe(page.sha256);
  });

  it('draws its volumes with their health', async () => {
    const { stdout, status } = await cli.run('volumes', repository, 'web01@latest');
    expect(status).toBe(EXIT.ok);
    const drawn = stdout.toString();
    expect(drawn).toMatch(/disk0 .*512 MiB.*gpt/);
    expect(drawn).toMatch(/p1 .*FAT16 .*clean/);
    expect(drawn).toMatch(/p2 .*LVM2 physical volume/);
    expect(drawn).toMatch(/web01-vg\/root .*ext4 .*at \/ .*clean/);
    expect(drawn).toMatch(/web01-vg\/srv .*ext4 .*at \/srv .*clean/);
  });

  it('finds by name, size, type and time', async () => {
    const find = async (...conditions: readonly string[]): Promise<string[]> => {
      const args = ['find', repository, 'web01@latest/web01-vg/root:/', ...conditions];
      const { status, stdout } = await cli.run(...args);
      expect(status).toBe(EXIT.ok);
      return stdout.toString().split('\n').filter(Boolean).sort();
    };
    expect(await find('-name', 'fst?b')).toEqual(['/etc/fstab']);
    expect(await find('--iname', 'FSTAB', '-type', 'f')).toEqual(['/etc/fstab']);
    expect(await find('-name', 'template.img', '-size', '+4M')).toEqual([
      '/home/anna/template.img',
    ]);
    expect(await find('-name', 'template.img', '-size', '-8M')).toEqual([]);
    expect(await find('-type', 'l')).toEqual(['/etc/system-release', '/home/anna/website']);
    expect(await find('-newer', '2100-01-01T00:00:00Z')).toEqual([]);
    const large = linux.files.filter((f) => f.volume === 'root' && f.sizeBytes > 100 * 1024);
    const found = await find('-type', 'f', '-size', '+100k', '--print0');
    expect(found.join('').split('\0').filter(Boolean).sort()).toEqual(
      [...large.map((file) => file.path), '/home/anna/template.img'].sort(),
    );
  });
});

describe('a Windows server', () => {
  const address = 'files02@latest/disk0/p3';

  it('lists its files as ntfs-3g does, and reads the same bytes', async (context) => {
    const missing = missingForNtfs();
    context.skip(missing !== undefined, missing);
    const image = scratch.file('system.img');
    await extractVolume(windows.path, volumeOf(windows, 'system'), image);
    await withNtfsMounted(image, ['ro'], async (root) => {
      const expected = listMounted(root);
      const listing = await listByCommand(cli, repository, `${address}:/`);
      // Owners, modes and directories' sizes are ntfs-3g's own invention.
      const shape = (all: Listing): object =>
        Object.fromEntries(
          Object.entries(comparable(all)).map(([file, value]) => {
            const { kind, size, modified } = value as ListedFile;
            return [file, kind === 'file' ? { kind, size, modified } : { kind }];
          }),
        );
      expect(listing.size).toBeGreaterThan(200);
      expect(shape(listing)).toEqual(shape(expected));
      const files = [...expected].filter(([, { kind }]) => kind === 'file').map(([file]) => file);
      const own = Buffer.concat(files.map((file) => readFileSync(path.join(root, file))));
      expect(sha256(await readAll(address, files))).toBe(sha256(own));
    });
  });

  it('finds names whatever their case, and reads streams', async () => {
    const report = manifestFile(windows, WINDOWS_FILES.report);
    const shouted = await readAll(address, [report.path.toUpperCase()]);
    expect(sha256(shouted)).toBe(report.sha256);
    const download = `${address}:${WINDOWS_FILES.download}`;
    const stream = await cli.run('cat', repository, download, '--stream', 'Zone.Identifier');
    expect(stream.stdout.toString()).toBe('[ZoneTransfer]\r\nZoneId=3\r\n');
    const { stdout } = await cli.run('stat', repository, download);
    expect(stdout.toString()).toMatch(/stream: Zone\.Identifier, 26 bytes/);
    const none = await cli.failure('cat', repository, download, '--stream', 'nothing');
    expect(none.status).toBe(EXIT.notFound);
  });
});

describe('what is not there', () => {
  it.each([
    ['web01@latest/web01-vg/root:/etc/fstabb', 'fstab'],
    ['web01@latest/web01-vg/roto:/etc', 'root'],
    ['web01@latest/disk7:/etc', 'disk0'],
    ['web02@latest:/etc', 'web01'],
  ])('%s: not found, and what is near', async (address, near) => {
    for (const command of ['ls', 'cat', 'stat', 'tree', 'find']) {
      const { status, error } = await cli.failure(command, repository, address);
      expect([command, status]).toEqual([command, EXIT.notFound]);
      expect(error.hint).toContain(near);
    }
  });

  it('goes on with the rest, and says so by its status', async () => {
    const place = 'web01@latest/web01-vg/root';
    const addresses = [`${place}:/etc/hostname`, `${place}:/etc/nothing`, `${place}:/etc/fstab`];
    const { status, stdout, stderr } = await cli.run('cat', repository, ...addresses);
    expect(status).toBe(EXIT.notFound);
    expect(stdout.toString()).toBe(
      ['/etc/hostname', '/etc/fstab'].map((name) => manifestFile(linux, name).text).join(''),
    );
    expect(stderr).toContain('/etc/nothing');
  });

  it('a directory is no file, and a file no directory', async () => {
    const place = 'web01@latest/web01-vg/root';
    expect((await cli.failure('cat', repository, `${place}:/etc`)).status).toBe(EXIT.invalid);
    const through = await cli.failure('ls', repository, `${place}:/etc/fstab/x`);
    expect(through.status).toBe(EXIT.invalid);
  });
});
