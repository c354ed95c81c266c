import {
  type BlockSource,
  checkRange,
  type Extent,
  extentsOf,
  RestoreError,
  type SectorSize,
  type SparseSource,
  throwIfAborted,
} from '../../../core/index.ts';
import { AllocationMap } from './allocation.ts';

/*
 * A disk as the bytes of a qcow2 file (version 3; docs/interop/qcow2.rst in QEMU), made while it is
 * read: nothing is stored. Clusters without data are left out, so the file is as long as its data.
 *
 *   header | refcount table | refcount blocks | L1 table | L2 tables | data clusters
 */

const CLUSTER_BITS = 16;
const CLUSTER_BYTES = 1 << CLUSTER_BITS;
const L2_ENTRIES = CLUSTER_BYTES / 8;
/** Refcounts are 16 bits wide. */
const REFCOUNTS_PER_BLOCK = CLUSTER_BYTES / 2;
const HEADER_BYTES = 104;
/** Bit 63: the refcount of what the entry refers to is exactly one. */
const COPIED = 1n << 63n;

/** Where each part begins, in clusters, and how many clusters the file has. */
interface Layout {
  readonly refcountTable: number;
  readonly refcountBlocks: number;
  readonly l1Table: number;
  readonly l2Tables: number;
  readonly data: number;
  readonly end: number;
}

/**
 * @throws RestoreError `INVALID` for a source that is not a whole number of sectors, and what
 *   listing its extents throws.
 */
export async function encodeQcow2(source: BlockSource): Promise<SparseSource> {
  if (source.size === 0 || source.size % 512 !== 0) {
    throw new RestoreError('INVALID', 'not a disk: its size is not a whole number of sectors', {
      where: { expected: 'a multiple of 512 bytes', found: source.size },
    });
  }
  const clusterCount = Math.ceil(source.size / CLUSTER_BYTES);
  const words = new Uint32Array(Math.ceil(clusterCount / 32));
  for await (const { offset, length } of extentsOf(source)) {
    const last = Math.floor((offset + length - 1) / CLUSTER_BYTES);
    for (let cluster = Math.floor(offset / CLUSTER_BYTES); cluster <= last; cluster += 1) {
      words[cluster >>> 5] = (words[cluster >>> 5] as number) | (1 << (cluster & 31));
    }
  }
  return new Qcow2Encoding(source, new AllocationMap(words, clusterCount, L2_ENTRIES));
}

