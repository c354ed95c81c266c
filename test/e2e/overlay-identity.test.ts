/**
 * A new identity for a writable copy, judged by sgdisk, blkid and LVM. The loop devices that some of
 * it needs are made and taken down by each test itself.
 */
import { createHash } from 'node:crypto';
import { openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, isRestoreError } from '../../core/index.ts';
import { newIdentity } from '../../parsers/index.ts';
import { createOverlay, localFiles, type Overlay, writeDisk } from '../../store-writer/index.ts';
import { seededRandom } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { chooseSeed } from './command/harness.ts';

const SEED = chooseSeed();
const MIB = 1024 * 1024;
const META = {
  repositoryId: 'aa'.repeat(16),
  machine: 'm',
  pointId: 'bb'.repeat(16),
  diskId: 'disk0',
};
const LIMITS = { sizeLimitBytes: 64 * MIB, freeSpaceFloorBytes: 0 };

/** What is made in a partition: by which tool, and what `blkid` then calls the identifier. */
const CONTENTS = [
  { kind: 'ext2/3/4', tool: 'mkfs.ext4', args: ['-q', '-F'], sizeMib: 8 },
  { kind: 'NTFS', tool: 'mkfs.ntfs', args: ['-q', '-F', '-f'], sizeMib: 8 },
  { kind: 'FAT', tool: 'mkfs.fat', args: ['-F', '16'], sizeMib: 16 },
  { kind: 'FAT', tool: 'mkfs.fat', args: ['-F', '32'], sizeMib: 48 },
  { kind: 'swap', tool: 'mkswap', args: ['-q'], sizeMib: 8 },
  { kind: 'XFS', tool: 'mkfs.xfs', args: ['-q', '-f'], sizeMib: 320 },
  { kind: 'btrfs', tool: 'mkfs.btrfs', args: ['-q', '-f'], sizeMib: 128 },
] as const;

let scratch: Scratch;
let loops: string[] = [];
beforeEach((context) => {
  scratch = new Scratch();
  const own = CONTENTS.map(({ tool }) => tool).filter((tool) => context.task.name.includes(tool));
  for (const tool of ['sgdisk', 'blkid', ...own]) {
    context.skip(findTool(tool) === undefined, `${tool} is not installed`);
  }
});
afterEach(async () => {
  for (const loop of loops) await run('losetup', ['--detach', loop]);
  loops = [];
  scratch[Symbol.dispose]();
});

async function overlayOver(file: string, name: string): Promise<Overlay> {
  const base = await localFiles.open(file);
  return await createOverlay({ folder: scratch.file(name), base, meta: META, ...LIMITS });
}

/** A loop device, or `undefined` where none can be made. */
async function loopOf(file: string, sectorBytes: number): Promise<string | undefined> {
  try {
    const args = ['--find', '--show', '--sector-size', `${sectorBytes}`, file];
    const { stdout } = await run('losetup', args);
    loops.push(stdout.trim());
    return stdout.trim();
  } catch (error) {
    if (isRestoreError(error)) return undefined;
    throw error;
  }
}

/** A disk with a partition for each tool that is there. */
async function makeGptDisk(file: string): Promise<(typeof CONTENTS)[number][]> {
  const made = CONTENTS.filter(({ tool }) => findTool(tool) !== undefined);
  const sizeMib = made.reduce((sum, each) => sum + each.sizeMib, 4);
  writeFileSync(file, '');
  truncateSync(file, sizeMib * MIB);
  const parts = made.flatMap(({ sizeMib: size }, index) => ['-n', `${index + 1}:0:+${size}M`]);
  await run('sgdisk', [...parts, file]);
  const target = openSync(file, 'r+');
  let offset = MIB;
  for (const [index, { tool, args, sizeMib: size }] of made.entries()) {
    const part = scratch.file(`part${index}`);
    writeFileSync(part, '');
    truncateSync(part, size * MIB);
    await run(tool, [...args, part]);
    writeSync(target, readFileSync(part), 0, size * MIB, offset);
    offset += size * MIB;
  }
  return made;
}

async function blkid(file: string, offset: number, tag: string): Promise<string> {
  const args = ['-p', '-O', `${offset}`, '-o', 'value', '-s', tag, file];
  const { stdout } = await run('blkid', args);
  return stdout.trim();
}

async function guidsOf(disk: string, count: number): Promise<string[]> {
  const print = await run('sgdisk', ['-p', disk]);
  const guids = [/identifier \(GUID\): (\S+)/.exec(print.stdout)?.[1] ?? 'none'];
  for (let number = 1; number <= count; number += 1) {
    const { stdout } = await run('sgdisk', ['-i', `${number}`, disk]);
    guids.push(/unique GUID: (\S+)/.exec(stdout)?.[1] ?? 'none');
  }
  return guids.map((guid) => guid.toLowerCase());
}

