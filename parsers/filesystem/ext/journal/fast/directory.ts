import { RestoreError } from '../../../../../core/index.ts';
import { INODE_FLAG } from '../../inode.ts';
import { hasIncompat } from '../../superblock.ts';
import { type ExtVolume, readBlock } from '../../volume.ts';
import {
  type BlockEntry,
  blockSumHolds,
  type DirectoryShape,
  entriesOf,
  fillBlock,
  insertEntry,
  removeEntry,
  sealBlock,
} from './directory-block.ts';
import type { ChangedInode, ChangedInodes } from './inodes.ts';
import type { Scratch } from './scratch.ts';

const ENTRY_HELD_BYTES = 160;
const TYPE_DIRECTORY = 2;

/** An entry that was there before, and where. */
interface OldEntry extends BlockEntry {
  readonly block: number;
  readonly at: number;
}

/**
 * A directory while names are added and removed. Names that come go where there is room, as in a
 * directory without an index, then into fresh blocks at its end; an index by hashes is given up: it
 * would not know of them.
 */
export class ChangedDirectory {
  readonly inode: ChangedInode;
  readonly #volume: ExtVolume;
  readonly #scratch: Scratch;
  readonly #shape: DirectoryShape;
  readonly #old = new Map<string, OldEntry>();
  readonly #added = new Map<string, BlockEntry>();
  readonly #removed: OldEntry[] = [];
  #isNew = false;
  /** In their order. */
  readonly #blocks: number[] = [];
  /** The first block, where it heads an index. */
  #indexRoot: number | undefined;

  private constructor(
    volume: ExtVolume,
    scratch: Scratch,
    inode: ChangedInode,
    seed: number | undefined,
  ) {
    this.#volume = volume;
    this.#scratch = scratch;
    this.inode = inode;
    const { blockSize } = volume.superblock;
    this.#shape = { blockSize, seed, typed: hasIncompat(volume.superblock, 'filetype') };
  }