class Qcow2Encoding implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize = 512;
  readonly #source: BlockSource;
  readonly #map: AllocationMap;
  /** Groups that have an L2 table, and so the table's number. */
  readonly #tables: readonly number[];
  readonly #layout: Layout;
  /** The metadata cluster made last: readers ask for a cluster in pieces. */
  #made: { readonly cluster: number; readonly bytes: Uint8Array } | undefined;

  constructor(source: BlockSource, map: AllocationMap) {
    this.#source = source;
    this.#map = map;
    const groups = Math.ceil(map.clusterCount / L2_ENTRIES);
    this.#tables = Array.from({ length: groups }, (_, group) => group).filter((group) =>
      map.hasData(group),
    );
    this.#layout = layOut(groups, this.#tables.length, map.dataCount);
    this.size = this.#layout.end * CLUSTER_BYTES;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    throwIfAborted(signal);
    const end = offset + target.byteLength;
    for (let at = offset; at < end; ) {
      const cluster = Math.floor(at / CLUSTER_BYTES);
      const within = at - cluster * CLUSTER_BYTES;
      const length = Math.min(end - at, CLUSTER_BYTES - within);
      const share = target.subarray(at - offset, at - offset + length);
      if (cluster >= this.#layout.data) await this.#readData(share, cluster, within, signal);
      else share.set(this.#metadata(cluster).subarray(within, within + length));
      at += length;
    }
  }

  peek(offset: number, length: number): undefined {
    checkRange(this, offset, length);
    return undefined;
  }

  async *extents(offset: number, length: number): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    if (length > 0) yield { offset, length };
  }

  close(): Promise<void> {
    return this.#source.close();
  }

  async #readData(
    target: Uint8Array,
    cluster: number,
    within: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const guest = this.#map.select(cluster - this.#layout.data);
    const start = guest * CLUSTER_BYTES + within;
    // The disk may end inside its last cluster; the file does not.
    const length = Math.max(0, Math.min(target.byteLength, this.#source.size - start));
    target.fill(0, length);
    if (length > 0) await this.#source.readInto(target.subarray(0, length), start, signal);
  }

  #metadata(cluster: number): Uint8Array {
    if (this.#made?.cluster !== cluster) {
      const view = new DataView(new ArrayBuffer(CLUSTER_BYTES));
      this.#write(view, cluster);
      this.#made = { cluster, bytes: new Uint8Array(view.buffer) };
    }
    return this.#made.bytes;
  }

  #write(view: DataView, cluster: number): void {
    const { refcountTable, refcountBlocks, l1Table, l2Tables } = this.#layout;
    if (cluster >= l2Tables) this.#writeL2(view, this.#tables[cluster - l2Tables] as number);
    else if (cluster >= l1Table) this.#writeL1(view, cluster - l1Table);
    else if (cluster >= refcountBlocks) this.#writeRefcounts(view, cluster - refcountBlocks);
    else if (cluster >= refcountTable) this.#writeRefcountTable(view, cluster - refcountTable);
    else this.#writeHeader(view);
  }

  #writeHeader(view: DataView): void {
    const { refcountTable, refcountBlocks, l1Table } = this.#layout;
    view.setUint32(0, 0x514649fb);
    view.setUint32(4, 3);
    view.setUint32(20, CLUSTER_BITS);
    view.setBigUint64(24, BigInt(this.#source.size));
    view.setUint32(36, Math.ceil(this.#map.clusterCount / L2_ENTRIES));
    view.setBigUint64(40, offsetOf(l1Table));
    view.setBigUint64(48, offsetOf(refcountTable));
    view.setUint32(56, refcountBlocks - refcountTable);
    view.setUint32(96, 4);
    view.setUint32(100, HEADER_BYTES);
  }

  #writeRefcountTable(view: DataView, part: number): void {
    const { refcountBlocks, l1Table } = this.#layout;
    const blocks = l1Table - refcountBlocks;
    for (let slot = 0; slot < L2_ENTRIES; slot += 1) {
      const block = part * L2_ENTRIES + slot;
      if (block < blocks) view.setBigUint64(slot * 8, offsetOf(refcountBlocks + block));
    }
  }

  #writeRefcounts(view: DataView, block: number): void {
    const first = block * REFCOUNTS_PER_BLOCK;
    const used = Math.min(REFCOUNTS_PER_BLOCK, this.#layout.end - first);
    for (let slot = 0; slot < used; slot += 1) view.setUint16(slot * 2, 1);
  }

  #writeL1(view: DataView, part: number): void {
    const first = part * L2_ENTRIES;
    this.#tables.forEach((group, number) => {
      if (group < first || group >= first + L2_ENTRIES) return;
      view.setBigUint64((group - first) * 8, offsetOf(this.#layout.l2Tables + number) | COPIED);
    });
  }

  #writeL2(view: DataView, group: number): void {
    let data = this.#layout.data + this.#map.dataBeforeGroup(group);
    const first = group * L2_ENTRIES;
    const count = Math.min(L2_ENTRIES, this.#map.clusterCount - first);
    for (let slot = 0; slot < count; slot += 1) {
      if (!this.#map.isData(first + slot)) continue;
      view.setBigUint64(slot * 8, offsetOf(data) | COPIED);
      data += 1;
    }
  }
}

/** Refcount blocks count themselves, so their number is found by trying. */
function layOut(groups: number, tables: number, dataCount: number): Layout {
  const l1Clusters = Math.ceil(groups / L2_ENTRIES);
  for (let blocks = 1; ; ) {
    const tableClusters = Math.ceil(blocks / L2_ENTRIES);
    const refcountTable = 1;
    const refcountBlocks = refcountTable + tableClusters;
    const l1Table = refcountBlocks + blocks;
    const l2Tables = l1Table + l1Clusters;
    const data = l2Tables + tables;
    const end = data + dataCount;
    const needed = Math.ceil(end / REFCOUNTS_PER_BLOCK);
    if (needed <= blocks) return { refcountTable, refcountBlocks, l1Table, l2Tables, data, end };
    blocks = needed;
  }
}

function offsetOf(cluster: number): bigint {
  return BigInt(cluster) << BigInt(CLUSTER_BITS);
}
