import { bitRun } from '../bitmap.ts';
import { needInside } from '../checks.ts';
import { type ImageFile, SECTOR_BYTES } from '../image.ts';
import type { ImageMap, Run } from '../mapped-source.ts';
import type { TablePage, TableReader } from '../tables.ts';
import type { VhdHeader } from './footer.ts';
import { BLOCK_UNUSED } from './layout.ts';

/**
 * The block allocation table of a dynamic or differencing VHD. Each block is a sector bitmap and
 * then its data.
 *
 * In a differencing disk a clear bit means the parent's sector. In a dynamic disk bits are not
 * looked at, as in qemu: a block is allocated filled with zeros, so a sector never written reads as
 * zeros anyway, and a writer that forgot the bitmap loses nothing.
 *
 * @see VHD specification, "Block Allocation Table and Data Blocks"
 */
export class VhdMap implements ImageMap {
  readonly #file: ImageFile;
  readonly #header: VhdHeader;
  readonly #size: number;
  readonly #differencing: boolean;
  readonly #tables: TableReader;

  constructor(
    file: ImageFile,
    header: VhdHeader,
    disk: { readonly size: number; readonly differencing: boolean },
    tables: TableReader,
  ) {
    this.#file = file;
    this.#header = header;
    this.#size = disk.size;
    this.#differencing = disk.differencing;
    this.#tables = tables;
  }

  run(offset: number, limit: number): Run | Promise<Run> {
    const { tableAt, blockBytes, blockCount } = this.#header;
    const index = Math.floor(offset / blockBytes);
    const page = this.#tables.entries(
      'block allocation table',
      tableAt,
      4,
      index,
      blockCount - index,
    );
    return page instanceof Promise
      ? page.then((loaded) => this.#inTable(loaded, offset, limit))
      : this.#inTable(page, offset, limit);
  }

  /** Checks every entry, so that a truncated image fails when it is opened. */
  async checkTables(): Promise<void> {
    const { tableAt, blockCount, blockBytes } = this.#header;
    for await (const page of this.#tables.scan('block allocation table', tableAt, 4, blockCount)) {
      for (let at = 0; at < page.count; at += 1) {
        const sector = page.view.getUint32(at * 4);
        if (sector === BLOCK_UNUSED) continue;
        const length = Math.min(blockBytes, this.#size - (page.firstIndex + at) * blockBytes);
        needInside(
          this.#file,
          'data block',
          sector * SECTOR_BYTES,
          this.#header.bitmapBytes + length,
        );
      }
    }
  }

  #inTable(
    { view, firstIndex, count }: TablePage,
    offset: number,
    limit: number,
  ): Run | Promise<Run> {
    const { blockBytes, bitmapBytes } = this.#header;
    const sector = view.getUint32(0);
    if (sector === BLOCK_UNUSED) {
      let empty = 1;
      while (empty < count && view.getUint32(empty * 4) === BLOCK_UNUSED) empty += 1;
      return {
        kind: 'parent',
        length: Math.min(limit, (firstIndex + empty) * blockBytes - offset),
      };
    }
    const within = offset % blockBytes;
    const length = Math.min(limit, blockBytes - within);
    const bitmapAt = sector * SECTOR_BYTES;
    const data: Run = {
      kind: 'data',
      file: this.#file.source,
      at: bitmapAt + bitmapBytes + within,
      length,
    };
    needInside(this.#file, 'data block', data.at, length);
    return this.#differencing ? this.#byBitmap(bitmapAt, within, data) : data;
  }

  /** The part of `data` whose sectors are all here, or all in the parent. */
  #byBitmap(
    bitmapAt: number,
    within: number,
    data: Extract<Run, { kind: 'data' }>,
  ): Run | Promise<Run> {
    const skip = within % SECTOR_BYTES;
    const firstSector = Math.floor(within / SECTOR_BYTES);
    const firstByte = firstSector >>> 3;
    const lastSector = Math.floor((within + data.length - 1) / SECTOR_BYTES);
    const page = this.#tables.entries(
      'sector bitmap',
      bitmapAt,
      1,
      firstByte,
      (lastSector >>> 3) - firstByte + 1,
    );
    const cut = ({ view, count }: TablePage): Run => {
      const bits = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
      const bitCount = Math.min(lastSector - firstSector + 1, count * 8 - (firstSector & 7));
      const run = bitRun(bits, firstSector & 7, bitCount, 'most significant first');
      const length = Math.min(data.length, run.count * SECTOR_BYTES - skip);
      return run.set ? { ...data, length } : { kind: 'parent', length };
    };
    return page instanceof Promise ? page.then(cut) : cut(page);
  }
}
