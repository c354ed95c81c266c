import type { RestoreError } from '../../../core/index.ts';
import { bitRun } from '../bitmap.ts';
import { corrupt, needInside } from '../checks.ts';
import type { ImageFile } from '../image.ts';
import type { ImageMap, Run } from '../mapped-source.ts';
import type { TablePage, TableReader } from '../tables.ts';
import { BLOCK_STATES, type BlockState, CHUNK_SECTORS, MIB } from './layout.ts';
import type { VhdxMetadata } from './metadata.ts';
import type { VhdxRegion } from './regions.ts';

interface BatEntry {
  readonly state: BlockState;
  readonly at: number;
}

/**
 * The BAT of VHDX: after the entries of each chunk of payload blocks comes that of the chunk's
 * sector bitmap block.
 *
 * Blocks that the specification leaves undefined read as zeros; in a differencing disk only those
 * never written show the parent.
 *
 * @see [MS-VHDX] section 2.5
 */
export class VhdxMap implements ImageMap {
  readonly #file: ImageFile;
  readonly #bat: VhdxRegion;
  readonly #metadata: VhdxMetadata;
  readonly #tables: TableReader;
  /** Payload blocks of one chunk. */
  readonly #chunkBlocks: number;

  constructor(file: ImageFile, bat: VhdxRegion, metadata: VhdxMetadata, tables: TableReader) {
    this.#file = file;
    this.#bat = bat;
    this.#metadata = metadata;
    this.#tables = tables;
    this.#chunkBlocks = (CHUNK_SECTORS * metadata.sectorSize) / metadata.blockBytes;
    if (this.#entryCount * 8 > bat.length) {
      throw corrupt(file, 'the block allocation table is too short for the disk', {
        structure: 'BAT region',
        offset: bat.at,
        expected: `at least ${this.#entryCount * 8} bytes`,
        found: `${bat.length} bytes`,
      });
    }
  }

