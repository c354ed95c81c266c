import { isRestoreError, type RecordName, throwIfAborted } from '../../../../core/index.ts';
import { parentOf } from '../directory/parent.ts';
import { DirectoryReader } from '../directory/reader.ts';
import { type Inode, INODE, u16 } from '../inode.ts';
import type { InodeTable } from '../inode-table.ts';
import { type ExtVolume, readWithin } from '../volume.ts';
import type { InodeGroups } from './inode-groups.ts';
import { scanGroup } from './scan.ts';

const ROOT_INODE = 2;
const MODE_TYPE = 0xf000;
const MODE_DIRECTORY = 0x4000;
const PIECE_BYTES = 64 * 1024;
/** How far back of a file its directory is looked for, in inodes and in directories. */
const NEAR_INODES_MAX = 2048;
const NEAR_DIRECTORIES_MAX = 4;

export interface NamesWanted {
  readonly numbers: ReadonlySet<number>;
  /** Directories to look in first. */
  readonly first: readonly number[];
}

/**
 * Finds the names of inodes. A directory knows its parent. For a file, directories are searched whose
 * own inodes lie near it, because Linux and mke2fs give a new file the first inode that is free behind
 * its directory's: those right before it, then those of its group, then all.
 */
export async function* findNames(
  volume: ExtVolume,
  inodes: InodeTable,
  groups: InodeGroups,
  { numbers, first }: NamesWanted,
  signal?: AbortSignal,
): AsyncGenerator<RecordName> {
  const search = new Search(volume, inodes, signal);
  const { inodeSize } = volume.superblock;
  for (const number of numbers) if (number !== ROOT_INODE) yield* search.add(number);
  yield* search.lookAll(first);
  for (const number of search.open.sort((a, b) => a - b)) {
    if (!search.isOpen(number)) continue;
    for await (const directory of directoriesBefore(volume, groups, number, signal)) {
      yield* search.look(directory, number);
      if (!search.isOpen(number)) break;
    }
  }
  for (const index of new Set(search.open.map((number) => groups.groupOf(number)))) {
    const group = await groups.at(index, signal);
    if (group === undefined) continue;
    for await (const { first: from, bytes } of scanGroup(volume, group, signal)) {
      if (search.open.length === 0) return;
      yield* search.lookAll(directoriesIn(bytes, from, inodeSize));
    }
  }
  if (search.open.length === 0) return;
  for await (const group of groups.all(signal)) {
    for await (const { first: from, bytes } of scanGroup(volume, group, signal)) {
      yield* search.lookAll(directoriesIn(bytes, from, inodeSize));
      if (search.open.length === 0) return;
    }
  }
}

/** The directories right before an inode in its group's table, the nearest first. */
async function* directoriesBefore(
  volume: ExtVolume,
  groups: InodeGroups,
  number: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<number> {
  const group = await groups.at(groups.groupOf(number), signal);
  if (group === undefined) return;
  const { inodeSize } = volume.superblock;
  const lowest = Math.max(group.first, number - NEAR_INODES_MAX);
  let count = 0;
  for (let end = number; end > lowest; ) {
    // Pieces end where those of the cache do, so that most are views.
    const endAt = group.table + (end - group.first) * inodeSize;
    const pieceStart = Math.floor((endAt - 1) / PIECE_BYTES) * PIECE_BYTES;
    const startAt = Math.max(group.table + (lowest - group.first) * inodeSize, pieceStart);
    const start = group.first + (startAt - group.table) / inodeSize;
    const length = endAt - startAt;
    const bytes = await readWithin(volume.metadata, startAt, length, 'inode table', signal);
    for (const directory of [...directoriesIn(bytes, start, inodeSize)].toReversed()) {
      yield directory;
      count += 1;
      if (count >= NEAR_DIRECTORIES_MAX) return;
    }
    end = start;
  }
}

class Search {
  readonly #volume: ExtVolume;
  readonly #inodes: InodeTable;
  readonly #signal: AbortSignal | undefined;
  /** How many names are still to be found, by inode. */
  readonly #missing = new Map<number, number>();
  readonly #lookedAt = new Set<number>();
  /** Names told already: a directory may be searched again for another file. */
  readonly #found = new Set<string>();

  constructor(volume: ExtVolume, inodes: InodeTable, signal: AbortSignal | undefined) {
    this.#volume = volume;
    this.#inodes = inodes;
    this.#signal = signal;
  }

  /** Inodes of which not all names are known. */
  get open(): number[] {
    return [...this.#missing.keys()];
  }

  isOpen(number: number): boolean {
    return this.#missing.has(number);
  }

  /** A directory is found at once: its one name is where its `..` leads. */
  async *add(number: number): AsyncGenerator<RecordName> {
    const inode = await this.#read(number);
    if (inode === undefined) return;
    this.#missing.set(number, inode.kind === 'directory' ? 1 : inode.links);
    if (inode.kind !== 'directory') return;
    const parent = await parentOf(this.#volume, inode, this.#signal);
    if (parent !== undefined) yield* this.#search(parent, new Set([number]));
  }

  async *lookAll(directories: Iterable<number>): AsyncGenerator<RecordName> {
    for (const directory of directories) {
      if (this.#missing.size === 0) return;
      yield* this.look(directory);
    }
  }

  /** @param until the inode with which the search of the directory ends; else it is searched whole. */
  async *look(directory: number, until?: number): AsyncGenerator<RecordName> {
    if (this.#missing.size === 0 || this.#lookedAt.has(directory)) return;
    const wanted = until === undefined ? new Set(this.#missing.keys()) : new Set([until]);
    yield* this.#search(directory, wanted);
    if (until === undefined) this.#lookedAt.add(directory);
  }

  async *#search(parent: number, wanted: ReadonlySet<number>): AsyncGenerator<RecordName> {
    throwIfAborted(this.#signal);
    const directory = await this.#read(parent);
    if (directory?.kind !== 'directory') return;
    const reader = new DirectoryReader(this.#volume, directory, wanted);
    for await (const links of reader.links(this.#signal)) {
      for (const { name, inode } of links) {
        const left = this.#missing.get(inode);
        const key = `${parent}/${inode}/${name}`;
        if (left === undefined || this.#found.has(key)) continue;
        this.#found.add(key);
        yield { number: inode, parent, name };
        if (left <= 1) this.#missing.delete(inode);
        else this.#missing.set(inode, left - 1);
      }
      if (![...wanted].some((inode) => this.#missing.has(inode))) return;
    }
  }

  /** What is damaged has no names to be found by: whoever lists its directory is told. */
  async #read(number: number): Promise<Inode | undefined> {
    try {
      return await this.#inodes.read(number, this.#signal);
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      return undefined;
    }
  }
}

function* directoriesIn(bytes: Uint8Array, first: number, inodeSize: number): Generator<number> {
  for (let at = 0; at + inodeSize <= bytes.byteLength; at += inodeSize) {
    const isDirectory = (u16(bytes, at + INODE.i_mode) & MODE_TYPE) === MODE_DIRECTORY;
    if (isDirectory && u16(bytes, at + INODE.i_links_count) > 0) yield first + at / inodeSize;
  }
}
