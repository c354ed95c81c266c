import {
  type BlockDevice,
  type BlockSource,
  checkRange,
  type Extent,
  extentsOf,
  RestoreError,
  type SectorSize,
  type SparseSource,
  throwIfAborted,
} from '../../core/index.ts';
import { PendingChanges } from './changes.ts';
import { openDataFile } from './data-file.ts';
import { Flusher } from './flusher.ts';
import type { OverlayFile, OverlayFolder } from './folder.ts';
import { MapFile } from './map-file.ts';
import { mergedExtents } from './overlay-extents.ts';
import { PAGE_BYTES } from './page-map.ts';
import { PageReader } from './page-reader.ts';
import { PageStore } from './page-store.ts';
import { RangeLocks } from './range-locks.ts';
import { type OverlayRecord, readRecord } from './record.ts';
import { Room } from './room.ts';

/** Writes up to this long go to the page cache at once: handing them to a thread costs more. */
const WRITE_NOW_BYTES_MAX = 128 * 1024;
/** When storage makes a write wait this long, writes go through threads for a while. */
const SLOW_WRITE_MS = 4;
const SLOW_FOR_MS = 1_000;

/**
 * A private, writable layer over a disk that never changes. What is written lies in a folder of its
 * own and survives restarts; {@link BlockDevice} says what survives a crash. Opened through
 * `createOverlay` and `openOverlay`; one opener at a time.
 */
export class Overlay implements BlockDevice, SparseSource {
  readonly record: OverlayRecord;
  /** Where it lies. */
  readonly folder: string;
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #base: BlockSource;
  readonly #data: OverlayFile;
  readonly #mapFile: MapFile;
  readonly #locks = new RangeLocks();
  readonly #flusher: Flusher;
  readonly #reader: PageReader;
  readonly #store: PageStore;
  readonly #unlock: () => void;
  #writeNowAfterMs = 0;
  #closing: Promise<void> | undefined;

  private constructor(
    folder: OverlayFolder,
    record: OverlayRecord,
    parts: {
      readonly base: BlockSource;
      readonly data: OverlayFile;
      readonly mapFile: MapFile;
      readonly unlock: () => void;
    },
  ) {
    const { base, data, mapFile, unlock } = parts;
    this.record = record;
    this.folder = folder.path;
    this.size = record.sizeBytes;
    this.sectorSize = record.sectorSize;
    this.#base = base;
    this.#data = data;
    this.#mapFile = mapFile;
    this.#unlock = unlock;
    const changes = new PendingChanges();
    const flusher = new Flusher(data, mapFile, changes);
    const room = new Room(record, () => folder.freeBytes(), folder.path);
    const locks = this.#locks;
    this.#flusher = flusher;
    this.#reader = new PageReader({ base, data, map: mapFile.map, locks, flusher });
    this.#store = new PageStore({ base, data, mapFile, room, changes, flusher });
  }

  /**
   * Opens the overlay in `folder`, which the caller has locked; `unlock` is called at the end.
   *
   * @param base the disk that the record names; closed with the overlay, also when this throws.
   * @param snapshotAfterBytes how long the map's list of changes may grow before it is summed up.
   */
  static async open(
    folder: OverlayFolder,
    base: BlockSource,
    unlock: () => void,
    snapshotAfterBytes?: number,
  ): Promise<Overlay> {
    let data: OverlayFile | undefined;
    try {
      const record = await readRecord(folder);
      checkBase(record, base, folder.path);
      const pageCount = Math.ceil(record.sizeBytes / PAGE_BYTES);
      data = await openDataFile(folder, record.id, pageCount);
      const mapFile = await MapFile.open(
        folder,
        { overlayId: record.id, pageCount },
        snapshotAfterBytes,
      );
      return new Overlay(folder, record, { base, data, mapFile, unlock });
    } catch (error) {
      await data?.close();
      unlock();
      await base.close();
      throw error;
    }
  }

  /** Bytes of data that the overlay holds, against its size limit. */
  get usedBytes(): number {
    return this.#mapFile.map.dataPages * PAGE_BYTES;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    throwIfAborted(signal);
    this.#checkOpen();
    await this.#reader.read(target, offset, signal);
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    checkRange(this, offset, length);
    this.#checkOpen();
    return this.#reader.peek(offset, length);
  }

