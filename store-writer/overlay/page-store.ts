import { type BlockSource, isAllZero, zeroView } from '../../core/index.ts';
import type { PendingChanges } from './changes.ts';
import type { Flusher } from './flusher.ts';
import type { OverlayFile } from './folder.ts';
import type { MapFile } from './map-file.ts';
import { PAGE_BYTES, PAGE_STATES, type PageMap } from './page-map.ts';
import type { Room } from './room.ts';

/** Where page 0 lies in the data file; before it stands the file's own header. */
export const DATA_OFFSET: number = PAGE_BYTES;

export interface PageStoreParts {
  readonly base: BlockSource;
  readonly data: OverlayFile;
  readonly mapFile: MapFile;
  readonly room: Room;
  readonly changes: PendingChanges;
  readonly flusher: Flusher;
}

/** Whole bytes to put into the data file, pages that were not there filled up. */
export interface Patch {
  readonly bytes: Uint8Array;
  readonly offset: number;
}

/** Bytes that a patch lacks around what the caller writes. */
interface Gap {
  readonly offset: number;
  readonly length: number;
  /** Of the page before this write: nothing but zeros, or the base's bytes. */
  readonly isZero: boolean;
}

/**
 * Writes pages: page `n` of the disk lies at its own place in a sparse data file, so the map needs to
 * say no more than whether it is there. A page that was the base's enters whole, filled up from the
 * base, and so is never read together from two places.
 */
export class PageStore {
  readonly #parts: PageStoreParts;
  readonly #map: PageMap;
  /** New pages that are being written and not on the map yet. */
  #comingPages = 0;

  constructor(parts: PageStoreParts) {
    this.#parts = parts;
    this.#map = parts.mapFile.map;
  }

  /** The patch for a write, if all that it takes is at hand. */
  patchNow(data: Uint8Array, offset: number): Patch | undefined {
    const { head, tail } = this.#gaps(offset, data.byteLength);
    if (head === undefined && tail === undefined) return { bytes: data, offset };
    const [before, after] = [this.#peek(head), this.#peek(tail)];
    if (before === undefined || after === undefined) return undefined;
    return joined(before, data, after, offset);
  }

  /** As {@link patchNow}, waiting for the base where need be. The range must be held. */
  async patch(data: Uint8Array, offset: number, signal?: AbortSignal): Promise<Patch> {
    const { head, tail } = this.#gaps(offset, data.byteLength);
    const [before, after] = await Promise.all([this.#read(head, signal), this.#read(tail, signal)]);
    return joined(before, data, after, offset);
  }

  /** Puts a patch in place at once. @throws RestoreError `NO_SPACE`, `IO`; then nothing of it is seen. */
  storeNow(patch: Patch): void {
    const pages = this.#takeRoom(patch);
    for (const { bytes, offset } of this.#inOrder(patch, pages)) {
      this.#parts.data.writeNow(bytes, DATA_OFFSET + offset);
    }
    this.#mark(pages.first, pages.count);
  }

  /** As {@link storeNow}, without blocking. The range must be held. */
  async store(patch: Patch): Promise<void> {
    const pages = this.#takeRoom(patch);
    // Others look for room while this one is being written.
    this.#comingPages += pages.newPages;
    try {
      for (const { bytes, offset } of this.#inOrder(patch, pages)) {
        await this.#parts.data.write(bytes, DATA_OFFSET + offset);
      }
    } finally {
      this.#comingPages -= pages.newPages;
    }
    this.#mark(pages.first, pages.count);
  }

  /** Makes a range of sectors zero. The range must be held. */
  async zero(offset: number, length: number, signal?: AbortSignal): Promise<void> {
    const end = offset + length;
    const first = Math.ceil(offset / PAGE_BYTES);
    const last = end === this.#parts.base.size ? this.#map.pageCount : Math.floor(end / PAGE_BYTES);
    if (first >= last) {
      // Inside one page, or across the border of two.
      await this.#zeroParts([{ offset, length }], signal);
      return;
    }
    const middle = { offset: first * PAGE_BYTES, end: last * PAGE_BYTES };
    const edges = [
      { offset, length: middle.offset - offset },
      { offset: middle.end, length: end - middle.end },
    ];
    await this.#zeroParts(
      edges.filter((edge) => edge.length > 0),
      signal,
    );
    await this.#zeroPages(first, last - first);
  }

  async #zeroParts(
    parts: readonly { readonly offset: number; readonly length: number }[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const patches: Patch[] = [];
    for (const { offset, length } of parts) {
      patches.push(await this.patch(new Uint8Array(length), offset, signal));
    }
    // All or nothing: there must be room for the last before the first is seen.
    let newPages = 0;
    for (const patch of patches) {
      const { first, count } = pagesOf(patch);
      if (!this.#vanishes(patch)) newPages += count - this.#map.countData(first, count);
    }
    this.#parts.room.take(newPages * PAGE_BYTES, this.#takenBytes);
    for (const patch of patches) await this.#zeroPatch(patch);
  }

  async #zeroPatch(patch: Patch): Promise<void> {
    if (!this.#vanishes(patch)) return await this.store(patch);
    const { first, count } = pagesOf(patch);
    return await this.#zeroPages(first, count);
  }

  /** Whether a patch makes whole pages all zero, which takes no data. */
  #vanishes({ bytes, offset }: Patch): boolean {
    const end = offset + bytes.byteLength;
    const whole = end % PAGE_BYTES === 0 || end === this.#parts.base.size;
    return offset % PAGE_BYTES === 0 && whole && isAllZero(bytes);
  }

  async #zeroPages(first: number, count: number): Promise<void> {
    const { changes, mapFile, flusher, data } = this.#parts;
    if (this.#isAll(first, count, PAGE_STATES.zero)) return;
    mapFile.reserve(2, changes.count + 1, true);
    const holes = [...this.#map.runs(first, first + count)].filter(
      ({ state }) => state === PAGE_STATES.data,
    );
    this.#map.set(first, count, PAGE_STATES.zero);
    changes.add(first, count, PAGE_STATES.zero);
    flusher.noteWrite();
    for (const hole of holes) {
      await data.punch(DATA_OFFSET + hole.first * PAGE_BYTES, hole.count * PAGE_BYTES);
    }
  }

  #gaps(offset: number, length: number): { head: Gap | undefined; tail: Gap | undefined } {
    const end = offset + length;
    const start = offset - (offset % PAGE_BYTES);
    const stop = Math.min(this.#parts.base.size, Math.ceil(end / PAGE_BYTES) * PAGE_BYTES);
    return { head: this.#gap(start, offset), tail: this.#gap(end, stop) };
  }

  /** @returns `undefined` where nothing is lacking: the page is in the data file already. */
  #gap(offset: number, end: number): Gap | undefined {
    if (offset >= end) return undefined;
    const state = this.#map.stateOf(Math.floor(offset / PAGE_BYTES));
    if (state === PAGE_STATES.data) return undefined;
    return { offset, length: end - offset, isZero: state === PAGE_STATES.zero };
  }

  #peek(gap: Gap | undefined): Uint8Array | undefined {
    if (gap === undefined) return new Uint8Array(0);
    return gap.isZero ? zeroView(gap.length) : this.#parts.base.peek(gap.offset, gap.length);
  }

  async #read(gap: Gap | undefined, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const bytes = new Uint8Array(gap?.length ?? 0);
    if (gap !== undefined && !gap.isZero)
      await this.#parts.base.readInto(bytes, gap.offset, signal);
    return bytes;
  }

