import { corrupt, needInside } from '../checks.ts';
import type { ImageFile } from '../image.ts';
import type { ImageMap, Run } from '../mapped-source.ts';
import type { TablePage, TableReader } from '../tables.ts';
import type { Unpacker } from '../unpack.ts';
import type { Qcow2Header } from './header.ts';
import {
  entryOf,
  L1_RESERVED_HIGH,
  offsetOf,
  type Piece,
  type Slot,
  subclusterPiece,
} from './l2-entry.ts';

/**
 * The two-level map of qcow2: an L1 table of L2 tables of clusters. Tables are read through the
 * page cache, L1 included, so memory does not depend on the disk's size.
 *
 * @see qcow2.rst, "Cluster mapping"
 */
export class Qcow2Map implements ImageMap {
  readonly #file: ImageFile;
  readonly #data: ImageFile;
  readonly #header: Qcow2Header;
  readonly #tables: TableReader;
  readonly #unpacker: Unpacker;

  /** `data` holds the guest's clusters: the image itself, or its external data file. */
  constructor(
    file: ImageFile,
    data: ImageFile,
    header: Qcow2Header,
    tables: TableReader,
    unpacker: Unpacker,
  ) {
    this.#file = file;
    this.#data = data;
    this.#header = header;
    this.#tables = tables;
    this.#unpacker = unpacker;
  }

  run(offset: number, limit: number): Run | Promise<Run> {
    const { l1At, l1Count, clusterBytes, l2Count } = this.#header;
    const index = Math.floor(offset / (clusterBytes * l2Count));
    const page = this.#tables.entries('L1 table', l1At, 8, index, l1Count - index);
    return page instanceof Promise
      ? page.then((loaded) => this.#inL1(loaded, offset, limit))
      : this.#inL1(page, offset, limit);
  }

  /** Checks every L1 entry, so that a truncated image fails when it is opened. */
  async checkTables(): Promise<void> {
    const { l1At, l1Count, clusterBytes } = this.#header;
    for await (const page of this.#tables.scan('L1 table', l1At, 8, l1Count)) {
      for (let at = 0; at < page.count; at += 1) {
        const l2At = this.#l2At(page, at);
        if (l2At > 0) needInside(this.#file, 'L2 table', l2At, clusterBytes);
      }
    }
  }

  #inL1(page: TablePage, offset: number, limit: number): Run | Promise<Run> {
    const { clusterBytes, l2Count, l2EntryBytes } = this.#header;
    const spanBytes = clusterBytes * l2Count;
    const l2At = this.#l2At(page, 0);
    if (l2At === 0) {
      let empty = 1;
      while (empty < page.count && this.#l2At(page, empty) === 0) empty += 1;
      const end = (page.firstIndex + empty) * spanBytes;
      return { kind: 'parent', length: Math.min(limit, end - offset) };
    }
    const index = Math.floor((offset % spanBytes) / clusterBytes);
    const wanted = Math.min(
      l2Count - index,
      Math.ceil(((offset % clusterBytes) + limit) / clusterBytes),
    );
    const entries = this.#tables.entries('L2 table', l2At, l2EntryBytes, index, wanted);
    return entries instanceof Promise
      ? entries.then((loaded) => this.#inL2(loaded, l2At, offset, limit))
      : this.#inL2(entries, l2At, offset, limit);
  }

  #l2At({ view, firstIndex }: TablePage, at: number): number {
    const high = view.getUint32(at * 8);
    const low = view.getUint32(at * 8 + 4);
    const l2At = offsetOf(high, low);
    if (
      (high & L1_RESERVED_HIGH) !== 0 ||
      (low & 0x1ff) !== 0 ||
      l2At % this.#header.clusterBytes !== 0
    ) {
      throw corrupt(this.#file, 'an L1 entry is damaged', {
        structure: `L1 entry ${firstIndex + at}`,
        offset: this.#header.l1At + (firstIndex + at) * 8,
        expected: 'the offset of a cluster, reserved bits clear',
        found: `0x${((BigInt(high) << 32n) | BigInt(low)).toString(16)}`,
      });
    }
    return l2At;
  }

  /** Joins pieces that follow one another on the disk and in the file into one run. */
  #inL2(page: TablePage, l2At: number, offset: number, limit: number): Run {
    const { clusterBytes } = this.#header;
    const first = this.#piece(page, l2At, 0, offset, offset % clusterBytes);
    if (first.kind === 'packed') {
      const { cluster, skip } = first;
      const length = Math.min(limit, clusterBytes - skip);
      return { kind: 'packed', cluster, unpacker: this.#unpacker, skip, length };
    }
    let length = first.length;
    while (length < limit) {
      const inPage = (offset % clusterBytes) + length;
      const index = Math.floor(inPage / clusterBytes);
      if (index >= page.count) break;
      const next = this.#piece(page, l2At, index, offset + length, inPage % clusterBytes);
      if (next.kind !== first.kind) break;
      if (next.kind === 'data' && first.kind === 'data' && next.at !== first.at + length) break;
      length += next.length;
    }
    length = Math.min(length, limit);
    if (first.kind !== 'data') return { kind: first.kind, length };
    needInside(this.#data, 'data cluster', first.at, length);
    return { kind: 'data', file: this.#data.source, at: first.at, length };
  }

  /** The piece at `within` of the cluster that entry `index` of the page describes. */
  #piece(page: TablePage, l2At: number, index: number, diskOffset: number, within: number): Piece {
    const slot: Slot = {
      file: this.#file,
      header: this.#header,
      at: l2At + (page.firstIndex + index) * this.#header.l2EntryBytes,
      clusterStart: diskOffset - within,
    };
    const entry = entryOf(slot, page.view, index * this.#header.l2EntryBytes);
    return subclusterPiece(slot, entry, within);
  }
}
