import { layout } from '../../../core/index.ts';
import { corrupt, needInside } from '../checks.ts';
import { type ImageFile, SECTOR_BYTES } from '../image.ts';
import { inflate } from '../inflate.ts';
import type { ImageMap, Run } from '../mapped-source.ts';
import { type TablePage, TableReader } from '../tables.ts';
import { type PackedCluster, Unpacker } from '../unpack.ts';
import { GRAIN_MARKER_BYTES, GrainMarker } from './layout.ts';
import type { SparseExtentHeader } from './sparse-header.ts';

const ZEROED = 1;
/** Compressed data may be a little longer than plain: zlib's bound is far below this. */
const PACKED_SLACK_BYTES = 4096;

/**
 * One sparse extent: a grain directory of grain tables of grains. Offsets of runs are relative to
 * the extent.
 *
 * @see "Virtual Disk Format 5.0", "Hosted Sparse Extents"
 */
export class SparseExtentMap implements ImageMap {
  readonly #file: ImageFile;
  readonly #header: SparseExtentHeader;
  readonly #tables: TableReader;
  readonly #unpacker: Unpacker;

  /** `budgetBytes`: table pages kept, and twice as many bytes of decoded grains. */
  constructor(file: ImageFile, header: SparseExtentHeader, budgetBytes: number) {
    this.#file = file;
    this.#header = header;
    this.#tables = new TableReader(file, budgetBytes);
    this.#unpacker = grainUnpacker(file, header, 2 * budgetBytes);
  }

  run(offset: number, limit: number): Run | Promise<Run> {
    const { directoryAt, directoryCount } = this.#header;
    const index = Math.floor(offset / this.#spanBytes);
    const page = this.#tables.entries(
      'grain directory',
      directoryAt,
      4,
      index,
      directoryCount - index,
    );
    return page instanceof Promise
      ? page.then((loaded) => this.#inDirectory(loaded, offset, limit))
      : this.#inDirectory(page, offset, limit);
  }

  /** Checks every directory entry, so that a truncated image fails when it is opened. */
  async checkTables(): Promise<void> {
    const { directoryAt, directoryCount, tableCount } = this.#header;
    for await (const page of this.#tables.scan('grain directory', directoryAt, 4, directoryCount)) {
      for (let at = 0; at < page.count; at += 1) {
        const sector = page.view.getUint32(at * 4, true);
        if (sector > 0)
          needInside(this.#file, 'grain table', sector * SECTOR_BYTES, tableCount * 4);
      }
    }
  }

  get #spanBytes(): number {
    return this.#header.tableCount * this.#header.grainBytes;
  }

  #inDirectory(page: TablePage, offset: number, limit: number): Run | Promise<Run> {
    const { grainBytes, tableCount } = this.#header;
    const tableAt = page.view.getUint32(0, true) * SECTOR_BYTES;
    if (tableAt === 0) {
      let empty = 1;
      while (empty < page.count && page.view.getUint32(empty * 4, true) === 0) empty += 1;
      const end = (page.firstIndex + empty) * this.#spanBytes;
      return { kind: 'parent', length: Math.min(limit, end - offset) };
    }
    const index = Math.floor((offset % this.#spanBytes) / grainBytes);
    const wanted = Math.min(
      tableCount - index,
      Math.ceil(((offset % grainBytes) + limit) / grainBytes),
    );
    const entries = this.#tables.entries('grain table', tableAt, 4, index, wanted);
    return entries instanceof Promise
      ? entries.then((loaded) => this.#inTable(loaded, tableAt, offset, limit))
      : this.#inTable(entries, tableAt, offset, limit);
  }

  #inTable(page: TablePage, tableAt: number, offset: number, limit: number): Run {
    const { grainBytes, compressed } = this.#header;
    const skip = offset % grainBytes;
    const first = this.#entry(page, tableAt, 0);
    if (first > ZEROED && compressed) return this.#packed(first, offset, limit);
    let count = 1;
    while (count < page.count) {
      const next = this.#entry(page, tableAt, count);
      const follows =
        first > ZEROED ? next === first + (count * grainBytes) / SECTOR_BYTES : next === first;
      if (!follows) break;
      count += 1;
    }
    const length = Math.min(limit, count * grainBytes - skip);
    if (first <= ZEROED) return { kind: first === ZEROED ? 'zero' : 'parent', length };
    const at = first * SECTOR_BYTES + skip;
    needInside(this.#file, 'grain', at, length);
    return { kind: 'data', file: this.#file.source, at, length };
  }

  /** An entry: 0 for none, {@link ZEROED}, else the grain's first sector. */
  #entry({ view, firstIndex }: TablePage, tableAt: number, at: number): number {
    const entry = view.getUint32(at * 4, true);
    if (entry === 0 || (entry === ZEROED && this.#header.zeroedGrains)) return entry;
    // In stream-optimized files the tables lie between the grains: overHead says little there.
    const overhead = this.#header.compressed ? 0 : this.#header.overheadBytes;
    const lowest = Math.max(2 * SECTOR_BYTES, overhead);
    const grainAt = entry * SECTOR_BYTES;
    if (grainAt >= lowest && grainAt < this.#file.source.size) return entry;
    throw corrupt(this.#file, 'a grain table entry is damaged, or the image is truncated', {
      structure: 'grain table entry',
      offset: tableAt + (firstIndex + at) * 4,
      expected: `a sector inside the file's ${this.#file.source.size} bytes`,
      found: entry,
    });
  }

  #packed(sector: number, offset: number, limit: number): Run {
    const { grainBytes } = this.#header;
    const skip = offset % grainBytes;
    const at = sector * SECTOR_BYTES;
    const most = GRAIN_MARKER_BYTES + grainBytes + PACKED_SLACK_BYTES;
    const packedBytes = Math.min(most, this.#file.source.size - at);
    const cluster: PackedCluster = { at, packedBytes, diskOffset: offset - skip };
    const length = Math.min(limit, grainBytes - skip);
    return { kind: 'packed', cluster, unpacker: this.#unpacker, skip, length };
  }
}

/**
 * Unpacks grains of one stream-optimized extent. A grain's marker names the sector that it belongs
 * to, which must be the one that was asked for.
 */
function grainUnpacker(file: ImageFile, header: SparseExtentHeader, budgetBytes: number): Unpacker {
  const { grainBytes, sectorCount } = header;
  return new Unpacker(file, budgetBytes, (packed, cluster) => {
    needInside(file, 'grain marker', cluster.at, GRAIN_MARKER_BYTES);
    const marker = layout.viewOf(packed);
    const lba = GrainMarker.lba(marker);
    const sector = cluster.diskOffset / SECTOR_BYTES;
    if (lba !== BigInt(sector)) {
      throw corrupt(file, 'a grain belongs to another place of the disk', {
        structure: 'grain marker',
        offset: cluster.at,
        expected: `sector ${sector}`,
        found: `sector ${lba}`,
      });
    }
    const size = GrainMarker.size(marker);
    needInside(file, 'compressed grain', cluster.at + GRAIN_MARKER_BYTES, size);
    const data = packed.subarray(GRAIN_MARKER_BYTES, GRAIN_MARKER_BYTES + size);
    const onDisk = Math.min(grainBytes, (sectorCount - sector) * SECTOR_BYTES);
    return inflate(file, 'zlib', data, cluster, grainBytes, onDisk);
  });
}
