/**
 * Volumes in their places: tables of `/etc` as findmnt and dmsetup read them, registry hives as hivex
 * writes and reads them, and whole machines made with the stock tools.
 */
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isRestoreError } from '../../core/index.ts';
import {
  findVolumes,
  type MachineVolumes,
  openFileSystem,
  placeVolumes,
  resolveVolume,
} from '../../parsers/index.ts';
import { localFiles } from '../../store-writer/index.ts';
import { makeLinuxServer } from '../fixtures/disks/index.ts';
import { Scratch } from '../fixtures/repository.ts';
import { run } from '../fixtures/tools/index.ts';
import { writeHive } from '../fixtures/volumes/index.ts';
import { MIB, missingTool } from './image-support.ts';

const reason = missingTool(
  'sgdisk',
  'sfdisk',
  'mkfs.ext4',
  'debugfs',
  'mkntfs',
  'ntfs-3g',
  'hivexregedit',
);
let scratch: Scratch;
beforeEach((context) => {
  context.skip(reason !== undefined, reason);
  scratch = new Scratch();
});
afterEach(() => scratch?.[Symbol.dispose]());

async function find(...files: readonly string[]): Promise<MachineVolumes> {
  const opened = await Promise.all(files.map((file) => localFiles.open(file)));
  return await findVolumes(opened.map((source, index) => ({ id: `disk${index}`, source })));
}

const place = (machine: MachineVolumes) =>
  placeVolumes(machine, (volume) => openFileSystem(volume.open()));

/** Writes what a volume holds to its place on a disk file. */
function put(disk: string, offset: number, content: Uint8Array): void {
  const bytes = readFileSync(disk);
  bytes.set(content, offset);
  writeFileSync(disk, bytes);
}