  get #takenBytes(): number {
    return (this.#map.dataPages + this.#comingPages) * PAGE_BYTES;
  }

  #takeRoom(patch: Patch): { first: number; count: number; newPages: number } {
    const { first, count } = pagesOf(patch);
    const newPages = count - this.#map.countData(first, count);
    if (newPages > 0) {
      const { room, mapFile, changes } = this.#parts;
      room.take(newPages * PAGE_BYTES, this.#takenBytes);
      mapFile.reserve(2, changes.count + 1, false);
    }
    return { first, count, newPages };
  }

  /** New pages first: a full disk shows there, before anything that can be seen is written. */
  *#inOrder(
    patch: Patch,
    { first, count, newPages }: { first: number; count: number; newPages: number },
  ): Generator<Patch> {
    if (newPages === 0 || newPages === count) {
      yield patch;
      return;
    }
    const parts: { part: Patch; isNew: boolean }[] = [];
    for (let page = first; page < first + count; ) {
      const next = this.#map.runEnd(page, first + count);
      const isNew = this.#map.stateOf(page) !== PAGE_STATES.data;
      parts.push({ part: cut(patch, page * PAGE_BYTES, next * PAGE_BYTES), isNew });
      page = next;
    }
    for (const { part, isNew } of parts) if (isNew) yield part;
    for (const { part, isNew } of parts) if (!isNew) yield part;
  }

  #mark(first: number, count: number): void {
    const { changes, flusher } = this.#parts;
    if (!this.#isAll(first, count, PAGE_STATES.data)) {
      this.#map.set(first, count, PAGE_STATES.data);
      changes.add(first, count, PAGE_STATES.data);
    }
    flusher.noteWrite();
  }

  #isAll(first: number, count: number, state: number): boolean {
    return (
      this.#map.stateOf(first) === state && this.#map.runEnd(first, first + count) === first + count
    );
  }
}

function pagesOf({ bytes, offset }: Patch): { first: number; count: number } {
  const first = Math.floor(offset / PAGE_BYTES);
  return { first, count: Math.ceil((offset + bytes.byteLength) / PAGE_BYTES) - first };
}

function cut({ bytes, offset }: Patch, from: number, to: number): Patch {
  const start = Math.max(from, offset);
  return { bytes: bytes.subarray(start - offset, to - offset), offset: start };
}

function joined(before: Uint8Array, data: Uint8Array, after: Uint8Array, offset: number): Patch {
  if (before.byteLength === 0 && after.byteLength === 0) return { bytes: data, offset };
  return { bytes: Buffer.concat([before, data, after]), offset: offset - before.byteLength };
}