const hashOf = (file: string): string =>
  createHash('sha256').update(readFileSync(file)).digest('hex');

describe('a new identity', () => {
  it('replaces all GUIDs of a GPT, in both copies, and names what else would clash', async () => {
    const disk = scratch.file('disk.raw');
    const made = await makeGptDisk(disk);
    const before = { hash: hashOf(disk), guids: await guidsOf(disk, made.length) };
    const overlay = await overlayOver(disk, 'overlay');
    const report = await newIdentity(overlay);
    const copy = scratch.file('copy.raw');
    await writeDisk(overlay, copy);
    // The tables and nothing else: at most 34 sectors at each end.
    expect(overlay.usedBytes).toBeLessThanOrEqual(48 * 1024);
    await overlay.close();
    expect(hashOf(disk)).toBe(before.hash);

    const { stdout } = await run('sgdisk', ['-v', copy]);
    expect(stdout).toContain('No problems found');
    const after = await guidsOf(copy, made.length);
    expect(report.scheme).toBe('gpt');
    expect(report.changed.map((each) => each.before)).toEqual(before.guids);
    expect(report.changed.map((each) => each.after)).toEqual(after);
    expect(new Set([...before.guids, ...after]).size).toBe(2 * (made.length + 1));
    expect((await blkid(copy, 0, 'PTUUID')).toLowerCase()).toBe(after[0]);

    expect(report.clashes.map(({ kind }) => kind)).toEqual(made.map(({ kind }) => kind));
    for (const { offset, value, partition } of report.clashes) {
      expect(value, `partition ${partition}`).toBe(await blkid(copy, offset, 'UUID'));
    }
    // The backup copy alone is enough, and right.
    const target = openSync(copy, 'r+');
    writeSync(target, new Uint8Array(33 * 512), 0, 33 * 512, 512);
    const { stdout: recovered } = await run('sgdisk', ['-p', copy]);
    expect(recovered.toLowerCase()).toContain(after[0]);
  });

  it('replaces the GUIDs of a GPT with sectors of 4096 bytes', async (context) => {
    const disk = scratch.file('disk.raw');
    writeFileSync(disk, '');
    truncateSync(disk, 64 * MIB);
    const loop = await loopOf(disk, 4096);
    context.skip(loop === undefined, 'loop devices cannot be made here');
    await run('sgdisk', ['-n', '1:0:+8M', '-n', '2:0:+8M', loop as string]);
    const before = await guidsOf(loop as string, 2);
    const overlay = await overlayOver(loop as string, 'overlay');
    expect(overlay.sectorSize).toBe(4096);
    const report = await newIdentity(overlay);
    const copy = scratch.file('copy.raw');
    await writeDisk(overlay, copy);
    await overlay.close();
    const copyLoop = (await loopOf(copy, 4096)) as string;
    const { stdout } = await run('sgdisk', ['-v', copyLoop]);
    expect(stdout).toContain('No problems found');
    const after = await guidsOf(copyLoop, 2);
    expect(report.changed.map((each) => each.before)).toEqual(before);
    expect(report.changed.map((each) => each.after)).toEqual(after);
  });

  it('replaces the signature of an MBR, and that of a protective one if it has any', async () => {
    const disk = scratch.file('disk.raw');
    writeFileSync(disk, '');
    truncateSync(disk, 64 * MIB);
    await run('sgdisk', ['-n', '1:0:+8M', '-n', '2:0:+8M', disk]);
    const mark = openSync(disk, 'r+');
    writeSync(mark, Buffer.from('12345678', 'hex'), 0, 4, 440);
    const hybrid = await overlayOver(disk, 'hybrid');
    const marked = await newIdentity(hybrid);
    expect(marked.changed.at(-1)).toMatchObject({ before: '78563412', what: 'MBR disk signature' });
    await hybrid.close();

    await run('sgdisk', ['-m', '1:2', disk]);
    writeSync(mark, Buffer.from('12345678', 'hex'), 0, 4, 440);
    const before = await blkid(disk, 0, 'PTUUID');
    const overlay = await overlayOver(disk, 'overlay');
    const report = await newIdentity(overlay);
    const copy = scratch.file('copy.raw');
    await writeDisk(overlay, copy);
    await overlay.close();
    const [change] = report.changed;
    expect(report).toMatchObject({ scheme: 'mbr', changed: [{ before }] });
    expect(await blkid(copy, 0, 'PTUUID')).toBe(change?.after);
    expect(change?.after).not.toBe(before);
    const [left, right] = [readFileSync(disk), readFileSync(copy)];
    left.fill(0, 440, 444);
    right.fill(0, 440, 444);
    expect(left.equals(right)).toBe(true);
  });

  it('names the identifiers of LVM', async (context) => {
    context.skip(findTool('vgcreate') === undefined, 'lvm2 is not installed');
    const disk = scratch.file('disk.raw');
    writeFileSync(disk, '');
    truncateSync(disk, 32 * MIB);
    const loop = await loopOf(disk, 512);
    context.skip(loop === undefined, 'loop devices cannot be made here');
    const group = `rehydrate-test-${process.pid}`;
    const only = ['--devices', loop as string];
    await run('vgcreate', ['--quiet', ...only, group, loop as string]);
    const ask = ['--noheadings', '-o', 'pv_uuid,vg_uuid', ...only];
    const [volume, uuid] = (await run('pvs', ask)).stdout.trim().split(/\s+/);
    const overlay = await overlayOver(disk, 'overlay');
    const report = await newIdentity(overlay);
    await overlay.close();
    expect(report.scheme).toBe('none');
    expect(report.changed).toEqual([]);
    expect(report.clashes).toMatchObject([
      { kind: 'LVM', name: 'physical volume UUID', value: volume },
      { kind: 'LVM', name: `UUID of volume group ${group}`, value: uuid },
    ]);
  });

  it.each(CONTENTS)(
    'takes what $tool $args makes for no partition table, and names its identifier',
    async ({ kind, tool, args, sizeMib }) => {
      const disk = scratch.file('disk.raw');
      writeFileSync(disk, '');
      truncateSync(disk, sizeMib * MIB);
      await run(tool, [...args, disk]);
      const overlay = await overlayOver(disk, 'overlay');
      const report = await newIdentity(overlay);
      expect(report).toMatchObject({ scheme: 'none', changed: [] });
      const value = await blkid(disk, 0, 'UUID');
      expect(report.clashes).toMatchObject([{ kind, value, offset: 0 }]);
      expect(overlay.changedRanges()).toEqual([]);
      await overlay.close();
    },
  );
});

