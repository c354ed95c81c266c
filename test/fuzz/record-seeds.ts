/** Volumes in two states, the second after real work in the first, and ways to damage either. */
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { disturb } from '../e2e/diff/random-work.ts';
import { Random } from '../fixtures/disks/random.ts';
import { makeExt, withExtMounted } from '../fixtures/file-systems/ext.ts';
import {
  type ListedFile,
  listMounted,
  type Listing,
  withNtfsMounted,
} from '../fixtures/file-systems/index.ts';
import { run } from '../fixtures/tools/index.ts';
import { metadataOf } from './ext-seeds.ts';
import { damageNtfs, makeNtfsSeeds } from './ntfs-seeds.ts';

const MIB = 1024 * 1024;
const CONTENT = 'C';
const STEPS = 25;

/** One state of a volume. */
export interface State {
  readonly bytes: Buffer;
  /** What another reader sees in it. */
  readonly listing: Listing;
}

export interface RecordSeed {
  readonly name: string;
  readonly before: State;
  readonly after: State;
  /** Every structure that is read carries a sum. */
  readonly isSummed: boolean;
  /** A damaged copy. */
  readonly damage: (which: 'before' | 'after', random: () => number) => Buffer;
}

/** mke2fs's arguments. Small groups, so that there are many descriptors. */
const EXT: Readonly<Record<string, readonly string[]>> = {
  'summed ext4': ['-t', 'ext4', '-b', '1024', '-g', '1024', '-J', 'size=1'],
  'summed ext4, inline data': [
    ...['-t', 'ext4', '-b', '1024', '-g', '1024', '-I', '256'],
    ...['-O', 'inline_data,^has_journal'],
  ],
  'summed ext4, bigalloc': [
    '-t',
    'ext4',
    '-b',
    '1024',
    '-O',
    'bigalloc,^has_journal',
    '-C',
    '4096',
  ],
  'ext4 without sums': [
    ...['-t', 'ext4', '-b', '1024', '-g', '1024'],
    ...['-O', '^metadata_csum,^has_journal,^flex_bg'],
  ],
  'ext4 with sums of groups': [
    ...['-t', 'ext4', '-b', '1024', '-g', '1024'],
    ...['-O', '^metadata_csum,uninit_bg,^has_journal,^flex_bg'],
  ],
  ext3: ['-t', 'ext3', '-b', '1024', '-J', 'size=1'],
  ext2: ['-t', 'ext2', '-b', '1024', '-g', '1024'],
};

/** @param folder for what is mounted. @param seed of the work between the two states. */
export async function makeExtPairs(folder: string, seed: string): Promise<RecordSeed[]> {
  const pairs: RecordSeed[] = [];
  for (const [name, mkfs] of Object.entries(EXT)) {
    const before = await makeExt(folder, `records-${pairs.length}`, {
      ...{ sizeBytes: 4 * MIB, mkfs: ['-N', '512', ...mkfs] },
      fill: plant,
    });
    const after = `${before}.after`;
    copyFileSync(before, after);
    const random = new Random(`${name} ${seed}`, 'records');
    await withExtMounted(after, 'loop', (root) => disturb(root, random, STEPS));
    const listed = (image: string): Promise<Listing> =>
      withExtMounted(image, 'loop,ro', listMounted);
    const states = { before: await stateOf(before, listed), after: await stateOf(after, listed) };
    const places = {
      before: metadataOf(states.before.bytes),
      after: metadataOf(states.after.bytes),
    };
    pairs.push({
      ...{ name, ...states, isSummed: name.startsWith('summed') },
      damage: (which, numbers) => damaged(states[which].bytes, places[which], numbers),
    });
  }
  return pairs;
}

/** Damage is done to the state before alone: it is known where its structures lie. */
export async function makeNtfsPairs(folder: string, seed: string): Promise<RecordSeed[]> {
  const pairs: RecordSeed[] = [];
  for (const state of await makeNtfsSeeds(folder)) {
    const before = path.join(folder, `records-${pairs.length}.ntfs`);
    writeFileSync(before, state.image);
    const after = `${before}.after`;
    copyFileSync(before, after);
    const random = new Random(`${state.name} ${seed}`, 'records');
    await withNtfsMounted(after, ['special_files=wsl'], (root) => disturb(root, random, STEPS));
    const listed = (image: string): Promise<Listing> => withNtfsMounted(image, ['ro'], listNtfs);
    pairs.push({
      ...{ name: `NTFS, ${state.name}`, isSummed: false },
      ...{ before: await stateOf(before, listed), after: await stateOf(after, listed) },
      damage: (_which, numbers) => damageNtfs(state, numbers),
    });
  }
  return pairs;
}

async function stateOf(image: string, listed: (image: string) => Promise<Listing>): Promise<State> {
  const bytes = readFileSync(image);
  return { bytes, listing: await listed(image) };
}

/**
 * Without the mount point, which ntfs-3g puts before the targets of junctions, and without the modes and
 * owners that it shows for all alike.
 */
function listNtfs(mountPoint: string): Listing {
  const without = ({ target, mode: _mode, owner: _owner, ...file }: ListedFile): ListedFile =>
    target === undefined ? file : { ...file, target: target.replace(mountPoint, '') };
  return new Map([...listMounted(mountPoint)].map(([name, file]) => [name, without(file)]));
}

async function plant(root: string): Promise<void> {
  for (let index = 0; index < 40; index += 1) {
    const folder = path.join(root, `d${index % 5}`, `e${index % 3}`);
    mkdirSync(folder, { recursive: true });
    const size = [0, 10, 60, 150, 3000, 20_000][index % 6] as number;
    writeFileSync(path.join(folder, `file${index}`), CONTENT.repeat(size));
  }
  symlinkSync(CONTENT.repeat(20), path.join(root, 'd1', 'link'));
  symlinkSync(CONTENT.repeat(100), path.join(root, 'd2', 'long link'));
  const sparse = Buffer.alloc(60 * 1024);
  for (let at = 0; at < sparse.length; at += 4096) sparse.fill(CONTENT, at, at + 1024);
  writeFileSync(path.join(root, 'd3', 'holes'), sparse);
  for (const [name, length] of [
    ['short', 20],
    ['long', 600],
  ] as const) {
    const file = path.join(root, 'd4', name);
    writeFileSync(file, name);
    await run('setfattr', ['-n', 'user.kept', '-v', 'v'.repeat(length), file]);
  }
}

const BYTES_CHANGED_MAX = 8;

function damaged(sound: Buffer, metadata: Uint32Array, random: () => number): Buffer {
  const bytes = Buffer.from(sound);
  const first = Math.floor(random() * metadata.length);
  const isNear = random() < 0.5;
  const count = random() < 0.4 ? 1 : 1 + Math.floor(random() * BYTES_CHANGED_MAX);
  for (let index = 0; index < count; index += 1) {
    const chosen = isNear ? first + Math.floor(random() * 32) : random() * metadata.length;
    const offset = metadata[Math.floor(chosen) % metadata.length] as number;
    bytes[offset] =
      random() < 0.3 ? random() * 256 : (bytes[offset] as number) ^ (1 << (random() * 8));
  }
  return bytes;
}