  /** A directory that a fast commit made: nothing in it yet but `.` and `..`. */
  static async make(
    volume: ExtVolume,
    scratch: Scratch,
    inodes: ChangedInodes,
    inode: ChangedInode,
    parent: number,
  ): Promise<ChangedDirectory> {
    const directory = new ChangedDirectory(volume, scratch, inode, inodes.checksumSeedOf(inode));
    const runs = await inodes.runsOf(inode);
    runs.remove(0, 2 ** 32);
    const { block, content } = scratch.fresh();
    runs.add({ first: 0, count: 1, block });
    directory.#blocks.push(block);
    fillBlock(directory.#shape, content, [
      { name: Buffer.from('.'), inode: inode.number, type: TYPE_DIRECTORY },
      { name: Buffer.from('..'), inode: parent, type: TYPE_DIRECTORY },
    ]);
    // Its image tells of subdirectories whose own making follows.
    inode.links = 2;
    directory.#isNew = true;
    return directory;
  }

  /** @throws RestoreError `CORRUPT` when not all of it can be read. */
  static async read(
    volume: ExtVolume,
    scratch: Scratch,
    inodes: ChangedInodes,
    inode: ChangedInode,
  ): Promise<ChangedDirectory> {
    const directory = new ChangedDirectory(volume, scratch, inode, inodes.checksumSeedOf(inode));
    if (inode.has('inline_data')) throw inlineDirectory(inode.number);
    for (const run of (await inodes.runsOf(inode)).all) {
      for (let index = 0; index < run.count; index += 1) {
        await directory.#readBlock(run.block + index, run.first + index === 0);
      }
    }
    return directory;
  }

  async #readBlock(block: number, isFirst: boolean): Promise<void> {
    const content = await this.#content(block);
    if (isFirst && this.inode.has('index')) this.#indexRoot = block;
    this.#blocks.push(block);
    for (const { name, inode, type, at } of entriesOf(this.#shape, content)) {
      this.#volume.budget.hold(ENTRY_HELD_BYTES);
      this.#old.set(keyOf(name), { name: new Uint8Array(name), inode, type, block, at });
    }
  }

  async #content(block: number): Promise<Uint8Array> {
    return (
      this.#scratch.blocks.get(block) ??
      (await readBlock(this.#volume, block, `directory ${this.inode.number}`))
    );
  }

  /** @returns whether the name was new: one that is there stays as it is. */
  add(entry: BlockEntry): boolean {
    const key = keyOf(entry.name);
    if (this.#old.has(key) || this.#added.has(key)) return false;
    this.#volume.budget.hold(ENTRY_HELD_BYTES);
    this.#added.set(key, { ...entry, name: new Uint8Array(entry.name) });
    return true;
  }

  /**
   * Takes the name out if it leads to `inode`; it may have been given to another since.
   *
   * @returns whether the name was there.
   */
  remove(name: Uint8Array, inode: number): boolean {
    const key = keyOf(name);
    const old = this.#old.get(key);
    const found = this.#added.get(key) ?? old;
    if (found === undefined) return false;
    if (found.inode !== inode) return true;
    if (this.#added.delete(key)) return true;
    this.#old.delete(key);
    this.#removed.push(old as OldEntry);
    return true;
  }

  async write(inodes: ChangedInodes): Promise<void> {
    // From behind, so that the places of those before stay what they were.
    for (const { block, at } of this.#removed.toSorted((left, right) => right.at - left.at)) {
      const content = await this.#changeable(block);
      removeEntry(this.#shape, content, at);
      sealBlock(this.#shape, content);
    }
    if (this.#added.size > 0 || this.#isNew) await this.#append(inodes);
  }

  /** A copy to write to. A block that is damaged is left alone: a new sum would hide it. */
  async #changeable(block: number): Promise<Uint8Array> {
    const known = this.#scratch.blocks.get(block);
    if (known !== undefined) return known;
    const content = await this.#content(block);
    if (!blockSumHolds(this.#shape, content)) throw damagedBlock(this.inode.number, block);
    const copy = new Uint8Array(content);
    this.#scratch.put(block, copy);
    return copy;
  }

  /** The head of the index becomes a block with two entries, which it is but for its sum. */
  async #giveUpIndex(): Promise<void> {
    if (this.#indexRoot === undefined) return;
    const heads = entriesOf(this.#shape, await this.#content(this.#indexRoot)).slice(0, 2);
    const copy = new Uint8Array(this.#shape.blockSize);
    fillBlock(this.#shape, copy, heads);
    this.#scratch.put(this.#indexRoot, copy);
    this.#indexRoot = undefined;
    this.inode.flags &= ~INODE_FLAG.index;
  }

  async #append(inodes: ChangedInodes): Promise<void> {
    await this.#giveUpIndex();
    let entries = await this.#fit([...this.#added.values()]);
    const runs = await inodes.runsOf(this.inode);
    const last = runs.all.at(-1);
    let end = last === undefined ? 0 : last.first + last.count;
    for (; entries.length > 0; end += 1) {
      const { block, content } = this.#scratch.fresh();
      entries = entries.slice(fillBlock(this.#shape, content, entries));
      runs.add({ first: end, count: 1, block });
    }
    this.inode.size = end * this.#shape.blockSize;
  }

  /** @returns those for which no block has room. */
  async #fit(entries: readonly BlockEntry[]): Promise<readonly BlockEntry[]> {
    let waiting = entries;
    for (const block of this.#blocks) {
      if (waiting.length === 0) break;
      this.#volume.budget.checkTime();
      if (!blockSumHolds(this.#shape, await this.#content(block))) continue;
      const content = await this.#changeable(block);
      waiting = waiting.filter((entry) => !insertEntry(this.#shape, content, entry));
      sealBlock(this.#shape, content);
    }
    return waiting;
  }
}

function keyOf(name: Uint8Array): string {
  return Buffer.from(name).toString('latin1');
}

function inlineDirectory(number: number): RestoreError {
  return new RestoreError('UNSUPPORTED', 'a fast commit changes a directory stored in its inode', {
    where: { structure: `inode ${number}` },
  });
}

function damagedBlock(number: number, block: number): RestoreError {
  return new RestoreError('CORRUPT', 'a directory that a fast commit changes is damaged', {
    where: { structure: `directory ${number}, block ${block}`, expected: 'its checksum' },
  });
}
