import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Budget, BytesSource, cache, HealthLog } from '../../core/index.ts';
import type { Volume } from '../../parsers/filesystem/driver.ts';
import { replayJournal, type Replayed } from '../../parsers/filesystem/ext/journal/replay.ts';
import { parseSuperblock } from '../../parsers/filesystem/ext/superblock.ts';
import { openFileSystem } from '../../parsers/filesystem/open.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { type Listing, listFileSystem, listMounted } from '../fixtures/file-systems/index.ts';
import {
  type DirtyRecipe,
  makeDirty,
  onCopy,
  recoveredByKernel,
} from '../fixtures/file-systems/ext-dirty.ts';
import {
  FAST_DIRECTORY_RECIPES,
  FAST_RECIPES,
  LOG_RECIPES,
  ORPHAN_RECIPES,
} from '../fixtures/file-systems/ext-dirty-recipes.ts';
import { run } from '../fixtures/tools/index.ts';
import { missingTool, removeFolder, temporaryFolder } from './image-support.ts';

/**
 * File systems that crashed, read as the kernel and e2fsck read them after a recovery of their own.
 */
const TOOLS = ['mke2fs', 'e2fsck', 'xfs_io', 'losetup', 'fallocate'];

let folder: string;
let reason: string | undefined;

beforeAll(async () => {
  folder = await temporaryFolder();
  reason = missingTool(...TOOLS) ?? (await LoopDevice.missing(`${folder}/probe`));
});
afterAll(() => removeFolder(folder));
beforeEach((context) => context.skip(reason !== undefined, reason));

describe('the log of an ext journal', () => {
  describe.each(LOG_RECIPES)('$name', (recipe) => {
    const image = once(() => makeDirty(folder, recipe));

    it('is replayed block for block as e2fsck does it', async () => {
      const before = readFileSync(await image());
      const { replayed, health } = await replay(before);
      expect(health.health.state).toBe('journal replayed');
      expect(replayed.blocks).toBeGreaterThan(0);
      const ours = await wholeOf(replayed.volume);
      const theirs = await onCopy(await image(), recoveredByE2fsck);
      expect(Buffer.compare(theirs, before)).not.toBe(0);
      expectSameBlocks(ours, theirs);
    });

    it('shows the files that the kernel shows', async () => {
      const kernel = await recoveredByKernel(await image(), listMounted);
      expect(await listed(await image())).toEqual(kernel);
    });
  });

  it.each(ORPHAN_RECIPES)('$name: shows the files that the kernel shows', async (recipe) => {
    const image = await makeDirty(folder, recipe);
    expect(await listed(image)).toEqual(await recoveredByKernel(image, listMounted));
  });

  it('brings back nothing that a later transaction revoked', async () => {
    for (const name of ['reuse', 'reuse-ext3']) {
      const recipe = LOG_RECIPES.find((one) => one.name === name) as DirtyRecipe;
      const { replayed } = await replay(readFileSync(await makeDirty(folder, recipe)));
      expect(replayed.revoked).toBeGreaterThan(0);
    }
  });
});

describe('fast commits', () => {
  it.each(FAST_RECIPES)('$name: show the files that the kernel shows', async (recipe) => {
    const image = await makeDirty(folder, recipe);
    const { replayed, health } = await replay(readFileSync(image));
    expect(replayed.fastCommits).toBeGreaterThan(0);
    expect(health.health.state).toBe('journal replayed');
    const kernel = await recoveredByKernel(image, listMounted);
    expect(comparable(await listed(image))).toEqual(comparable(kernel));
  });

  it.each(FAST_DIRECTORY_RECIPES)(
    '$name: show the files that the kernel shows after e2fsck counted its links',
    async (recipe) => {
      const image = await makeDirty(folder, recipe);
      const { replayed } = await replay(readFileSync(image));
      expect(replayed.fastCommits).toBeGreaterThan(0);
      const kernel = await onCopy(image, async (copy) => {
        await recoveredInPlace(copy);
        await run('e2fsck', ['-fy', copy], { accept: [0, 1] });
        return recoveredByKernel(copy, listMounted);
      });
      expect(comparable(await listed(image))).toEqual(comparable(kernel));
    },
  );
});

async function replay(bytes: Buffer): Promise<{ replayed: Replayed; health: HealthLog }> {
  const data = new BytesSource(bytes);
  const metadata = cache(data, { budgetBytes: 16 * 1024 * 1024 });
  const health = new HealthLog();
  const superblock = parseSuperblock(bytes.subarray(1024, 2048), 1024);
  const volume: Volume = { data, metadata, budget: new Budget({ timeMs: 60_000 }), health };
  return { replayed: await replayJournal(volume, superblock), health };
}

async function wholeOf({ data, metadata }: Volume): Promise<Buffer> {
  const whole = Buffer.alloc(data.size);
  await data.readInto(whole, 0);
  const again = Buffer.alloc(data.size);
  await metadata.readInto(again, 0);
  expect(Buffer.compare(whole, again)).toBe(0);
  return whole;
}

async function recoveredByE2fsck(copy: string): Promise<Buffer> {
  await run('e2fsck', ['-E', 'journal_only', '-y', copy], { accept: [0, 1] });
  return readFileSync(copy);
}

/** Mounts and unmounts it. */
async function recoveredInPlace(image: string): Promise<void> {
  const root = `${folder}/place`;
  await run('mkdir', ['-p', root]);
  await run('mount', ['-o', 'loop', image, root]);
  await run('umount', [root]);
}

const UNIT = 1024;
const JOURNAL_SUPER = '98393bc0';
/** What e2fsck writes into a superblock on its own account. */
const SUPERBLOCK_TOUCHED: readonly (readonly [number, number])[] = [
  [0x30, 0x34], // s_wtime
  [0x3a, 0x3c], // s_state
  [0x60, 0x64], // s_feature_incompat: needs_recovery
  [0x178, 0x180], // s_kbytes_written
  [0x3fc, 0x400], // s_checksum
];

/** Every byte, but for the two superblocks: the journal is empty now, and the volume is clean. */
function expectSameBlocks(ours: Buffer, theirs: Buffer): void {
  const differing: number[] = [];
  for (let at = 0; at < ours.byteLength; at += UNIT) {
    const left = Buffer.from(ours.subarray(at, at + UNIT));
    const right = Buffer.from(theirs.subarray(at, at + UNIT));
    if (isJournalSuper(left) && isJournalSuper(right)) continue;
    if (at === 1024) {
      for (const [from, to] of SUPERBLOCK_TOUCHED) {
        left.fill(0, from, to);
        right.fill(0, from, to);
      }
    }
    if (left.compare(right) !== 0) differing.push(at);
  }
  expect(differing).toEqual([]);
}

function isJournalSuper(block: Buffer): boolean {
  const type = block.readUInt32BE(4);
  return block.readUInt32LE(0).toString(16) === JOURNAL_SUPER && (type === 3 || type === 4);
}

async function listed(image: string): Promise<Listing> {
  const fileSystem = await openFileSystem(new BytesSource(readFileSync(image)));
  expect(fileSystem.health.state).toBe('journal replayed');
  return listFileSystem(fileSystem);
}

/**
 * Without what only the kernel's own replay of names gives: it sets directories' times to the hour of
 * the recovery, makes room in them in another way, and may leave a removed one to e2fsck.
 */
function comparable(listing: Listing): Listing {
  const kept = [...listing].filter(([path]) => !path.startsWith('/lost+found'));
  return new Map(
    kept.map(([path, file]) => [
      path,
      file.kind === 'directory' ? { ...file, modified: '', size: 0 } : file,
    ]),
  );
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