  run(offset: number, limit: number): Run | Promise<Run> {
    const block = Math.floor(offset / this.#metadata.blockBytes);
    const index = block + Math.floor(block / this.#chunkBlocks);
    // The next entry after those of the chunk's payload is a bitmap's.
    const inChunk = this.#chunkBlocks - (block % this.#chunkBlocks);
    const count = Math.min(inChunk, this.#blockCount - block);
    const page = this.#tables.entries('BAT', this.#bat.at, 8, index, count);
    return page instanceof Promise
      ? page.then((loaded) => this.#inTable(loaded, block, offset, limit))
      : this.#inTable(page, block, offset, limit);
  }

  /** Checks every entry, so that a truncated image fails when it is opened. */
  async checkTables(): Promise<void> {
    const { blockBytes, size } = this.#metadata;
    for await (const page of this.#tables.scan('BAT', this.#bat.at, 8, this.#entryCount)) {
      for (let at = 0; at < page.count; at += 1) {
        const entry = this.#entry(page, at);
        const index = page.firstIndex + at;
        const chunk = Math.floor(index / (this.#chunkBlocks + 1));
        const isBitmap = index % (this.#chunkBlocks + 1) === this.#chunkBlocks;
        if (entry.state !== 'fully present' && entry.state !== 'partially present') continue;
        const rest = Math.min(blockBytes, size - (index - chunk) * blockBytes);
        const length = isBitmap ? MIB : rest;
        if (length > 0)
          needInside(
            this.#file,
            isBitmap ? 'sector bitmap block' : 'payload block',
            entry.at,
            length,
          );
      }
    }
  }

  get #blockCount(): number {
    return Math.ceil(this.#metadata.size / this.#metadata.blockBytes);
  }

  get #entryCount(): number {
    const blocks = this.#blockCount;
    const chunks = Math.ceil(blocks / this.#chunkBlocks);
    if (this.#metadata.parentLocator !== undefined) return chunks * (this.#chunkBlocks + 1);
    return blocks + Math.max(0, chunks - 1);
  }

  #inTable(page: TablePage, block: number, offset: number, limit: number): Run | Promise<Run> {
    const { blockBytes } = this.#metadata;
    const skip = offset % blockBytes;
    const first = this.#entry(page, 0);
    if (first.state === 'partially present') {
      return this.#partial(first, block, offset, Math.min(limit, blockBytes - skip));
    }
    const kind = this.#kindOf(first.state);
    let count = 1;
    for (; count < page.count && count * blockBytes - skip < limit; count += 1) {
      const next = this.#entry(page, count);
      if (next.state === 'partially present' || this.#kindOf(next.state) !== kind) break;
      if (kind === 'data' && next.at !== first.at + count * blockBytes) break;
    }
    const length = Math.min(limit, count * blockBytes - skip);
    return kind === 'data' ? this.#data(first.at + skip, length) : { kind, length };
  }

  #kindOf(state: BlockState): 'data' | 'zero' | 'parent' {
    if (state === 'fully present') return 'data';
    // Without a parent, what would show through it reads as zeros.
    return state === 'not present' ? 'parent' : 'zero';
  }

  /** The stretch from `offset` on whose sectors are all here, or all in the parent. */
  #partial(entry: BatEntry, block: number, offset: number, length: number): Run | Promise<Run> {
    const { sectorSize, blockBytes } = this.#metadata;
    const chunk = Math.floor(block / this.#chunkBlocks);
    const bitmapIndex = chunk * (this.#chunkBlocks + 1) + this.#chunkBlocks;
    const firstSector = Math.floor(offset / sectorSize) - chunk * CHUNK_SECTORS;
    const lastSector = Math.floor((offset + length - 1) / sectorSize) - chunk * CHUNK_SECTORS;
    const firstByte = firstSector >>> 3;
    const cut = ({ view, count }: TablePage): Run => {
      const bits = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
      const bitCount = Math.min(lastSector - firstSector + 1, count * 8 - (firstSector & 7));
      const run = bitRun(bits, firstSector & 7, bitCount, 'least significant first');
      const share = Math.min(length, run.count * sectorSize - (offset % sectorSize));
      return run.set
        ? this.#data(entry.at + (offset % blockBytes), share)
        : { kind: 'parent', length: share };
    };
    const inBitmap = (page: TablePage): Run | Promise<Run> => {
      const bitmap = this.#entry(page, 0);
      if (bitmap.state !== 'fully present') throw this.#missingBitmap(block, bitmapIndex);
      const bits = this.#tables.entries(
        'sector bitmap block',
        bitmap.at,
        1,
        firstByte,
        (lastSector >>> 3) - firstByte + 1,
      );
      return bits instanceof Promise ? bits.then(cut) : cut(bits);
    };
    const bat = this.#tables.entries('BAT', this.#bat.at, 8, bitmapIndex, 1);
    return bat instanceof Promise ? bat.then(inBitmap) : inBitmap(bat);
  }

  #data(at: number, length: number): Run {
    needInside(this.#file, 'payload block', at, length);
    return { kind: 'data', file: this.#file.source, at, length };
  }

  #entry({ view, firstIndex }: TablePage, at: number): BatEntry {
    const low = view.getUint32(at * 8, true);
    const high = view.getUint32(at * 8 + 4, true);
    const state = BLOCK_STATES[low & 7] as BlockState;
    // Bits 20 to 63 count MiB.
    const fileAt = (high * 2 ** 12 + (low >>> 20)) * MIB;
    const index = firstIndex + at;
    const isBitmap = index % (this.#chunkBlocks + 1) === this.#chunkBlocks;
    const differencing = this.#metadata.parentLocator !== undefined;
    const present = state === 'fully present' || state === 'partially present';
    const allowed = isBitmap
      ? state === 'not present' || (state === 'fully present' && differencing)
      : state !== 'reserved' && (state !== 'partially present' || differencing);
    if (!allowed || (present && fileAt < MIB)) throw this.#damaged(index, low, high);
    return { state, at: fileAt };
  }

  #missingBitmap(block: number, bitmapIndex: number): RestoreError {
    return corrupt(this.#file, 'a partially present block has no sector bitmap', {
      structure: `BAT entry ${bitmapIndex}`,
      offset: this.#bat.at + bitmapIndex * 8,
      expected: `the sector bitmap of block ${block}`,
      found: 'not present',
    });
  }

  #damaged(index: number, low: number, high: number): RestoreError {
    return corrupt(this.#file, 'a BAT entry is damaged', {
      structure: `BAT entry ${index}`,
      offset: this.#bat.at + index * 8,
      expected: 'a state that this kind of disk has, and a block past the header',
      found: `0x${((BigInt(high) << 32n) | BigInt(low)).toString(16)}`,
    });
  }
}
