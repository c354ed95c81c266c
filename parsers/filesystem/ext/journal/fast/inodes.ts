import { type FileKind, RestoreError } from '../../../../../core/index.ts';
import { blockMapOf, runsOf } from '../../block-map.ts';
import { continueCrc32c } from '../../checksum.ts';
import { INODE, INODE_BASE_BYTES, INODE_FLAG, Inode } from '../../inode.ts';
import { InodeTable } from '../../inode-table.ts';
import { type ExtVolume, readWithin } from '../../volume.ts';
import { BlockRuns, writeTree } from './runs.ts';
import type { Scratch } from './scratch.ts';

const I_BLOCK_END = INODE.i_generation;
const EXTENT_MAGIC = 0xf30a;
const LOGICAL_END = 2 ** 32;
const ROOT_INODE = 2;
const KIND_BY_MODE: Readonly<Record<number, FileKind>> = { 0x4000: 'directory', 0x8000: 'file' };

/** An inode while the fast commits change it. */
export class ChangedInode {
  readonly number: number;
  readonly raw: Uint8Array;
  readonly offset: number;
  /** Its extents, once they were asked for. */
  runs: BlockRuns | undefined;

  constructor(number: number, raw: Uint8Array, offset: number) {
    this.number = number;
    this.raw = raw;
    this.offset = offset;
  }

  get #view(): DataView {
    return new DataView(this.raw.buffer, this.raw.byteOffset, this.raw.byteLength);
  }

  get mode(): number {
    return this.#view.getUint16(INODE.i_mode, true);
  }

  get isDirectory(): boolean {
    return (this.mode & 0xf000) === 0x4000;
  }

  get flags(): number {
    return this.#view.getUint32(INODE.i_flags, true);
  }

  set flags(value: number) {
    this.#view.setUint32(INODE.i_flags, value, true);
  }

  get links(): number {
    return this.#view.getUint16(INODE.i_links_count, true);
  }

  set links(value: number) {
    this.#view.setUint16(INODE.i_links_count, Math.max(0, Math.min(value, 0xffff)), true);
  }

  set size(value: number) {
    this.#view.setUint32(INODE.i_size_lo, value % 2 ** 32, true);
    this.#view.setUint32(INODE.i_size_high, Math.floor(value / 2 ** 32), true);
  }

  has(flag: keyof typeof INODE_FLAG): boolean {
    return (this.flags & INODE_FLAG[flag]) !== 0;
  }
}

/** The inodes that fast commits touch, as they become. */
export class ChangedInodes {
  readonly #volume: ExtVolume;
  readonly #scratch: Scratch;
  readonly #table: InodeTable;
  readonly #changed = new Map<number, ChangedInode>();

  /** @param volume with all full commits replayed. */
  constructor(volume: ExtVolume, scratch: Scratch) {
    this.#volume = volume;
    this.#scratch = scratch;
    this.#table = new InodeTable(volume);
  }

  /** @throws RestoreError `CORRUPT` when a fast commit may not touch this inode. */
  async get(number: number): Promise<ChangedInode> {
    const known = this.#changed.get(number);
    if (known !== undefined) return known;
    const { superblock, metadata, budget } = this.#volume;
    if (number < superblock.firstInode && number !== ROOT_INODE) {
      throw new RestoreError('CORRUPT', 'a fast commit changes an inode that is reserved', {
        where: { structure: 'fast commit', found: `inode ${number}` },
      });
    }
    const offset = await this.#table.offsetOf(number);
    const raw = await readWithin(metadata, offset, superblock.inodeSize, `inode ${number}`);
    budget.hold(superblock.inodeSize);
    const inode = new ChangedInode(number, new Uint8Array(raw), offset);
    this.#changed.set(number, inode);
    return inode;
  }

