/** exFAT volumes, held against exfat-fuse, fsck.exfat, blkid and Sleuth Kit; and damaged ones. */
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, type FileSystem, isRestoreError } from '../../core/index.ts';
import { identifyFileSystem, openFileSystem } from '../../parsers/index.ts';
import { fileSystemSuite } from '../conformance/file-system-suite.ts';
import {
  EXFAT_PLANS,
  ExfatEditor,
  listWithExfatFuse,
  makeExfatVolume,
} from '../fixtures/file-systems/exfat.ts';
import { listWithSleuthKit } from '../fixtures/file-systems/fat-oracles.ts';
import { listFileSystem, type Listing } from '../fixtures/file-systems/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { run } from '../fixtures/tools/index.ts';
import { ImageFiles } from './fat-support.ts';
import { missingTool, removeFolder, temporaryFolder } from './image-support.ts';

const files = new ImageFiles();
const volumes: { image: string; expected: Listing }[] = [];
const folder = await temporaryFolder();
const reason =
  (existsSync('/dev/fuse') ? undefined : 'no FUSE here') ??
  missingTool('mkfs.exfat', 'fsck.exfat', 'mount.exfat-fuse', 'fls', 'blkid') ??
  (await LoopDevice.missing(path.join(folder, 'probe')));
const suffix = reason === undefined ? '' : ` (skipped: ${reason})`;

beforeAll(async () => {
  if (reason !== undefined) return;
  for (const [index, plan] of EXFAT_PLANS.entries()) {
    const image = path.join(folder, `${index}.img`);
    volumes.push({ image, expected: await makeExfatVolume(image, plan) });
  }
}, 120_000);
afterAll(async () => {
  await files.close();
  await removeFolder(folder);
});

/** Modes and owners are exfat-fuse's own; of the root exFAT records nothing. */
function comparable(listing: Listing): Map<string, unknown> {
  return new Map(
    [...listing]
      .filter(([name]) => name !== '/')
      .map(([name, { kind, size, modified, sha256 }]) => [name, { kind, size, modified, sha256 }]),
  );
}

describe.each(EXFAT_PLANS.map((plan, index) => ({ ...plan, index })))(
  `exFAT, sectors of $sectorBytes, clusters of $clusterBytes${suffix}`,
  ({ label, index }) => {
    beforeEach((context) => context.skip(reason !== undefined, reason));

    it('holds what exfat-fuse reads', async () => {
      const { image, expected } = volumes[index] as (typeof volumes)[number];
      const fileSystem = await files.fileSystem(image);
      expect(comparable(await listFileSystem(fileSystem))).toEqual(comparable(expected));
      const { root } = fileSystem;
      const named = await fileSystem.lookup(root, 'Gr\u00fc\u00dfe.txt');
      expect(named).toBeDefined();
      expect(await fileSystem.lookup(root, 'GR\u00dc\u00dfE.TXT')).toBe(named);
      expect(expected.size).toBeGreaterThan(230);
      expect(fileSystem.health).toEqual({ state: 'clean', findings: [], omitted: 0 });
    });

    it('is what blkid and dump.exfat say', async () => {
      const { image } = volumes[index] as (typeof volumes)[number];
      const fileSystem = await files.fileSystem(image);
      const { stdout } = await run('blkid', ['-p', '-o', 'export', image]);
      const field = (key: string): string =>
        new RegExp(`^${key}=(.*)$`, 'm').exec(stdout)?.[1] ?? '';
      expect(fileSystem.uuid).toBe(field('UUID'));
      expect(fileSystem.label).toBe(label);
      expect(await identifyFileSystem(await files.source(image))).toEqual({
        type: 'exFAT',
        label,
        uuid: field('UUID'),
      });
      const dump = (await run('dump.exfat', [image])).stdout;
      const free = Number(/Free Clusters:\s*(\d+)/.exec(dump)?.[1]);
      const clusterBytes = Number(/Cluster size:\s*(\d+)/.exec(dump)?.[1]);
      expect(fileSystem.space.freeBytes).toBe(free * clusterBytes);
      await run('fsck.exfat', ['-n', image]);
    });

    it('lists the paths and times that Sleuth Kit lists', async () => {
      const { image, expected } = volumes[index] as (typeof volumes)[number];
      const listed = await listWithSleuthKit(image, ['-f', 'exfat', '-b', '512']);
      const wanted = new Map(
        [...expected]
          .filter(([name]) => name !== '/')
          .map(([name, { kind, size, modified }]) => [
            name,
            {
              isDirectory: kind === 'directory',
              size,
              modified: evenSecond(Number(modified.split('.')[0])),
            },
          ]),
      );
      const found = [...listed].map(([name, { isDirectory, size, modified }]) => [
        name,
        { isDirectory, size, modified: evenSecond(modified) },
      ]);
      expect(new Map(found as [string, unknown][])).toEqual(wanted);
    });
  },
);

/** Sleuth Kit leaves out the field that has the odd second. */
function evenSecond(seconds: number): number {
  return seconds - (seconds % 2);
}

