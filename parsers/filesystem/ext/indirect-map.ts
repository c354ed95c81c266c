import { type Extent, RestoreError } from '../../../core/index.ts';
import type { ContentRun } from '../content.ts';
import { type BlockMap, type MapPiece, pieceOrDamage } from './map-piece.ts';
import type { Inode } from './inode.ts';
import { checkBlocks, type ExtVolume, readBlock } from './volume.ts';

/** Kernel documentation, filesystems/ext4, "Direct/Indirect Block Addressing". */
const DIRECT_COUNT = 12;
const LEVELS = 3;

/** A pointer, how many levels lie below it, and the file's block at which its part begins. */
interface Step {
  readonly block: number;
  readonly level: number;
  readonly first: number;
  readonly wanted: number;
}

/** The block pointers of one inode of ext2 or ext3: direct, and up to three levels of indirect ones. */
export class IndirectMap implements BlockMap {
  readonly #volume: ExtVolume;
  readonly #inode: Inode;
  readonly #perBlock: number;

  constructor(volume: ExtVolume, inode: Inode) {
    this.#volume = volume;
    this.#inode = inode;
    this.#perBlock = volume.superblock.blockSize / 4;
  }

  async piece(offset: number, signal?: AbortSignal): Promise<MapPiece> {
    const { blockSize } = this.#volume.superblock;
    const wanted = Math.floor(offset / blockSize);
    const root = this.#inode.blockField;
    if (wanted < DIRECT_COUNT) {
      const pointers = root.subarray(0, DIRECT_COUNT * 4);
      return pieceOrDamage(0, DIRECT_COUNT * blockSize, () => this.#pointers(pointers, 0));
    }
    let first = DIRECT_COUNT;
    for (let level = 1; level <= LEVELS; level += 1) {
      const span = this.#perBlock ** level;
      if (wanted < first + span) {
        const block = pointerAt(root, DIRECT_COUNT + level - 1);
        return this.#descend({ block, level, first, wanted }, signal);
      }
      first += span;
    }
    return { start: first * blockSize, end: Number.MAX_SAFE_INTEGER, runs: [] };
  }

  async *owned(signal?: AbortSignal): AsyncGenerator<Extent> {
    const root = this.#inode.blockField;
    yield* this.#pointers(root.subarray(0, DIRECT_COUNT * 4), 0).runs.map(placeOf);
    for (let level = 1; level <= LEVELS; level += 1) {
      yield* this.#ownedUnder(pointerAt(root, DIRECT_COUNT + level - 1), level, signal);
    }
  }

  async *#ownedUnder(
    block: number,
    level: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Extent> {
    if (block === 0) return;
    this.#volume.budget.checkTime();
    const { blockSize } = this.#volume.superblock;
    const structure = `indirect block of inode ${this.#inode.number}`;
    const pointers = await readBlock(this.#volume, block, structure, signal);
    yield { offset: block * blockSize, length: blockSize };
    if (level === 1) {
      yield* this.#pointers(pointers, 0).runs.map(placeOf);
      return;
    }
    for (let index = 0; index < this.#perBlock; index += 1) {
      yield* this.#ownedUnder(pointerAt(pointers, index), level - 1, signal);
    }
  }

  /** Follows one pointer a level. Levels only fall, so a cycle ends. */
  #descend(
    { block, level, first, wanted }: Step,
    signal: AbortSignal | undefined,
  ): Promise<MapPiece> {
    const { blockSize } = this.#volume.superblock;
    const start = first * blockSize;
    const end = (first + this.#perBlock ** level) * blockSize;
    if (block === 0) return Promise.resolve({ start, end, runs: [] });
    return pieceOrDamage(start, end, async () => {
      const structure = `indirect block of inode ${this.#inode.number}`;
      const pointers = await readBlock(this.#volume, block, structure, signal);
      if (level === 1) return this.#pointers(pointers, first);
      const span = this.#perBlock ** (level - 1);
      const index = Math.floor((wanted - first) / span);
      const below = pointerAt(pointers, index);
      return this.#descend(
        { block: below, level: level - 1, first: first + index * span, wanted },
        signal,
      );
    });
  }

  /** Adjacent blocks become one run. */
  #pointers(data: Uint8Array, first: number): MapPiece {
    const { blockSize } = this.#volume.superblock;
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const count = data.byteLength / 4;
    const runs: ContentRun[] = [];
    for (let index = 0; index < count; ) {
      const block = view.getUint32(index * 4, true);
      let length = 1;
      if (block === 0) {
        index += 1;
        continue;
      }
      while (
        index + length < count &&
        view.getUint32((index + length) * 4, true) === block + length
      ) {
        length += 1;
      }
      checkBlocks(this.#volume, block, length, `block pointer of inode ${this.#inode.number}`);
      runs.push({
        offset: (first + index) * blockSize,
        length: length * blockSize,
        at: block * blockSize,
      });
      index += length;
    }
    return { start: first * blockSize, end: (first + count) * blockSize, runs };
  }
}

function placeOf({ at, length }: ContentRun): Extent {
  return { offset: at, length };
}

function pointerAt(data: Uint8Array, index: number): number {
  const at = index * 4;
  if (at + 4 > data.byteLength) {
    throw new RestoreError('CORRUPT', 'a block pointer lies outside its block');
  }
  return new DataView(data.buffer, data.byteOffset + at, 4).getUint32(0, true);
}
