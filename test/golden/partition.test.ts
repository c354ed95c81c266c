/**
 * Partition tables as sgdisk and sfdisk make them, read as `sfdisk --json` (libfdisk) and Sleuth Kit's
 * `mmls` read them; and the ways in which they break.
 */
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { borrowed, BytesSource, isRestoreError, type SectorSize } from '../../core/index.ts';
import { type DiskVolumes, findVolumes } from '../../parsers/index.ts';
import { Scratch } from '../fixtures/repository.ts';
import { run } from '../fixtures/tools/index.ts';
import { MIB, missingTool } from './image-support.ts';

const reason = missingTool('sgdisk', 'sfdisk', 'fdisk', 'mmls');
let scratch: Scratch;
let file: string;
beforeEach((context) => {
  context.skip(reason !== undefined, reason);
  scratch = new Scratch();
  file = scratch.file('disk');
});
afterEach(() => {
  scratch?.[Symbol.dispose]();
});

let made: Uint8Array | undefined;

/** A disk of 64 MiB with {@link GPT_PARTS}. Made once: sgdisk waits for the storage. */
async function gptDisk(): Promise<void> {
  writeFileSync(file, made ?? '');
  if (made !== undefined) return;
  truncateSync(file, 64 * MIB);
  await run('sgdisk', [...GPT_PARTS, file]);
  made = readFileSync(file);
}

async function sfdisk(sizeBytes: number, script: string): Promise<void> {
  writeFileSync(file, '');
  truncateSync(file, sizeBytes);
  await run('sfdisk', ['--quiet', '--force', file], { input: script });
}

async function ours(sectorSize: SectorSize = 512): Promise<DiskVolumes> {
  return await oursOf(readFileSync(file), sectorSize);
}

async function oursOf(bytes: Uint8Array, sectorSize: SectorSize = 512): Promise<DiskVolumes> {
  const source = new BytesSource(bytes, sectorSize);
  const { disks } = await findVolumes([{ id: 'disk0', source: borrowed(source) }]);
  return disks[0] as DiskVolumes;
}

interface Row {
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  readonly type?: string;
  readonly uuid?: string;
  readonly name?: string;
}

interface SfdiskTable {
  readonly label: string;
  readonly id: string;
  readonly sectorsize: number;
  readonly partitions: readonly {
    readonly node: string;
    readonly start: number;
    readonly size: number;
    readonly type: string;
    readonly uuid?: string;
    readonly name?: string;
  }[];
}

async function sfdiskTable(): Promise<SfdiskTable> {
  const { stdout } = await run('sfdisk', ['--json', file]);
  return (JSON.parse(stdout) as { partitiontable: SfdiskTable }).partitiontable;
}

const EXTENDED = new Set(['5', 'f', '85']);

/** What libfdisk lists, without the containers of logical partitions. */
async function theirs(): Promise<Row[]> {
  const table = await sfdiskTable();
  return table.partitions
    .filter(({ type }) => !EXTENDED.has(type))
    .map(({ node, start, size, type, uuid, name }) => ({
      number: Number(/\d+$/.exec(node.slice(file.length))?.[0]),
      offset: start * table.sectorsize,
      length: size * table.sectorsize,
      ...(table.label === 'gpt'
        ? { type: type.toLowerCase(), uuid: (uuid ?? '').toLowerCase(), name: name ?? '' }
        : { type: `0x${type.padStart(2, '0')}` }),
    }));
}

/** sfdisk of util-linux 2.38 cannot be told the sector size of a file; fdisk can. */
async function fdiskRows(): Promise<Row[]> {
  const columns = 'Start,Sectors,Type-UUID,UUID';
  const { stdout } = await run('fdisk', ['-l', '-b', '4096', '-o', columns, file]);
  const rows = stdout.matchAll(/^\s*(\d+)\s+(\d+)\s+([0-9A-F-]{36})\s+([0-9A-F-]{36})$/gm);
  return [...rows].map(([, start, sectors, type = '', uuid = ''], index) => ({
    number: index + 1,
    offset: Number(start) * 4096,
    length: Number(sectors) * 4096,
    ...{ type: type.toLowerCase(), uuid: uuid.toLowerCase(), name: '' },
  }));
}

