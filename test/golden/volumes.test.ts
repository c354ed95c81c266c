/**
 * What a volume is called, held against `blkid`: util-linux's own test images with what its tests expect
 * of them, and volumes that the stock tools make here.
 */
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource } from '../../core/index.ts';
import { findVolumes, resolveVolume, type Volume } from '../../parsers/index.ts';
import { localFiles } from '../../store-writer/index.ts';
import { Scratch } from '../fixtures/repository.ts';
import { run } from '../fixtures/tools/index.ts';
import { MIB, missingTool } from './image-support.ts';

const IMAGES = process.env['REHYDRATE_IMAGES'] ?? path.resolve('..', 'shared', 'images');
const BLKID = path.join(IMAGES, 'util-linux+util-linux', 'tests');
const IMAGES_FOLDER = path.join(BLKID, 'ts', 'blkid', 'images-fs');
const reason = existsSync(BLKID) ? missingTool('xz') : 'no foreign images';

/** blkid's word for each of ours, where it is not ours in lower case. */
const THEIR_TYPES: Readonly<Record<string, string>> = {
  ...{ FAT12: 'vfat', FAT16: 'vfat', FAT32: 'vfat', 'HFS+': 'hfsplus', 'ISO 9660': 'iso9660' },
  ...{ LUKS: 'crypto_luks', 'FileVault 2': 'cs_fvault2', LVM2: 'lvm2_member', ZFS: 'zfs_member' },
  ...{
    'MD RAID': 'linux_raid_member',
    'DDF RAID': 'ddf_raid_member',
    'Intel RAID': 'isw_raid_member',
  },
  ...{ 'LSI RAID': 'lsi_mega_raid_member', 'NVIDIA RAID': 'nvidia_raid_member' },
  ...{ 'Promise RAID': 'promise_fasttrack_raid_member', 'HighPoint RAID': 'hpt37x_raid_member' },
  ...{ 'Ceph BlueStore': 'ceph_bluestore', 'ext journal': 'jbd', 'XFS log': 'xfs_external_log' },
  ...{ 'VMFS volume': 'vmfs_volume_member', 'hibernation image': 'swsuspend' },
};

/** Images that are not recognised, on purpose: rare, or without a mark that would be safe to go by. */
const NOT_RECOGNISED: ReadonlySet<string> = new Set([
  ...['adaptec-raid', 'hpt45x-raid', 'jmicron-raid', 'silicon-raid', 'via-raid'], // weak marks
  ...['bfs', 'minix-BE', 'minix-LE'], // two bytes, or no known layout behind them
  ...['drbdmanage-control-volume', 'mpool', 'scoutfs_data', 'scoutfs_meta'],
]);

/** Discs that are UDF, as blkid has it, and ISO 9660 at once: taken as what can be read. */
const BRIDGES: ReadonlySet<string> = new Set(['udf', 'udf-cd-nero-6']);

/** Where label or UUID differ, and why. */
const DIFFERENT: Readonly<Record<string, string>> = {
  befs: 'its identifier is an attribute of the root folder',
  'ddf-raid': "its identifier is raw bytes that blkid prints with the vendor's own",
  fat32_cp850_O_tilde: 'a label in a DOS code page, whose bytes blkid prints as they are',
  hfsplus: 'its label is the name of the root folder in the catalogue',
  netware: 'its identifier is not looked for',
  tuxonice: 'the swap header of the image is not where mkswap leaves it',
  ubi: 'its identifier is not looked for',
  ubifs: 'its identifier is not looked for',
};

/** Labels that only the drivers of these read; where they do not yet, the label is not compared. */
const LABELLED_BY_DRIVER: ReadonlySet<string> = new Set(['exFAT', 'NTFS', 'ISO 9660']);

const names =
  reason === undefined
    ? readdirSync(IMAGES_FOLDER).map((file) => file.replace('.img.xz', ''))
    : ['images'];