async function ext4With(
  files: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Promise<Buffer> {
  const image = scratch.file('ext4');
  const folder = scratch.file('files');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(`${folder}/etc`, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(`${folder}/etc/${name}`, text);
  writeFileSync(image, '');
  truncateSync(image, 8 * MIB);
  await run('mkfs.ext4', ['-q', '-F', ...args, '-d', folder, image]);
  return readFileSync(image);
}

/** An NTFS volume with a SYSTEM hive, made through ntfs-3g. */
async function ntfsWith(values: readonly { name: string; data: Uint8Array }[]): Promise<Buffer> {
  const image = scratch.file('ntfs');
  const mount = scratch.file('mount');
  mkdirSync(mount);
  writeFileSync(image, '');
  truncateSync(image, 8 * MIB);
  await run('mkntfs', ['-q', '-F', '-f', '-L', 'System', image]);
  await run('ntfs-3g', [image, mount]);
  try {
    const folder = `${mount}/Windows/System32/config`;
    mkdirSync(folder, { recursive: true });
    const hive = scratch.file('hive');
    await writeHive(hive, 'MountedDevices', values);
    writeFileSync(`${folder}/SYSTEM`, readFileSync(hive));
  } finally {
    await run('fusermount', ['-u', mount]);
  }
  return readFileSync(image);
}

function guidBytes(guid: string): Buffer {
  const [a = '', b = '', c = '', ...rest] = guid.split('-');
  const swapped = [a, b, c].map((part) => Buffer.from(part, 'hex').toReversed());
  return Buffer.concat([...swapped, Buffer.from(rest.join(''), 'hex')]);
}

function mbrTarget(signature: number, offset: number): Buffer {
  const data = Buffer.alloc(12);
  data.writeUInt32LE(signature, 0);
  data.writeBigUInt64LE(BigInt(offset), 4);
  return data;
}

const FSTAB = [
  '# a comment, and a line without a place:',
  'nothing',
  'PARTLABEL=wurzel / ext4 errors=remount-ro 0 1',
  'LABEL=mit\\040Blank /srv/mit\\040Blank ext4 defaults 0 2',
  'UUID=11111111-2222-3333-4444-555555555555 /gone ext4 defaults 0 2',
  '/dev/mapper/geheim /geheim ext4 defaults 0 2',
  '/dev/sdb1 /daten ext4 defaults 0 2',
  'server:/export /netz nfs defaults 0 0',
  '/srv /auch none bind 0 0',
  'proc /proc proc defaults 0 0',
  '/dev/sdb2 none swap sw 0 0',
].join('\n');

async function linuxMachine(): Promise<MachineVolumes> {
  const [first, second] = [scratch.file('first'), scratch.file('second')];
  for (const file of [first, second]) {
    writeFileSync(file, '');
    truncateSync(file, 40 * MIB);
  }
  await run('sgdisk', [
    '-n',
    '1:2048:+8M',
    '-c',
    '1:wurzel',
    '-n',
    '2:0:+8M',
    '-n',
    '3:0:+8M',
    first,
  ]);
  await run('sfdisk', ['--quiet', second], { input: 'label: dos\nstart=2048, size=16384\n' });
  const crypttab = '# name device\ngeheim PARTLABEL=fehlt none luks\n';
  put(first, MIB, await ext4With({ fstab: FSTAB, crypttab }));
  put(first, 9 * MIB, await ext4With({ hosts: '' }, '-L', 'mit Blank'));
  put(second, MIB, await ext4With({ hosts: '' }));
  return await find(first, second);
}

describe('a Linux machine', () => {
  it('has its volumes where its fstab, as findmnt reads it, has them', async () => {
    const machine = await linuxMachine();
    const { mounts, unplaced, findings } = await place(machine);
    expect(mounts).toEqual([
      { at: '/', volume: 'disk0/p1', how: 'by PARTLABEL' },
      { at: '/daten', volume: 'disk1/p1', how: 'by the order of the disks' },
      { at: '/srv/mit Blank', volume: 'disk0/p2', how: 'by label' },
    ]);
    expect(findings).toEqual([]);
    expect(Object.fromEntries(unplaced.map(({ at, why }) => [at, why]))).toEqual({
      '/gone': 'no disk of this restore point has such a volume',
      '/geheim': expect.stringContaining('encrypted'),
      '/netz': 'on the network',
      '/auch': 'another view of /srv',
    });
    const file = scratch.file('fstab');
    writeFileSync(file, FSTAB.replace('nothing\n', ''));
    const { stdout } = await run('findmnt', [
      '--tab-file',
      file,
      '--json',
      '-o',
      'SOURCE,TARGET,FSTYPE',
    ]);
    const rows = (JSON.parse(stdout) as { filesystems: { target: string; fstype: string }[] })
      .filesystems;
    const theirs = rows.filter(({ fstype, target }) => fstype !== 'proc' && target !== 'none');
    expect([...mounts, ...unplaced].map(({ at }) => at).sort()).toEqual(
      theirs.map(({ target }) => target).sort(),
    );
  });

  it('is not guessed where a label fits two volumes', async () => {
    const machine = await linuxMachine();
    const first = scratch.file('first');
    put(first, 17 * MIB, await ext4With({ hosts: '' }, '-L', 'mit Blank'));
    const { mounts, unplaced } = await place(await find(first, scratch.file('second')));
    expect(mounts.map(({ at }) => at)).not.toContain('/srv/mit Blank');
    expect(unplaced.find(({ at }) => at === '/srv/mit Blank')?.why).toContain('disk0/p2, disk0/p3');
    expect(machine.volumes).toHaveLength(4);
  });

  it('made of logical volumes and an EFI partition is put together', async () => {
    const path = scratch.file('server');
    await makeLinuxServer({ path, sizeBytes: 256 * MIB, contentBytes: 2 * MIB, fileCount: 40 });
    const machine = await find(path);
    const { mounts, unplaced } = await place(machine);
    expect(unplaced).toEqual([]);
    expect(mounts.map(({ at, how }) => [at, how])).toEqual([
      ['/', 'by logical volume'],
      ['/srv', 'by logical volume'],
      ['/boot/efi', 'by UUID'],
    ]);
    for (const { at, volume } of mounts) {
      const text = volume.split('/').at(-1) ?? '';
      const { content } = resolveVolume(machine, { volume: text });
      expect({ at, isReadable: content.isReadable }).toEqual({ at, isReadable: true });
    }
  });
});

describe('a Windows machine', () => {
  const GUIDS = [
    '0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9',
    '11223344-5566-7788-99aa-bbccddeeff00',
  ] as const;

  it('has its volumes at their drive letters, by partition GUID and by signature', async () => {
    const [first, second] = [scratch.file('first'), scratch.file('second')];
    for (const file of [first, second]) {
      writeFileSync(file, '');
      truncateSync(file, 40 * MIB);
    }
    await run('sgdisk', ['-n', '1:2048:+16M', '-u', `1:${GUIDS[0]}`, first]);
    const script = 'label: dos\nlabel-id: 0xcafe0123\nstart=2048, size=16384, type=7\n';
    await run('sfdisk', ['--quiet', second], { input: script });
    const gpt = (guid: string): Buffer => Buffer.concat([Buffer.from('DMIO:ID:'), guidBytes(guid)]);
    const cd = Buffer.from('\\??\\SCSI#CdRom&Ven_QEMU', 'utf16le');
    const system = await ntfsWith([
      { name: '\\DosDevices\\C:', data: gpt(GUIDS[0]) },
      { name: '\\DosDevices\\D:', data: mbrTarget(0xcafe0123, MIB) },
      { name: '\\DosDevices\\E:', data: cd },
      { name: '\\DosDevices\\F:', data: gpt(GUIDS[1]) },
      { name: '\\??\\Volume{deadbeef}', data: gpt(GUIDS[0]) },
    ]);
    put(first, MIB, system);
    const machine = await find(first, second);
    const places = await place(machine);
    expect(places.mounts).toEqual([
      { at: 'C:', volume: 'disk0/p1', how: 'by drive letter' },
      { at: 'D:', volume: 'disk1/p1', how: 'by drive letter' },
    ]);
    expect(places.unplaced.map(({ at }) => at).sort()).toEqual(['E:', 'F:']);
    expect(resolveVolume(machine, { disk: 'd:' }, places.mounts).id).toBe('disk1/p1');
    expect(resolveVolume(machine, { disk: 'disk0', volume: 'C' }, places.mounts).id).toBe(
      'disk0/p1',
    );
  });
});

describe('a wish for a volume', () => {
  it('is met by whatever names one, and refused with what there is', async () => {
    const machine = await linuxMachine();
    for (const volume of ['2', 'p2', 'mit Blank']) {
      expect(resolveVolume(machine, { disk: 'disk0', volume }).id).toBe('disk0/p2');
    }
    expect(resolveVolume(machine, { disk: 'disk1' }).id).toBe('disk1/p1');
    expect(resolveVolume(machine, { volume: 'wurzel' }).id).toBe('disk0/p1');
    const [, blank] = machine.volumes;
    expect(resolveVolume(machine, { volume: blank?.content.uuid }).id).toBe('disk0/p2');
    const errorOf = (disk: string | undefined, volume?: string): { code: string; hint: string } => {
      try {
        resolveVolume(machine, { disk, volume });
      } catch (error) {
        if (isRestoreError(error)) return { code: error.code, hint: error.hint ?? '' };
        throw error;
      }
      throw new Error('nothing was thrown');
    };
    expect(errorOf('disk0', 'p9')).toMatchObject({
      code: 'NOT_FOUND',
      hint: expect.stringContaining('disk0/p3'),
    });
    expect(errorOf('disk0', 'mit Blnk').hint).toContain('Did you mean mit Blank?');
    expect(errorOf('disk0')).toMatchObject({
      code: 'INVALID',
      hint: expect.stringContaining('disk0/p1'),
    });
    expect(errorOf(undefined, 'p1')).toMatchObject({
      code: 'INVALID',
      hint: expect.stringContaining('disk1/p1'),
    });
  });
});