function rowsOf({ volumes, table }: DiskVolumes): Row[] {
  return volumes.map(({ number = 0, offset = 0, length, partitionType, uuid, name }) => ({
    ...{ number, offset, length, type: partitionType?.id ?? '' },
    ...(table === 'gpt' ? { uuid, name } : {}),
  }));
}

/** Start and length in bytes of everything that `mmls` takes for a partition. */
async function mmls(): Promise<{ offset: number; length: number }[]> {
  const { stdout } = await run('mmls', [file]);
  const rows = stdout.matchAll(/^\d+:\s+(?:\d+|\d+:\d+)\s+(\d+)\s+\d+\s+(\d+)/gm);
  return [...rows].map(([, start, length]) => ({
    offset: Number(start) * 512,
    length: Number(length) * 512,
  }));
}

function placesOf({ volumes }: DiskVolumes): { offset: number; length: number }[] {
  return volumes.map(({ offset = 0, length }) => ({ offset, length }));
}

const GPT_PARTS = [
  ...['-n', '1:2048:+8M', '-c', '1:Größe 大', '-t', '1:ef00'],
  ...['-n', '3:0:+4M', '-t', '3:8e00', '-n', '128:0:+1M', '-t', '128:0700'],
];

describe('a GPT', () => {
  it('is read as sfdisk and mmls read it', async () => {
    await gptDisk();
    const disk = await ours();
    const table = await sfdiskTable();
    expect(disk).toMatchObject({ table: 'gpt', tableId: table.id.toLowerCase(), findings: [] });
    expect(rowsOf(disk)).toEqual(await theirs());
    expect(placesOf(disk)).toEqual(await mmls());
  });

  it('of 4096-byte sectors is read whatever sector size the image claims', async () => {
    writeFileSync(file, '');
    truncateSync(file, 64 * MIB);
    const input = 'g\nn\n1\n256\n+1023\nn\n2\n4096\n+2047\nw\n';
    await run('fdisk', ['-b', '4096', file], { input });
    const expected = await fdiskRows();
    expect(expected).toMatchObject([
      { number: 1, offset: MIB, length: 4 * MIB },
      { number: 2, offset: 16 * MIB, length: 8 * MIB },
    ]);
    const disk = await ours(4096);
    expect(disk.findings).toEqual([]);
    expect(rowsOf(disk)).toEqual(expected);
    const other = await ours(512);
    expect(rowsOf(other)).toEqual(expected);
    expect(other.findings[0]?.message).toContain('imaged from another kind of disk');
    expect(other.volumes[0]?.open().sectorSize).toBe(4096);
  });

  it.each([
    ['zeroed from the start', 0, 34 * 512],
    ['whose primary header is overwritten', 512, 512],
    ['whose primary entries are damaged', 1024, 3],
  ])('%s is read from its backup', async (_, offset, length) => {
    await gptDisk();
    const expected = await theirs();
    overwrite(offset, Buffer.alloc(length, offset === 0 ? 0 : 0xa5));
    const disk = await ours();
    expect(disk.table).toBe('gpt');
    expect(rowsOf(disk)).toEqual(expected);
    expect(disk.findings.map(({ message }) => message).join('\n')).toContain('backup GPT');
  });

  it('whose disk was enlarged has its backup where the primary says', async () => {
    await gptDisk();
    const expected = rowsOf(await ours());
    truncateSync(file, 80 * MIB);
    const disk = await ours();
    expect(rowsOf(disk)).toEqual(expected);
    expect(disk.findings).toEqual([]);
  });

  it('damaged in both copies lists what both name alike', async () => {
    await gptDisk();
    const expected = await theirs();
    // Entry 1 differs between the copies, entry 3 is as it was: both checksums fail.
    overwrite(1024 + 40, Buffer.from([9]));
    overwrite(64 * MIB - 33 * 512 + 41, Buffer.from([9]));
    const disk = await ours();
    expect(rowsOf(disk)).toEqual(expected.filter(({ number }) => number !== 1));
    expect(disk.findings.map(({ message }) => message)).toContainEqual(
      expect.stringContaining('both copies of the GPT are damaged'),
    );
  });

  it('gone in both copies is told, never shown as an empty disk', async () => {
    await gptDisk();
    overwrite(512, Buffer.alloc(33 * 512));
    overwrite(64 * MIB - 33 * 512, Buffer.alloc(33 * 512));
    const disk = await ours();
    expect(disk).toMatchObject({ table: 'gpt', volumes: [] });
    expect(disk.findings[0]?.message).toContain('both its copies are gone');
  });

  it('cut off in the middle lists what is beyond the end and refuses to open it', async () => {
    await gptDisk();
    const expected = await theirs();
    const cut = await oursOf(readFileSync(file).subarray(0, 10 * MIB));
    expect(rowsOf(cut)).toEqual(expected);
    expect(opening(cut, 0)).toBeUndefined();
    for (const index of [1, 2]) {
      expect(isRestoreError(opening(cut, index), 'CORRUPT')).toBe(true);
      expect(cut.volumes[index]?.findings[0]?.message).toContain('beyond the end of the disk');
    }
  });

  it('beside a hybrid boot record wins, as in Linux', async () => {
    await gptDisk();
    await run('sgdisk', ['-h', '1:3', file]);
    const disk = await ours();
    expect(disk.table).toBe('gpt');
    expect(rowsOf(disk)).toEqual(await theirs());
    expect(disk.findings[0]?.message).toContain('hybrid');
  });

  it('that no boot record announces loses against real partitions there', async () => {
    await gptDisk();
    const gpt = readFileSync(file);
    await sfdisk(64 * MIB, 'label: dos\nstart=4096, size=8192, type=83\n');
    overwrite(512, gpt.subarray(512, 34 * 512));
    const disk = await ours();
    expect(disk).toMatchObject({ table: 'mbr', volumes: [{ id: 'disk0/p1', offset: 4096 * 512 }] });
    expect(disk.findings[0]?.message).toContain('a GPT is there too');
  });

  it.each([
    ['number of entries', 80, 0xffff_ffff],
    ['size of an entry', 84, 0x8000_0000],
    ['size of an entry of zero', 84, 0],
  ])('with a hostile %s in both copies is refused at once', async (_, at, value) => {
    await gptDisk();
    for (const header of [512, 64 * MIB - 512]) {
      const word = Buffer.alloc(4);
      word.writeUInt32LE(value);
      overwrite(header + at, word);
    }
    const startedMs = performance.now();
    const disk = await ours();
    expect(disk).toMatchObject({ table: 'gpt', volumes: [] });
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });
});