describe(`volumes that blkid is tested with${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it.each(names.filter((name) => existsSync(expectationOf(name)) || reason !== undefined))(
    '%s is called what blkid calls it',
    async (name) => {
      const theirs = parseExport(readFileSync(expectationOf(name), 'utf8'));
      const { content } = await onlyVolume(await unpack(name));
      if (NOT_RECOGNISED.has(name)) {
        expect(content).toMatchObject({ type: '', isReadable: false });
        return;
      }
      if (BRIDGES.has(name)) {
        expect(theirs.type).toBe('udf');
        expect(content).toMatchObject({ type: 'ISO 9660', isReadable: true });
        return;
      }
      expect(theirType(content.type, theirs.type)).toBe(theirs.type.toLowerCase());
      const isPartly = LABELLED_BY_DRIVER.has(content.type) && !content.isReadable;
      const ours = { label: isPartly ? theirs.label : content.label, uuid: content.uuid };
      const isSame = ours.label === theirs.label && ours.uuid === theirs.uuid;
      expect({ name, isSame, ours }).toEqual({ name, isSame: DIFFERENT[name] === undefined, ours });
    },
  );
});

function expectationOf(name: string): string {
  return path.join(BLKID, 'expected', 'blkid', `low-probe-${name}`);
}

async function unpack(name: string): Promise<Uint8Array> {
  const { stdoutBytes } = await run('xz', ['-dc', path.join(IMAGES_FOLDER, `${name}.img.xz`)]);
  return stdoutBytes;
}

async function onlyVolume(bytes: Uint8Array): Promise<Volume> {
  const { volumes } = await findVolumes([{ id: 'disk0', source: new BytesSource(bytes) }]);
  expect(volumes.map(({ id }) => id)).toEqual(['disk0/p1']);
  return volumes[0] as Volume;
}

/** One word of theirs for several of ours, and the other way round. */
function theirType(type: string, theirs: string): string {
  if (type === 'squashfs' && theirs === 'squashfs3') return theirs;
  return THEIR_TYPES[type] ?? type.toLowerCase();
}

/** Values are escaped as udev has them: `\x20`. */
function parseExport(text: string): { type: string; label: string; uuid: string } {
  const value = (name: string): string => {
    const raw = new RegExp(`^ID_FS_${name}=(.*)$`, 'm').exec(text)?.[1] ?? '';
    return raw.replaceAll(/(?:\\x[0-9a-f]{2})+/g, (run_) =>
      Buffer.from(run_.replaceAll('\\x', ''), 'hex').toString('utf8'),
    );
  };
  return { type: value('TYPE'), label: value('LABEL_ENC'), uuid: value('UUID') };
}

/** Made here, with the arguments before the file. */
const MADE = [
  { tool: 'mkfs.ext4', args: ['-q', '-L', 'wurzel'], sizeMib: 8 },
  { tool: 'mkfs.ext2', args: ['-q'], sizeMib: 8 },
  { tool: 'mkfs.xfs', args: ['-q', '-L', 'daten'], sizeMib: 320 },
  { tool: 'mkfs.btrfs', args: ['-q', '-L', 'b-tree'], sizeMib: 128 },
  { tool: 'mkswap', args: ['-L', 'tausch'], sizeMib: 8 },
  { tool: 'mkfs.fat', args: ['-F', '32', '-n', 'ESP'], sizeMib: 64 },
  { tool: 'mkfs.ntfs', args: ['-q', '-F', '-f'], sizeMib: 8 },
] as const;

describe('a volume made here', () => {
  let scratch: Scratch;
  beforeEach((context) => {
    const tools = MADE.map(({ tool }) => tool).filter((tool) => context.task.name.includes(tool));
    const absent = missingTool('blkid', ...tools);
    context.skip(absent !== undefined, absent);
    scratch = new Scratch();
  });
  afterEach(() => scratch?.[Symbol.dispose]());

  it.each(MADE)('by $tool is called what blkid calls it', async ({ tool, args, sizeMib }) => {
    const file = scratch.file('volume');
    writeFileSync(file, '');
    truncateSync(file, sizeMib * MIB);
    await run(tool, [...args, file]);
    const { stdout } = await run('blkid', ['-p', '-o', 'export', file]);
    const value = (name: string): string =>
      new RegExp(`^${name}=(.*)$`, 'm').exec(stdout)?.[1] ?? '';
    const source = await localFiles.open(file);
    const machine = await findVolumes([{ id: 'disk0', source }]);
    const { content } = resolveVolume(machine, {});
    expect({ type: theirType(content.type, ''), label: content.label, uuid: content.uuid }).toEqual(
      {
        ...{ type: value('TYPE'), label: value('LABEL'), uuid: value('UUID') },
      },
    );
    await source.close();
  });
});
