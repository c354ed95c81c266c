/** NTFS volumes that others made, many by Windows, as ntfs-3g, Sleuth Kit and blkid read them. */
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { identifyFileSystem } from '../../parsers/index.ts';
import {
  listBySleuthKit,
  listFileSystem,
  listMounted,
  missingForNtfs,
  withNtfsMounted,
} from '../fixtures/file-systems/index.ts';
import { run } from '../fixtures/tools/index.ts';
import { nodeFiles } from './image-support.ts';
import { comparable, IMAGES, missingImages, withVolume } from './ntfs-support.ts';

const reason =
  missingImages() ??
  missingForNtfs('fls', 'icat', 'istat', 'dd', 'tar', 'gzip', 'xz', 'qemu-img', 'losetup');
const suffix = reason === undefined ? '' : ` (skipped: ${reason})`;

interface Foreign {
  readonly file: string;
  /** Where the volume begins: behind a partition table, or at the start. */
  readonly start: number;
  /** Why Sleuth Kit is no measure for it. */
  readonly beyondSleuthKit?: string;
}

const SAMPLES = 'msuhanov+ntfs-samples';
const PARTITION_START = 128 * 512;
const SLOW = 'it takes a minute for 500 files, which are those of the newer volume';
const FOREIGN: readonly Foreign[] = [
  {
    file: `${SAMPLES}/ntfs-2m.raw.gz`,
    start: PARTITION_START,
    beyondSleuthKit: 'it does not list clusters of 2 MiB',
  },
  { file: `${SAMPLES}/ntfs-lastaccess.raw.gz`, start: PARTITION_START },
  { file: `${SAMPLES}/ntfs-ptrn.raw.gz`, start: PARTITION_START },
  { file: `${SAMPLES}/ntfs-ramslack.raw.gz`, start: PARTITION_START },
  { file: `${SAMPLES}/ntfs-si-vs-fn.raw.gz`, start: PARTITION_START },
  { file: `${SAMPLES}/ntfs.tgz`, start: 2048 * 512 },
  { file: 'log2timeline+dfvfs/test_data/windows_volume.qcow2', start: 0 },
  { file: 'util-linux+util-linux/tests/ts/blkid/images-fs/ntfs.img.xz', start: 0 },
  { file: 'ColinFinck+ntfs/testdata/testfs1', start: 0 },
  { file: 'ColinFinck+ntfs/history/testdata/4afb44a3.testfs1', start: 0 },
  {
    file: 'ColinFinck+ntfs/history/testdata/9d16e0e9.testfs1',
    start: 0,
    beyondSleuthKit: SLOW,
  },
  {
    file: 'ColinFinck+ntfs/history/testdata/ff4183f3.testfs1',
    start: 0,
    beyondSleuthKit: SLOW,
  },
];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'rehydrate-foreign-ntfs-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** How each kind of packing is undone into `raw`, holes kept. */
const UNPACKING: Readonly<Record<string, (image: string, raw: string) => Promise<unknown>>> = {
  '.gz': (image, raw) => shell('gzip -dc "$1" | dd of="$2" bs=1M conv=sparse', image, raw),
  '.xz': (image, raw) => shell('xz -dc "$1" >"$2"', image, raw),
  '.tgz': (image, raw) =>
    shell('mkdir "$2.d" && tar -C "$2.d" -xzSf "$1" && mv "$2.d"/*.raw "$2"', image, raw),
  '.qcow2': (image, raw) => run('qemu-img', ['convert', '-O', 'raw', image, raw]),
};

const shell = (script: string, ...args: string[]): Promise<unknown> =>
  run('sh', ['-c', script, 'sh', ...args]);

const unpacked = new Map<string, Promise<string>>();

function imageOf({ file }: Foreign): Promise<string> {
  const making = unpacked.get(file) ?? unpack(file);
  unpacked.set(file, making);
  return making;
}

async function unpack(file: string): Promise<string> {
  const image = path.join(IMAGES, file);
  const raw = path.join(folder, file.replaceAll('/', '-'));
  const unpacking = UNPACKING[path.extname(file)];
  await (unpacking === undefined ? run('cp', [image, raw]) : unpacking(image, raw));
  return raw;
}

/** Runs `body` with a name under which the volume alone is found: ntfs-3g knows no offsets. */
async function withVolumeAlone<T>(
  foreign: Foreign,
  body: (device: string) => Promise<T>,
): Promise<T> {
  const raw = await imageOf(foreign);
  if (foreign.start === 0) return body(raw);
  const options = ['--read-only', '--offset', String(foreign.start)];
  const { stdout } = await run('losetup', ['--find', '--show', ...options, raw]);
  const link = `${raw}.loop`;
  symlinkSync(stdout.trim(), link);
  try {
    return await body(link);
  } finally {
    rmSync(link);
    await run('losetup', ['--detach', stdout.trim()]);
  }
}

const LIMIT_MS = 400_000;

/** Files of the system; and shadow copies, of which one is larger than what a test takes from icat. */
const isApart = (name: string): boolean =>
  (name.startsWith('/$') && !name.startsWith('/$RECYCLE')) ||
  name.startsWith('/System Volume Information/{');

describe.each(FOREIGN.map((foreign) => ({ ...foreign })))(`$file${suffix}`, (foreign) => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('is read as ntfs-3g reads it', { timeout: LIMIT_MS }, async () => {
    const theirs = await withVolumeAlone(foreign, (device) =>
      withNtfsMounted(device, ['ro', 'posix_nlink'], listMounted),
    );
    const ours = await withVolume(await imageOf(foreign), listFileSystem, foreign);
    expect(comparable(ours)).toEqual(comparable(theirs));
  });
});

const FOR_SLEUTH_KIT = FOREIGN.filter(({ beyondSleuthKit }) => beyondSleuthKit === undefined);

describe.each(FOR_SLEUTH_KIT)(`$file${suffix}`, (foreign) => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('is read as Sleuth Kit reads it', { timeout: LIMIT_MS }, async () => {
    const raw = await imageOf(foreign);
    const offsetSectors = foreign.start / 512;
    const { files } = await listBySleuthKit(raw, { type: 'ntfs', offsetSectors, skip: isApart });
    const ours = await withVolume(raw, listFileSystem, foreign);
    for (const name of ours.keys()) if (name === '/' || isApart(name)) ours.delete(name);
    const fields = ['kind', 'size', 'modified', 'sha256'] as const;
    expect(comparable(ours, fields)).toEqual(comparable(files, fields));
  });
});

describe(`a volume of blkid's own tests${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('has the label and the serial number that blkid expects', async () => {
    const image = 'util-linux+util-linux/tests/ts/blkid/images-fs/ntfs.img.xz';
    const file = await imageOf({ file: image, start: 0 });
    const expected = readFileSync(
      path.join(IMAGES, 'util-linux+util-linux/tests/expected/blkid/low-probe-ntfs'),
      'utf8',
    );
    const field = (key: string): string =>
      new RegExp(`^${key}=(.*)$`, 'm').exec(expected)?.[1] ?? '';
    const source = await nodeFiles().open(file);
    const found = await identifyFileSystem(source);
    await source.close();
    const label = field('ID_FS_LABEL_ENC').replaceAll('\\x20', ' ');
    expect(found).toEqual({ type: 'NTFS', label, uuid: field('ID_FS_UUID') });
  });
});