describe('a boot record', () => {
  const LOGICAL = [
    'label: dos',
    'label-id: 0x12345678',
    '1: start=2048, size=4096, type=83, bootable',
    '3: start=10240, size=60000, type=f',
    '4: start=90000, size=2048, type=82',
    ...[5, 6, 7, 8].map((n) => `${n}: start=${12_288 + (n - 5) * 8192}, size=4096, type=8e`),
  ].join('\n');

  it('with logical partitions is read as sfdisk and mmls read it', async () => {
    await sfdisk(64 * MIB, LOGICAL);
    const disk = await ours();
    expect(disk).toMatchObject({ table: 'mbr', tableId: '12345678', findings: [] });
    expect(rowsOf(disk)).toEqual(await theirs());
    expect(disk.volumes.map(({ uuid }) => uuid)).toContain('12345678-05');
    const byOffset = placesOf(disk).sort((a, b) => a.offset - b.offset);
    expect(byOffset).toEqual((await mmls()).filter(({ offset }) => offset !== 10_240 * 512));
  });

  it('numbers logical partitions by their chain, as Linux does', async () => {
    // Made in descending order: the chain's order is not that of the disk.
    const parts = [4, 3, 2, 1].map(
      (n, index) => `${5 + index}: start=${10_240 + n * 8192}, size=2048`,
    );
    await sfdisk(
      64 * MIB,
      ['label: dos', '1: start=2048, size=100000, type=5', ...parts].join('\n'),
    );
    const expected = await theirs();
    expect(expected.map(({ number }) => number)).toEqual([5, 6, 7, 8]);
    expect(rowsOf(await ours())).toEqual(expected);
  });

  it('whose chain ends in itself ends', async () => {
    await sfdisk(64 * MIB, LOGICAL);
    const expected = rowsOf(await ours()).filter(({ number }) => number <= 5);
    // The second entry of the first chained record names that record again.
    const next = Buffer.alloc(4);
    overwrite(10_240 * 512 + 446 + 16 + 8, next);
    const disk = await ours();
    expect(rowsOf(disk)).toEqual(expected);
    expect(disk.findings[0]?.message).toContain('circle');
  });

  it('with partitions that overlap or end beyond the disk tells', async () => {
    await sfdisk(64 * MIB, 'label: dos\nstart=2048, size=4096\nstart=20480, size=4096\n');
    const sector = 454;
    const word = Buffer.alloc(4);
    word.writeUInt32LE(30_000);
    overwrite(sector + 4, word);
    word.writeUInt32LE(2 ** 31);
    overwrite(sector + 16 + 4, word);
    const disk = await ours();
    const messages = disk.findings.map(({ message }) => message);
    expect(messages).toContain('partitions 1 and 2 overlap');
    expect(messages).toContain('partition 2 reaches beyond the disk');
    expect(disk.volumes).toHaveLength(2);
    expect(isRestoreError(opening(disk, 1), 'CORRUPT')).toBe(true);
  });

  it('without partitions and without anything else says so', async () => {
    await sfdisk(64 * MIB, 'label: dos\n');
    const disk = await ours();
    expect(disk).toMatchObject({ table: 'mbr', volumes: [] });
    expect(disk.findings[0]?.message).toContain('no partitions');
  });
});

