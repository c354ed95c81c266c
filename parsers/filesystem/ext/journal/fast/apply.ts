import { type HealthLog, isRestoreError, layout, RestoreError } from '../../../../../core/index.ts';
import { checkBlocks, type ExtVolume } from '../../volume.ts';
import type { JournalFile } from '../journal-file.ts';
import { ChangedDirectory } from './directory.ts';
import { type ChangedInode, ChangedInodes } from './inodes.ts';
import { Scratch } from './scratch.ts';
import { FAST_TAG, type FastTag } from './tags.ts';

const Range = { fc_ino: layout.u32le(0), ee_block: layout.u32le(4) } as const;
const Extent = {
  ee_len: layout.u16le(8),
  ee_start_hi: layout.u16le(10),
  ee_start_lo: layout.u32le(12),
} as const;
const Deleted = { fc_len: layout.u32le(8) } as const;
const Dentry = { fc_parent_ino: layout.u32le(0), fc_ino: layout.u32le(4) } as const;
const DENTRY_NAME_AT = 8;
const INODE_IMAGE_AT = 4;
const WRITTEN_LENGTH_MAX = 0x8000;

/** Types in directory entries by `i_mode >> 12`. */
const TYPE_BY_MODE: Readonly<Record<number, number>> = {
  0x8: 1,
  0x4: 2,
  0x2: 3,
  0x6: 4,
  0x1: 5,
  0xc: 6,
  0xa: 7,
};

/**
 * Does in memory what the fast commits say (`ext4_fc_replay`, fs/ext4/fast_commit.c) and gives the
 * blocks that thereby change: tables of inodes, nodes of extent trees, blocks of directories. A
 * change that cannot be made is told in `health`, as `stale`, and the others are made.
 *
 * Where the kernel leaves a mistake behind that e2fsck mends later, the mended state is made: the
 * link counts of new and removed directories and of their parents, and short symbolic links.
 *
 * @param volume with all full commits replayed.
 */
export async function applyFastCommits(
  volume: ExtVolume,
  file: JournalFile,
  tags: readonly FastTag[],
  health: HealthLog,
): Promise<ReadonlyMap<number, Uint8Array>> {
  const applier = new Applier(volume, file);
  for (const tag of tags) {
    volume.budget.checkTime();
    await tolerating(health, () => applier.apply(tag));
  }
  await applier.write((step) => tolerating(health, step));
  return applier.scratch.blocks;
}

async function tolerating(health: HealthLog, step: () => Promise<void>): Promise<void> {
  try {
    await step();
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT') && !isRestoreError(error, 'UNSUPPORTED')) throw error;
    health.note('stale', {
      message: `a fast commit could not be applied: ${error.message}`,
      where: error.where,
    });
  }
}

class Applier {
  readonly scratch: Scratch;
  readonly #volume: ExtVolume;
  readonly #inodes: ChangedInodes;
  readonly #directories = new Map<number, ChangedDirectory>();

  constructor(volume: ExtVolume, file: JournalFile) {
    this.#volume = volume;
    this.scratch = new Scratch(file, volume.budget);
    this.#inodes = new ChangedInodes(volume, this.scratch);
  }

  async apply({ kind, value }: FastTag): Promise<void> {
    await APPLY[kind]?.(this, value, layout.viewOf(value));
  }

