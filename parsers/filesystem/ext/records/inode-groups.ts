import {
  type Extent,
  isRestoreError,
  type Ranges,
  type RestoreError,
} from '../../../../core/index.ts';
import { descriptorBlocks, firstBlockOf, GroupTable, hasSuperblock } from '../groups.ts';
import { hasIncompat } from '../superblock.ts';
import { type ExtVolume, readBlock } from '../volume.ts';
import { accountOf, type GroupAccount } from './group-account.ts';

/** A group's inodes, as they lie. */
export interface InodeGroup {
  readonly group: number;
  /** Number of its first inode. */
  readonly first: number;
  /** Byte offset of its table. */
  readonly table: number;
  readonly tableBytes: number;
  /** Undefined where its descriptor is damaged. */
  readonly account: GroupAccount | undefined;
}

/** Groups as stretches of the volume: which bytes are tables, bitmaps, descriptors. */
export class InodeGroups {
  readonly #volume: ExtVolume;
  readonly #table: GroupTable;

  constructor(volume: ExtVolume) {
    this.#volume = volume;
    this.#table = new GroupTable(volume);
  }

  get count(): number {
    return this.#volume.superblock.groupCount;
  }

  groupOf(inode: number): number {
    return Math.floor((inode - 1) / this.#volume.superblock.inodesPerGroup);
  }

  /** @returns `undefined` when it is not known where its table lies. */
  async at(group: number, signal?: AbortSignal): Promise<InodeGroup | undefined> {
    const { inodesPerGroup, inodeSize } = this.#volume.superblock;
    const first = group * inodesPerGroup + 1;
    const table = await damageAsNone(
      () => this.#table.inodeTable(group, signal),
      (error) => this.#volume.health.damage(error),
    );
    if (table === undefined) return undefined;
    const descriptor = await damageAsNone(() => this.#table.descriptor(group, signal));
    const account =
      descriptor === undefined ? undefined : accountOf(this.#volume.superblock, descriptor);
    return { group, first, table, tableBytes: inodesPerGroup * inodeSize, account };
  }

  async *all(signal?: AbortSignal): AsyncGenerator<InodeGroup> {
    for (let group = 0; group < this.count; group += 1) {
      this.#volume.budget.checkTime();
      const found = await this.at(group, signal);
      if (found !== undefined) yield found;
    }
  }

  /** Superblocks, descriptors, bitmaps and tables. */
  async *ownPlaces(signal?: AbortSignal): AsyncGenerator<Extent> {
    const { superblock } = this.#volume;
    const { blockSize, descriptorSize, reservedDescriptorBlocks } = superblock;
    const perBlock = Math.floor(blockSize / descriptorSize);
    const descriptors = Math.ceil(this.count / perBlock) + reservedDescriptorBlocks;
    const isSpread = hasIncompat(superblock, 'meta_bg');
    const blocks = (block: number, count: number): Extent => ({
      offset: block * blockSize,
      length: count * blockSize,
    });
    yield blocks(0, firstBlockOf(superblock, 0) + 1);
    for await (const { group, table, tableBytes, account } of this.all(signal)) {
      if (hasSuperblock(superblock, group)) {
        yield blocks(firstBlockOf(superblock, group), 1 + (isSpread ? 0 : descriptors));
      }
      if (isSpread && group % perBlock === 0) {
        for (const block of descriptorBlocks(superblock, group)) yield blocks(block, 1);
      }
      yield { offset: table, length: Math.ceil(tableBytes / blockSize) * blockSize };
      if (account === undefined) continue;
      yield blocks(account.blockBitmap, 1);
      yield blocks(account.inodeBitmap, 1);
    }
  }

  /** What of `ranges` the bitmaps say is free, in whole clusters. */
  async *freeIn(ranges: Ranges, signal?: AbortSignal): AsyncGenerator<Extent> {
    const { superblock } = this.#volume;
    const { blockSize, blocksPerGroup, clusterSize } = superblock;
    const groupBytes = blocksPerGroup * blockSize;
    for (let group = 0; group < this.count; group += 1) {
      const start = firstBlockOf(superblock, group) * blockSize;
      if (!ranges.touches(start, groupBytes)) continue;
      const found = await this.at(group, signal);
      if (found?.account?.hasBlockBitmap !== true) continue;
      const { blockBitmap } = found.account;
      const bitmap = await damageAsNone(() =>
        readBlock(this.#volume, blockBitmap, 'block bitmap', signal),
      );
      if (bitmap === undefined) continue;
      for (const { offset, length } of ranges.within(start, groupBytes)) {
        const end = offset + length;
        for (let at = offset; at < end; ) {
          const cluster = Math.floor((at - start) / clusterSize);
          const stop = Math.min(end, start + (cluster + 1) * clusterSize);
          const isUsed = ((bitmap[cluster >> 3] as number) >> (cluster & 7)) & 1;
          if (isUsed === 0) yield { offset: at, length: stop - at };
          at = stop;
        }
      }
    }
  }
}

async function damageAsNone<T>(
  step: () => Promise<T>,
  tell?: (error: RestoreError) => void,
): Promise<T | undefined> {
  try {
    return await step();
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    tell?.(error);
    return undefined;
  }
}
