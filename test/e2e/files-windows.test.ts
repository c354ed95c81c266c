/** A Windows machine of two disks by its drive letters, its junctions and its links. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makePartitionedDisk, storeVolume } from '../fixtures/disks/disk-file.ts';
import { MIB } from '../fixtures/disks/index.ts';
import { fixedUuid } from '../fixtures/disks/random.ts';
import { missingForNtfs } from '../fixtures/file-systems/index.ts';
import { reparseValue, twoNamesData } from '../fixtures/file-systems/ntfs-links.ts';
import { makeNtfsVolume, setAttribute } from '../fixtures/file-systems/ntfs-volume.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool } from '../fixtures/tools/index.ts';
import { writeHive } from '../fixtures/volumes/index.ts';
import { Cli, EXIT } from './command/harness.ts';

const VOLUME_BYTES = 24 * MIB;
const START_BYTES = MIB;
const JUNCTION = 0xa0000003;
const SYMLINK = 0xa000000c;
const RELATIVE = 1;

const scratch = new Scratch();
const cli = new Cli(scratch);
const repository = scratch.file('repository');
let missing: string | undefined;

/** Name, tag, target, and the flags that symbolic links have. */
const LINKS: readonly (readonly [name: string, tag: number, target: string, flags?: number])[] = [
  ['Documents and Settings', JUNCTION, '\\??\\C:\\Users'],
  ['Shared', JUNCTION, '\\??\\D:\\Data'],
  ['Lost', JUNCTION, '\\??\\E:\\Gone'],
  ['Round', JUNCTION, '\\??\\C:\\Round'],
  ['Relative', SYMLINK, 'Users\\eva', RELATIVE],
  ['Rooted', SYMLINK, '\\Users\\eva', RELATIVE],
  ['Server', SYMLINK, '\\??\\UNC\\server\\share', 0],
];

async function makeDisk(name: string, fill: (root: string) => Promise<void>): Promise<string> {
  const disk = scratch.file(`${name}.raw`);
  const range = { startBytes: START_BYTES, sizeBytes: VOLUME_BYTES };
  await makePartitionedDisk(disk, VOLUME_BYTES + 2 * MIB, name, [
    { ...range, name: 'Basic data partition', typeCode: '0700' },
  ]);
  const volume = scratch.file(`${name}.ntfs`);
  await makeNtfsVolume(volume, { sizeBytes: VOLUME_BYTES }, fill);
  await storeVolume(volume, disk, { sizeBytes: VOLUME_BYTES, ranges: [range] });
  return disk;
}

async function fillSystem(root: string): Promise<void> {
  const config = path.join(root, 'Windows/System32/config');
  mkdirSync(config, { recursive: true });
  const hive = scratch.file('SYSTEM');
  const letter = (name: string, disk: string) => ({
    name: `\\DosDevices\\${name}`,
    data: Buffer.concat([Buffer.from('DMIO:ID:'), guidBytes(fixedUuid(disk, 'partition 1'))]),
  });
  await writeHive(hive, 'MountedDevices', [letter('C:', 'system'), letter('D:', 'data')]);
  copyFileSync(hive, path.join(config, 'SYSTEM'));
  mkdirSync(path.join(root, 'Users/eva'), { recursive: true });
  writeFileSync(path.join(root, 'Users/eva/Notes.txt'), 'notes of Eva\r\n');
  for (const [name, tag, target, flags] of LINKS) {
    const place = path.join(root, name);
    mkdirSync(place);
    const print = target.replace('\\??\\', '');
    await setAttribute(
      place,
      'system.ntfs_reparse_data',
      reparseValue(tag, twoNamesData(target, print, flags)),
    );
  }
}

async function fillData(root: string): Promise<void> {
  mkdirSync(path.join(root, 'Data'));
  writeFileSync(path.join(root, 'Data/sales.txt'), 'sales\r\n');
}