  /** Directories first: they change their inodes. */
  async write(each: (step: () => Promise<void>) => Promise<void>): Promise<void> {
    for (const directory of this.#directories.values()) {
      await each(() => directory.write(this.#inodes));
    }
    await this.#inodes.write(each);
  }

  async addRange(_: Uint8Array, view: DataView): Promise<void> {
    const inode = await this.#inodes.get(Range.fc_ino(view));
    const runs = await this.#inodes.runsOf(inode);
    const first = Range.ee_block(view);
    const length = Extent.ee_len(view);
    const unwritten = length > WRITTEN_LENGTH_MAX;
    const count = unwritten ? length - WRITTEN_LENGTH_MAX : length;
    const block = Extent.ee_start_hi(view) * 2 ** 32 + Extent.ee_start_lo(view);
    checkBlocks(this.#volume, block, count, `fast commit, inode ${inode.number}`);
    // What is allocated and not written reads as a hole does.
    if (unwritten) runs.remove(first, count);
    else if (count > 0 && first + count <= 2 ** 32) runs.add({ first, count, block });
  }

  async deleteRange(_: Uint8Array, view: DataView): Promise<void> {
    const inode = await this.#inodes.get(Range.fc_ino(view));
    const runs = await this.#inodes.runsOf(inode);
    runs.remove(Range.ee_block(view), Deleted.fc_len(view));
  }

  async inode(value: Uint8Array, view: DataView): Promise<void> {
    await this.#inodes.replace(Range.fc_ino(view), value.subarray(INODE_IMAGE_AT));
  }

  async create(value: Uint8Array, view: DataView): Promise<void> {
    const inode = await this.#inodes.get(Dentry.fc_ino(view));
    if (inode.links === 0) throw unmade(inode);
    const parent = await this.#directory(Dentry.fc_parent_ino(view));
    if (inode.isDirectory) {
      this.#directories.set(inode.number, await this.#make(inode, parent.inode.number));
    }
    const isNew = parent.add(entryOf(value, inode));
    if (!inode.isDirectory) inode.links = 1;
    else if (isNew) countSubdirectory(parent.inode, 1);
  }

  async link(value: Uint8Array, view: DataView): Promise<void> {
    const inode = await this.#inodes.get(Dentry.fc_ino(view));
    if (inode.links === 0) return;
    const parent = await this.#directory(Dentry.fc_parent_ino(view));
    if (parent.add(entryOf(value, inode))) inode.links += 1;
  }

  async unlink(value: Uint8Array, view: DataView): Promise<void> {
    const inode = await this.#inodes.get(Dentry.fc_ino(view));
    const parent = await this.#directory(Dentry.fc_parent_ino(view));
    if (!parent.remove(value.subarray(DENTRY_NAME_AT), inode.number)) return;
    if (inode.isDirectory) countSubdirectory(parent.inode, -1);
    else inode.links -= 1;
  }

  async #directory(number: number): Promise<ChangedDirectory> {
    const known = this.#directories.get(number);
    if (known !== undefined) return known;
    const inode = await this.#inodes.get(number);
    if (!inode.isDirectory) {
      throw new RestoreError('CORRUPT', 'a fast commit names a file in what is no directory', {
        where: { structure: `inode ${number}`, found: `i_mode 0o${inode.mode.toString(8)}` },
      });
    }
    const read = await ChangedDirectory.read(this.#volume, this.scratch, this.#inodes, inode);
    this.#directories.set(number, read);
    return read;
  }

  #make(inode: ChangedInode, parent: number): Promise<ChangedDirectory> {
    return ChangedDirectory.make(this.#volume, this.scratch, this.#inodes, inode, parent);
  }
}

/** By kind of tag; heads, tails and padding change nothing. */
const APPLY: Readonly<
  Record<number, (applier: Applier, value: Uint8Array, view: DataView) => Promise<void>>
> = {
  [FAST_TAG.addRange]: (applier, value, view) => applier.addRange(value, view),
  [FAST_TAG.deleteRange]: (applier, value, view) => applier.deleteRange(value, view),
  [FAST_TAG.create]: (applier, value, view) => applier.create(value, view),
  [FAST_TAG.link]: (applier, value, view) => applier.link(value, view),
  [FAST_TAG.unlink]: (applier, value, view) => applier.unlink(value, view),
  [FAST_TAG.inode]: (applier, value, view) => applier.inode(value, view),
};

function entryOf(
  value: Uint8Array,
  { number, mode }: ChangedInode,
): { name: Uint8Array; inode: number; type: number } {
  return {
    name: value.subarray(DENTRY_NAME_AT),
    inode: number,
    type: TYPE_BY_MODE[mode >>> 12] ?? 0,
  };
}

function unmade({ number }: ChangedInode): RestoreError {
  return new RestoreError('CORRUPT', 'a fast commit names a file that it has not made', {
    where: { structure: `inode ${number}`, found: 'i_links_count 0' },
  });
}

/** One link means that they are too many to count. */
function countSubdirectory(parent: ChangedInode, by: number): void {
  if (parent.links > 1) parent.links += by;
}