  async writeFrom(data: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    this.#checkWrite(offset, data.byteLength, signal);
    if (data.byteLength === 0 || this.#writeNow(data, offset)) return;
    if (this.#flusher.isBehind) await this.#flusher.flush();
    await this.#holding(offset, data.byteLength, async () => {
      this.#flusher.check();
      await this.#store.store(await this.#store.patch(data, offset, signal));
    });
  }

  async flush(): Promise<void> {
    this.#checkOpen();
    await this.#flusher.flush();
  }

  async discard(offset: number, length: number, signal?: AbortSignal): Promise<void> {
    this.#checkWrite(offset, length, signal);
    if (length === 0) return;
    if (this.#flusher.isBehind) await this.#flusher.flush();
    await this.#holding(offset, length, () => this.#store.zero(offset, length, signal));
  }

  extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    this.#checkOpen();
    const base = extentsOf(this.#base, offset, length, signal);
    return mergedExtents(base, this.#mapFile.map, offset, length);
  }

  /** The ranges that were written or discarded since the overlay was made, whole pages, ascending. */
  changedRanges(): Extent[] {
    const ranges: { offset: number; length: number }[] = [];
    for (const { first, count } of this.#mapFile.map.runs()) {
      const offset = first * PAGE_BYTES;
      const length = Math.min(this.size, (first + count) * PAGE_BYTES) - offset;
      const last = ranges.at(-1);
      if (last !== undefined && last.offset + last.length === offset) last.length += length;
      else ranges.push({ offset, length });
    }
    return ranges;
  }

  /**
   * Makes all durable and lets go of everything, the disk below included. Idempotent.
   *
   * @throws RestoreError when the last flush fails; all is let go of even so.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#locks.drain();
    try {
      await this.#flusher.flush();
      await this.#mapFile.appendClosed();
    } finally {
      await this.#mapFile.close();
      await this.#data.close();
      this.#unlock();
      await this.#base.close();
    }
  }

  /** @returns `false` where something would have to be waited for. */
  #writeNow(data: Uint8Array, offset: number): boolean {
    if (data.byteLength > WRITE_NOW_BYTES_MAX || this.#flusher.isBehind) return false;
    const { start, end } = pagesAround(offset, data.byteLength);
    if (!this.#locks.isFree(start, end, 'write')) return false;
    const startMs = performance.now();
    if (startMs < this.#writeNowAfterMs) return false;
    const patch = this.#store.patchNow(data, offset);
    if (patch === undefined) return false;
    this.#store.storeNow(patch);
    const endMs = performance.now();
    if (endMs - startMs > SLOW_WRITE_MS) this.#writeNowAfterMs = endMs + SLOW_FOR_MS;
    return true;
  }

  async #holding(offset: number, length: number, work: () => Promise<void>): Promise<void> {
    const { start, end } = pagesAround(offset, length);
    const release = await this.#locks.acquire(start, end, 'write');
    try {
      await work();
    } finally {
      release();
    }
  }

  #checkWrite(offset: number, length: number, signal: AbortSignal | undefined): void {
    checkRange(this, offset, length);
    if (offset % this.sectorSize !== 0 || length % this.sectorSize !== 0) {
      throw new RestoreError('INVALID', 'a write is not whole sectors', {
        where: { offset, expected: `multiples of ${this.sectorSize}`, found: `${length} bytes` },
      });
    }
    throwIfAborted(signal);
    this.#checkOpen();
    this.#flusher.check();
  }

  #checkOpen(): void {
    if (this.#closing === undefined) return;
    throw new RestoreError('INVALID', 'the overlay is closed', { where: { object: this.folder } });
  }
}

function checkBase(record: OverlayRecord, base: BlockSource, object: string): void {
  if (base.size === record.sizeBytes && base.sectorSize === record.sectorSize) return;
  throw new RestoreError('INVALID', 'the overlay is of another disk', {
    where: {
      object,
      expected: `${record.sizeBytes} bytes in sectors of ${record.sectorSize}`,
      found: `${base.size} bytes in sectors of ${base.sectorSize}`,
    },
    hint: `It is of ${record.diskId} of restore point ${record.pointId} of ${record.machine}.`,
  });
}

/** Writes are kept apart by whole pages, because a page enters the overlay whole. */
function pagesAround(offset: number, length: number): { start: number; end: number } {
  const end = offset + length;
  return {
    start: offset - (offset % PAGE_BYTES),
    end: Math.ceil(end / PAGE_BYTES) * PAGE_BYTES,
  };
}
