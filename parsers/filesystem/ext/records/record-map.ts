import {
  type BlockSource,
  type ContentPlace,
  type Extent,
  isRestoreError,
  type NodeId,
  type Ranges,
  type RecordMap,
  type RecordName,
  type RecordRun,
  throwIfAborted,
} from '../../../../core/index.ts';
import { blockMapOf } from '../block-map.ts';
import { INCOMPAT, RO_COMPAT } from '../features.ts';
import { type Inode, INODE, INODE_FLAG, u16, u32 } from '../inode.ts';
import type { InodeTable } from '../inode-table.ts';
import type { Superblock } from '../superblock.ts';
import { isFast } from '../symbolic-link.ts';
import { type ExtVolume, readWithin } from '../volume.ts';
import { findNames } from './find-names.ts';
import { InodeGroups } from './inode-groups.ts';
import { ownersOf } from './owners.ts';

const ROOT_INODE = 2;
const RESIZE_INODE = 7;
/** A line of the metadata's cache. */
const RUN_BYTES = 64 * 1024;

/** What stretches of an ext volume mean: a record is an inode. */
export class ExtRecordMap implements RecordMap {
  readonly geometry: string;
  readonly bytes: BlockSource;
  readonly replayed: readonly Extent[];
  readonly unitBytes: number;
  readonly recordBytes: number;
  readonly #volume: ExtVolume;
  readonly #inodes: InodeTable;
  readonly #groups: InodeGroups;

  constructor(volume: ExtVolume, inodes: InodeTable, replayed: readonly Extent[]) {
    const { superblock } = volume;
    const { blockSize, inodeSize, inodesPerGroup, blocksPerGroup, firstDataBlock } = superblock;
    const uuid = Buffer.from(superblock.uuid).toString('hex');
    const { clusterSize, descriptorSize, firstInode, checksumSeed } = superblock;
    const numbers = [
      ...[blockSize, inodeSize, inodesPerGroup, blocksPerGroup, firstDataBlock],
      ...[clusterSize, descriptorSize, firstInode, checksumSeed, meaningOf(superblock)],
    ];
    this.geometry = `ext ${uuid} ${numbers.join(' ')}`;
    this.bytes = volume.data;
    this.replayed = replayed;
    this.unitBytes = blockSize;
    this.recordBytes = inodeSize;
    this.#volume = volume;
    this.#inodes = inodes;
    this.#groups = new InodeGroups(volume);
  }

  async *recordsIn(ranges: Ranges, signal?: AbortSignal): AsyncGenerator<RecordRun> {
    const { recordBytes } = this;
    const perRun = RUN_BYTES / recordBytes;
    for await (const { first, table, tableBytes } of this.#groups.all(signal)) {
      for (const { offset, length } of ranges.within(table, tableBytes)) {
        const start = Math.floor((offset - table) / recordBytes);
        const end = Math.ceil((offset + length - table) / recordBytes);
        // Runs end where pieces of the cache do.
        const shift = (table % RUN_BYTES) / recordBytes;
        for (let at = start; at < end; ) {
          const count = Math.min(end - at, perRun - ((at + shift) % perRun));
          yield { first: first + at, count };
          at += count;
        }
      }
    }
  }

  async *recordPlaces(signal?: AbortSignal): AsyncGenerator<ContentPlace> {
    for await (const { first, table, tableBytes } of this.#groups.all(signal)) {
      yield { offset: (first - 1) * this.recordBytes, length: tableBytes, at: table };
    }
  }

  async readRecords({ first, count }: RecordRun, signal?: AbortSignal): Promise<Uint8Array> {
    const { metadata, superblock } = this.#volume;
    const { inodeCount, inodesPerGroup } = superblock;
    // A run lies in one group's table.
    const most = Math.min(inodeCount - first + 1, inodesPerGroup - ((first - 1) % inodesPerGroup));
    const length = Math.min(count, most) * this.recordBytes;
    if (first < 1 || length <= 0) return new Uint8Array();
    const offset = await this.#inodes.offsetOf(first, signal);
    return readWithin(metadata, offset, length, `inode ${first}`, signal);
  }

  async baseOf(number: number): Promise<number> {
    return number;
  }

  async fileOf(number: number, signal?: AbortSignal): Promise<NodeId | undefined> {
    if (number < this.#volume.superblock.firstInode && number !== ROOT_INODE) return undefined;
    const raw = await this.readRecords({ first: number, count: 1 }, signal);
    if (!isInUse(raw)) return undefined;
    return (u32(raw, INODE.i_flags) & INODE_FLAG.ea_inode) === 0 ? number : undefined;
  }

  numberOf(node: NodeId): number {
    return node;
  }

  async *placesOf(number: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    const raw = await this.readRecords({ first: number, count: 1 }, signal);
    if (!isInUse(raw)) return;
    try {
      yield* await this.#placesOfInode(await this.#inodes.read(number, signal), signal);
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
    }
  }

  async *ownPlaces(signal?: AbortSignal): AsyncGenerator<Extent> {
    yield* this.#groups.ownPlaces(signal);
    const { firstInode } = this.#volume.superblock;
    for (let number = 1; number < firstInode; number += 1) {
      const isFile = number === ROOT_INODE;
      // What that one holds are the blocks behind the descriptors, which are told already.
      if (!isFile && number !== RESIZE_INODE) yield* this.placesOf(number, signal);
    }
  }

  freeIn(ranges: Ranges, signal?: AbortSignal): AsyncIterable<Extent> {
    return this.#groups.freeIn(ranges, signal);
  }

  ownersOf(ranges: Ranges, signal?: AbortSignal): AsyncIterable<number> {
    return ownersOf(this.#volume, this.#inodes, this.#groups, ranges, signal);
  }

  namesOf(
    numbers: ReadonlySet<number>,
    first: readonly number[],
    signal?: AbortSignal,
  ): AsyncIterable<RecordName> {
    return findNames(this.#volume, this.#inodes, this.#groups, { numbers, first }, signal);
  }

  /** All of them at once: a part of a damaged map would be a wrong account. */
  async #placesOfInode(inode: Inode, signal: AbortSignal | undefined): Promise<Extent[]> {
    throwIfAborted(signal);
    const { blockSize } = this.#volume.superblock;
    const places: Extent[] = [];
    if (inode.attributeBlock !== 0) {
      places.push({ offset: inode.attributeBlock * blockSize, length: blockSize });
    }
    if (!hasMap(this.#volume, inode)) return places;
    for await (const place of blockMapOf(this.#volume, inode).owned(signal)) places.push(place);
    return places;
  }
}

/** Features by which the same bytes mean something else; not those that come and go with a mount. */
function meaningOf({ incompat, roCompat }: Superblock): string {
  const always = (incompat & ~INCOMPAT.needs_recovery) >>> 0;
  const sums = RO_COMPAT.bigalloc | RO_COMPAT.metadata_csum | RO_COMPAT.uninit_bg;
  return `${always.toString(16)}/${(roCompat & sums).toString(16)}`;
}

function isInUse(raw: Uint8Array): boolean {
  if (raw.byteLength === 0) return false;
  return u16(raw, INODE.i_mode) !== 0 && u16(raw, INODE.i_links_count) !== 0;
}

/** Short links, devices and inline files have something else where a map would be. */
function hasMap(volume: ExtVolume, inode: Inode): boolean {
  if (inode.has('inline_data')) return false;
  if (inode.kind === 'symlink') return !isFast(volume, inode);
  return inode.kind === 'file' || inode.kind === 'directory';
}