describe(`a damaged partition table, seed ${SEED}`, () => {
  it('is CORRUPT wherever a byte of either copy has changed, and stays as it is', async () => {
    const disk = scratch.file('disk.raw');
    writeFileSync(disk, '');
    truncateSync(disk, 4 * MIB);
    await run('sgdisk', ['-n', '1:0:+1M', disk]);
    const good = readFileSync(disk);
    const last = good.length - 512;
    // Header up to its 92 bytes, and the array of 128 entries: of the primary, then of the backup.
    const regions = [
      { at: 512, length: 92 },
      { at: 1024, length: 128 * 128 },
      { at: last, length: 92 },
      { at: last - 128 * 128, length: 128 * 128 },
    ];
    const random = seededRandom(SEED);
    for (let round = 0; round < 160; round += 1) {
      const { at, length } = regions[round % 4] as { at: number; length: number };
      const place = at + Math.floor(random() * length);
      const bad = Buffer.from(good);
      bad.writeUInt8(bad.readUInt8(place) ^ (1 << Math.floor(random() * 8)), place);
      const base = new BytesSource(bad);
      const folder = scratch.file(`overlay${round}`);
      const overlay = await createOverlay({ folder, base, meta: META, ...LIMITS });
      await expect(newIdentity(overlay), `byte ${place}`).rejects.toSatisfy(
        (e) => isRestoreError(e, 'CORRUPT') || isRestoreError(e, 'UNSUPPORTED'),
      );
      expect(overlay.changedRanges()).toEqual([]);
      await overlay.close();
    }
  });

  it('of random bytes is read to the end, or refused with an error of ours', async () => {
    const random = seededRandom(SEED + 1);
    const disk = scratch.file('disk.raw');
    writeFileSync(disk, '');
    truncateSync(disk, 4 * MIB);
    await run('sgdisk', ['-n', '1:0:+1M', disk]);
    await run('sgdisk', ['-m', '1', disk]);
    const good = readFileSync(disk);
    for (let round = 0; round < 200; round += 1) {
      const bad = Buffer.from(good);
      // The table of the boot record, extended partitions in circles included, and what it points to.
      for (let hits = 0; hits < 12; hits += 1) {
        bad.writeUInt8(Math.floor(random() * 256), 446 + Math.floor(random() * 64));
      }
      for (const entry of [446, 462, 478, 494]) bad.writeUInt8(random() < 0.5 ? 0 : 0x80, entry);
      bad.writeUInt8(random() < 0.5 ? 0x05 : 0x0f, 450);
      bad.copy(bad, MIB, 0, 512);
      bad.write('LABELONE', MIB + 512 * Math.floor(random() * 4), 'latin1');
      const folder = scratch.file(`overlay${round}`);
      const overlay = await createOverlay({
        folder,
        base: new BytesSource(bad),
        meta: META,
        ...LIMITS,
      });
      await newIdentity(overlay).catch((error: unknown) => {
        expect(error).toSatisfy((e) => isRestoreError(e));
      });
      await overlay.close();
    }
  });
});