describe('a file system on a whole disk', () => {
  it('counts for more than the backup GPT that an earlier table left behind', async (context) => {
    const absent = missingTool('mkfs.ext4');
    context.skip(absent !== undefined, absent);
    await gptDisk();
    overwrite(0, Buffer.alloc(34 * 512));
    await run('mkfs.ext4', ['-q', '-F', file, '32M']);
    const disk = await ours();
    const content = { kind: 'file system', type: 'ext4' };
    expect(disk).toMatchObject({ table: 'none', volumes: [{ id: 'disk0/p1', content }] });
    expect(disk.findings.map(({ message }) => message)).toContain('the primary GPT is gone');
  });
});

describe('a partition', () => {
  it('reads as the bytes at its place, and closing it leaves the disk open', async () => {
    await gptDisk();
    const pattern = Buffer.from('a partition begins here, not one byte before');
    const [, second] = await theirs();
    overwrite(second?.offset ?? 0, pattern);
    const disk = await ours();
    for (let round = 0; round < 2; round += 1) {
      const source = disk.volumes[1]?.open();
      const target = Buffer.alloc(pattern.length);
      await source?.readInto(target, 0);
      expect(target.toString()).toBe(pattern.toString());
      expect(source?.size).toBe(second?.length);
      await source?.close();
    }
  });
});

function opening(disk: DiskVolumes, index: number): unknown {
  try {
    disk.volumes[index]?.open();
    return undefined;
  } catch (error) {
    return error;
  }
}

function overwrite(offset: number, bytes: Uint8Array): void {
  const target = openSync(file, 'r+');
  writeSync(target, bytes, 0, bytes.length, offset);
  closeSync(target);
}