/** A GUID as Windows stores it: its first three parts turned around. */
function guidBytes(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex');
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

beforeAll(async () => {
  missing =
    missingForNtfs() ?? (findTool('hivexregedit') ? undefined : 'hivexregedit not installed');
  if (missing !== undefined) return;
  const system = await makeDisk('system', fillSystem);
  const data = await makeDisk('data', fillData);
  await cli.json('init', repository);
  await cli.json('capture', repository, '--machine', 'sql02', system, data);
});
afterAll(() => scratch[Symbol.dispose]());

async function read(address: string): Promise<string> {
  const { status, stdout, stderr } = await cli.run('cat', repository, address);
  expect({ status, stderr }).toEqual({ status: EXIT.ok, stderr: '' });
  return stdout.toString();
}

describe('a Windows machine', () => {
  it('shows its drives, each where Windows had it', async (context) => {
    context.skip(missing !== undefined, missing);
    const { stdout } = await cli.run('ls', repository, 'sql02@latest:/');
    expect(stdout.toString()).toBe('C:\nD:\n');
    const drawn = (await cli.run('volumes', repository, 'sql02@latest')).stdout.toString();
    expect(drawn).toMatch(
      /disk0[^]*p1 .*NTFS .*at C: .*clean[^]*disk1[^]*p1 .*NTFS .*at D: .*clean/,
    );
  });

  it.for([
    'sql02@latest:C:/Users/eva/Notes.txt',
    'sql02@latest:C:\\Users\\eva\\Notes.txt',
    'sql02@latest:/c:/USERS/Eva/notes.TXT',
    'sql02@latest/C:/Users/eva/Notes.txt',
    'sql02@latest/disk0/p1:/Users/eva/Notes.txt',
    'sql02@latest/disk0/p1:\\users\\EVA\\notes.txt',
    'sql02@latest:\\C:\\Users\\eva\\Notes.txt',
    'sql02@latest:/C:/Documents and Settings/eva/Notes.txt',
    'sql02@latest/disk0:/Documents and Settings/eva/Notes.txt',
    'sql02@latest:C:/Relative/Notes.txt',
    'sql02@latest:C:/Rooted/Notes.txt',
    'sql02@latest:C:/Shared/../Users/eva/Notes.txt',
  ])('%s', async (address, context) => {
    context.skip(missing !== undefined, missing);
    // From where a junction led, `..` goes on: D: has no Users.
    if (address.includes('Shared')) {
      expect((await cli.failure('cat', repository, address)).status).toBe(EXIT.notFound);
      return;
    }
    expect(await read(address)).toBe('notes of Eva\r\n');
  });

  it.for([
    ['sql02@latest:\\Users\\eva', 'Begin with a drive: sql02@latest:C:/.'],
    ['sql02@latest:/Users', 'Begin with a drive: sql02@latest:C:/.'],
    ['sql02@latest:E:\\Users', 'Did you mean C: or D:?'],
    ['sql02@latest:C:\\Users\\eva\\Note.txt', 'Did you mean Notes.txt?'],
    ['sql02:C:\\Users', 'Write sql02@latest:/C:/Users.'],
  ] as const)('tells what to write for %s', async ([address, hint], context) => {
    context.skip(missing !== undefined, missing);
    const { status, stderr } = await cli.run('ls', repository, address);
    expect([status === EXIT.ok, stderr]).toEqual([false, expect.stringContaining(hint)]);
  });

  it('crosses drives by junctions', async (context) => {
    context.skip(missing !== undefined, missing);
    expect(await read('sql02@latest:C:/Shared/sales.txt')).toBe('sales\r\n');
    expect(await read('sql02@latest/disk0/p1:/Shared/sales.txt')).toBe('sales\r\n');
    expect(await read('sql02@latest/D:/Data/sales.txt')).toBe('sales\r\n');
  });

  it.for([
    ['Lost', 'NOT_FOUND', 3],
    ['Round', 'LIMIT', 11],
    ['Server', 'UNSUPPORTED', 6],
  ] as const)('says why %s leads nowhere', async ([name, code, expected], context) => {
    context.skip(missing !== undefined, missing);
    const { status, error } = await cli.failure('ls', repository, `sql02@latest:C:/${name}/x`);
    expect({ status, code: error.code }).toEqual({ status: expected, code });
  });
});
