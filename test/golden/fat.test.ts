/** FAT volumes made by mkfs.fat and mtools, held against mtools, fsck.fat and Sleuth Kit. */
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FileSystem } from '../../core/index.ts';
import { openFileSystem } from '../../parsers/index.ts';
import { fileSystemSuite } from '../conformance/file-system-suite.ts';
import {
  FAT_PLANS,
  type FatPlan,
  makeFatVolume,
  makeSourceTree,
} from '../fixtures/file-systems/fat.ts';
import {
  attributesWithMtools,
  extractWithMtools,
  listWithSleuthKit,
  piecesOf,
} from '../fixtures/file-systems/fat-oracles.ts';
import { listFileSystem, type Listing } from '../fixtures/file-systems/index.ts';
import { run } from '../fixtures/tools/index.ts';
import { ImageFiles } from './fat-support.ts';
import { missingTool, removeFolder, temporaryFolder } from './image-support.ts';

const reason = missingTool('mkfs.fat', 'fsck.fat', 'mcopy', 'mshowfat', 'fls', 'blkid');
const suffix = reason === undefined ? '' : ` (skipped: ${reason})`;

/** `fls` cuts names of 255 letters short; mtools reads them. */
const UNREADABLE_TO_FLS = 'n'.repeat(200);

const titleOf = ({ bits, sizeKib, sectorBytes = 512, sectorsPerCluster }: FatPlan): string =>
  `FAT${bits}, ${sizeKib} KiB, sectors of ${sectorBytes}, ${sectorsPerCluster ?? 1} a cluster`;

const files = new ImageFiles();
let folder: string;
let tree: string;
beforeAll(async () => {
  if (reason !== undefined) return;
  folder = await temporaryFolder();
  tree = path.join(folder, 'tree');
  makeSourceTree(tree);
});
afterAll(async () => {
  await files.close();
  if (folder !== undefined) await removeFolder(folder);
});

describe.each(FAT_PLANS.map((plan, index) => ({ title: titleOf(plan), plan, index })))(
  `$title${suffix}`,
  ({ plan, index }) => {
    let image: string;
    let fileSystem: FileSystem;
    beforeAll(async () => {
      if (reason !== undefined) return;
      image = path.join(folder, `${index}.img`);
      await makeFatVolume(image, plan, tree);
      fileSystem = await files.fileSystem(image);
    });
    beforeEach((context) => context.skip(reason !== undefined, reason));

    it('is what its makers say', async () => {
      await run('fsck.fat', ['-n', image]);
      expect(fileSystem.type).toBe(`FAT${plan.bits}`);
      expect(fileSystem.label).toBe(plan.label ?? '');
      expect(fileSystem.uuid).toBe('1234-ABCD');
      expect(fileSystem.health).toEqual({ state: 'clean', findings: [], omitted: 0 });
      expect(await piecesOf(image, 'fragmented.bin')).toBeGreaterThan(5);
    });

    it('holds the files that mtools copies out of it', async () => {
      const expected = await extractWithMtools(image, path.join(folder, `out ${index}`));
      expect(comparable(await listFileSystem(fileSystem))).toEqual(comparable(expected));
      expect(expected.size).toBeGreaterThan(160);
    });

    it('lists what Sleuth Kit lists, with its times', async () => {
      const expected = await listWithSleuthKit(image);
      const found = new Map<string, unknown>();
      const wanted = new Map<string, unknown>();
      for (const [name, line] of expected) {
        if (name.includes(UNREADABLE_TO_FLS)) continue;
        wanted.set(name, { ...line, size: line.isDirectory ? 0 : line.size });
      }
      await eachNode(fileSystem, async (name, node) => {
        if (name.includes(UNREADABLE_TO_FLS)) return;
        const { kind, size, accessed, modified, created } = await fileSystem.stat(node);
        found.set(name, {
          isDirectory: kind === 'directory',
          size,
          accessed: accessed?.seconds ?? 0,
          modified: modified.seconds,
          created: created?.seconds ?? 0,
        });
      });
      expect(found).toEqual(wanted);
    });

    it('has the attributes and the free space that mtools sees', async () => {
      const letters = await attributesWithMtools(image);
      const hidden = await fileSystem.lookup(fileSystem.root, 'p1');
      expect(letters.get('/P1')).toBe('ASHR');
      expect((await fileSystem.stat(hidden as number)).dosAttributes).toBe(0x27);
      const { stdout } = await run('mdir', ['-i', image, '::']);
      const free = /([\d ]+) bytes free/.exec(stdout)?.[1]?.replaceAll(' ', '');
      expect(fileSystem.space.freeBytes).toBe(Number(free));
    });
  },
);

describe(`the contract${suffix}`, () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));
  fileSystemSuite('FAT32', async () => {
    const source = await files.source(path.join(folder, '8.img'));
    return { fileSystem: await openFileSystem(source), close: () => source.close() };
  });
  fileSystemSuite('FAT12', async () => {
    const source = await files.source(path.join(folder, '0.img'));
    return { fileSystem: await openFileSystem(source), close: () => source.close() };
  });
});

async function eachNode(
  fileSystem: FileSystem,
  visit: (path: string, node: number) => Promise<void>,
): Promise<void> {
  const waiting = [{ path: '', node: fileSystem.root }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for await (const batch of fileSystem.list(next.node)) {
      for (const { name, node, kind } of batch) {
        const found = { path: `${next.path}/${name}`, node };
        await visit(found.path, node);
        if (kind === 'directory') waiting.push(found);
      }
    }
  }
}

/** Of files what FAT records; of directories that they are there. */
function comparable(listing: Listing): Map<string, unknown> {
  return new Map(
    [...listing].map(([name, { kind, size, modified, sha256 }]) => [
      name,
      kind === 'directory' ? { kind } : { kind, size, modified, sha256 },
    ]),
  );
}