  /**
   * Takes over an inode's image: all but its map, which the ranges that follow bring up to date
   * (`ext4_fc_replay_inode`). The image of a short symbolic link or a device holds what it is.
   */
  async replace(number: number, image: Uint8Array): Promise<void> {
    const inode = await this.get(number);
    if (image.byteLength > inode.raw.byteLength) {
      throw new RestoreError('CORRUPT', 'a fast commit has an inode that is too long', {
        where: { structure: `inode ${number}`, found: image.byteLength },
      });
    }
    const map = inode.raw.slice(INODE.i_block, I_BLOCK_END);
    inode.raw.set(image);
    const mapped = inode.has('extents') || KIND_BY_MODE[inode.mode & 0xf000] !== undefined;
    if (!mapped || inode.has('inline_data')) {
      inode.runs = undefined;
      return;
    }
    inode.raw.set(map, INODE.i_block);
    const magic = new DataView(map.buffer).getUint16(0, true);
    if (inode.has('extents') && magic !== EXTENT_MAGIC) inode.runs ??= new BlockRuns([]);
  }

  /** @throws RestoreError `CORRUPT` when the inode's map is damaged. */
  async runsOf(inode: ChangedInode): Promise<BlockRuns> {
    if (inode.runs !== undefined) return inode.runs;
    const { blockSize } = this.#volume.superblock;
    const found: { first: number; count: number; block: number }[] = [];
    for await (const run of runsOf(
      this.#volume,
      blockMapOf(this.#volume, this.#asInode(inode)),
      LOGICAL_END * blockSize,
    )) {
      found.push({
        first: run.offset / blockSize,
        count: run.length / blockSize,
        block: run.at / blockSize,
      });
    }
    inode.runs = new BlockRuns(found);
    return inode.runs;
  }

  checksumSeedOf(inode: ChangedInode): number | undefined {
    return this.#volume.superblock.hasChecksums ? this.#asInode(inode).checksumSeed : undefined;
  }

  /** Writes all of them into their tables' blocks, each by way of `each`. */
  async write(each: (step: () => Promise<void>) => Promise<void>): Promise<void> {
    for (const inode of this.#changed.values()) await each(() => this.#write(inode));
  }

  async #write(inode: ChangedInode): Promise<void> {
    if (inode.runs !== undefined) this.#writeRuns(inode, inode.runs);
    if (this.#volume.superblock.hasChecksums) seal(this.#volume, inode);
    const { blockSize } = this.#scratch;
    const block = Math.floor(inode.offset / blockSize);
    const content =
      this.#scratch.blocks.get(block) ??
      new Uint8Array(
        await readWithin(this.#volume.metadata, block * blockSize, blockSize, 'inode table'),
      );
    content.set(inode.raw, inode.offset % blockSize);
    this.#scratch.put(block, content);
  }

  #writeRuns(inode: ChangedInode, runs: BlockRuns): void {
    const root = writeTree(runs.all, this.#scratch, this.checksumSeedOf(inode));
    inode.raw.set(root, INODE.i_block);
    inode.flags |= INODE_FLAG.extents;
  }

  #asInode(inode: ChangedInode): Inode {
    const kind = inode.isDirectory ? 'directory' : 'file';
    return new Inode(inode.number, inode.raw, kind, this.#volume.superblock);
  }
}

/** Kernel documentation, filesystems/ext4, "Checksums": over number, generation and record. */
function seal({ superblock }: ExtVolume, inode: ChangedInode): void {
  const { raw } = inode;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const wide = raw.byteLength > INODE_BASE_BYTES && view.getUint16(INODE.i_extra_isize, true) >= 4;
  const head = new Uint8Array(8);
  new DataView(head.buffer).setUint32(0, inode.number, true);
  head.set(raw.subarray(INODE.i_generation, INODE.i_generation + 4), 4);
  view.setUint16(INODE.i_checksum_lo, 0);
  if (wide) view.setUint16(INODE.i_checksum_hi, 0);
  const sum = continueCrc32c(continueCrc32c(superblock.checksumSeed, head), raw);
  view.setUint16(INODE.i_checksum_lo, sum & 0xffff, true);
  if (wide) view.setUint16(INODE.i_checksum_hi, sum >>> 16, true);
}