describe(`the contract on exFAT${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));
  fileSystemSuite('exFAT', async () => {
    const source = await files.source((volumes[0] as (typeof volumes)[number]).image);
    return { fileSystem: await openFileSystem(source), close: () => source.close() };
  });
});

describe(`a damaged exFAT${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  const edited = (edit: (editor: ExfatEditor) => void): Buffer => {
    const editor = new ExfatEditor((volumes[1] as (typeof volumes)[number]).image);
    edit(editor);
    return editor.image;
  };
  const open = (image: Uint8Array): Promise<FileSystem> => openFileSystem(new BytesSource(image));
  const sound = (): Listing => (volumes[1] as (typeof volumes)[number]).expected;

  it('reads by the backup of the boot region', async () => {
    const fileSystem = await open(edited(({ image }) => image.fill(0, 0, 12 * 512)));
    expect(comparable(await listFileSystem(fileSystem))).toEqual(comparable(sound()));
    expect(fileSystem.health.state).toBe('partly damaged');
  });

  it('says that it was in use', async () => {
    const fileSystem = await open(edited(({ image }) => image.writeUInt16LE(2, 106)));
    expect(fileSystem.health.state).toBe('stale');
  });

  it('reads zeros behind what was ever written', async () => {
    const image = edited((editor) => {
      editor.edit('even.bin', (set) => set.writeBigUInt64LE(10_000n, 32 + 8));
    });
    const fileSystem = await open(image);
    const node = await fileSystem.lookup(fileSystem.root, 'EVEN.BIN');
    const source = await fileSystem.open(node as number);
    const data = Buffer.alloc(source.size);
    await source.readInto(data, 0);
    const before = await open(edited(() => {}));
    const whole = await before.open((await before.lookup(before.root, 'even.bin')) as number);
    const written = Buffer.alloc(10_000);
    await whole.readInto(written, 0);
    expect(data.subarray(0, 10_000).equals(written)).toBe(true);
    expect(data.subarray(10_000).every((byte) => byte === 0)).toBe(true);
    expect(data.length).toBe(40_960);
  });

  it.each([
    ['of another zone', 0x80 | 8, 2],
    ['west of Greenwich', 0x80 | (0x80 - 20), -5],
    ['of no recorded zone', 0, 0],
  ])('reads a time %s as exfat-fuse does', async (_, offset, hours) => {
    const image = edited((editor) => editor.edit('odd.bin', (set) => set.writeUInt8(offset, 23)));
    const file = path.join(folder, 'zone.img');
    writeFileSync(file, image);
    const fileSystem = await open(image);
    const node = (await fileSystem.lookup(fileSystem.root, 'odd.bin')) as number;
    const { seconds } = (await fileSystem.stat(node)).modified;
    const plain = Number((sound().get('/odd.bin')?.modified ?? '').split('.')[0]);
    expect(seconds).toBe(plain - hours * 3600);
    const byFuse = (await listWithExfatFuse(file)).get('/odd.bin')?.modified;
    expect(`${seconds}`).toBe(byFuse?.split('.')[0]);
  });

  it('lists a file whose set fails its checksum, and says that it is damaged', async () => {
    const image = edited((editor) => {
      editor.image.writeUInt8(7, editor.setOf('odd.bin') + 16);
    });
    const fileSystem = await open(image);
    const entries = (await Array.fromAsync(fileSystem.list(fileSystem.root))).flat();
    const entry = entries.find(({ name }) => name === 'odd.bin');
    expect(entry?.kind).toBe('unknown');
    expect(isRestoreError(entry?.error, 'CORRUPT')).toBe(true);
    await expect(fileSystem.stat(entry?.node as number)).rejects.toMatchObject({ code: 'CORRUPT' });
    expect(fileSystem.health.state).toBe('partly damaged');
  });

  it.each([
    ['leaves out a file whose name is damaged', 66, 'CORRUPT'],
    ['tells a critical entry of an unknown kind', 0, 'UNSUPPORTED'],
  ] as const)('%s, and says so behind the last entry', async (_, offset, code) => {
    const image = edited((editor) => {
      editor.image.writeUInt8(0x9f, editor.setOf('odd.bin') + offset);
    });
    const fileSystem = await open(image);
    const names: string[] = [];
    const listing = (async () => {
      for await (const batch of fileSystem.list(fileSystem.root)) {
        names.push(...batch.map(({ name }) => name));
      }
    })();
    await expect(listing).rejects.toMatchObject({ code });
    expect(names).toContain('even.bin');
    expect(names).not.toContain('odd.bin');
    await expect(fileSystem.lookup(fileSystem.root, 'odd.bin')).rejects.toMatchObject({ code });
    expect(await fileSystem.lookup(fileSystem.root, 'even.bin')).toBeDefined();
  });

  it('skips a benign entry of an unknown kind', async () => {
    const image = edited((editor) => {
      editor.image.writeUInt8(0xbf, editor.setOf('odd.bin'));
    });
    const listing = await listFileSystem(await open(image));
    const wanted = comparable(sound());
    wanted.delete('/odd.bin');
    expect(comparable(listing)).toEqual(wanted);
  });

  it('reads a file up to where its chain runs in a circle', async () => {
    const image = edited((editor) => {
      const first = editor.firstCluster('odd.bin');
      editor.link(first, first);
    });
    const fileSystem = await open(image);
    const node = await fileSystem.lookup(fileSystem.root, 'odd.bin');
    const source = await fileSystem.open(node as number);
    await source.readInto(new Uint8Array(4096), 0);
    const behind = source.readInto(new Uint8Array(1), 4096);
    await expect(behind).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  it('finds names by Latin letters where the table of capitals is damaged', async () => {
    const image = edited((editor) => {
      const at = editor.image.indexOf(Buffer.from([0, 0, 1, 0, 2, 0, 3, 0, 4, 0]));
      editor.image.writeUInt8(9, at + 3);
    });
    const fileSystem = await open(image);
    expect(fileSystem.health.state).toBe('partly damaged');
    expect(await fileSystem.lookup(fileSystem.root, 'ODD.bin')).toBeDefined();
  });
});
