import { isRestoreError, RestoreError } from '../core/index.ts';
import {
  type BlockReference,
  encodeBlock,
  encodePage,
  FANOUT,
  type NativeDisk,
  type PageEntry,
  type Sealer,
  treeLevels,
} from '../store-reader/index.ts';
import type { BlockArbiter, SettledRun } from './arbiter.ts';
import { BLOCK_KINDS } from './encoder.ts';
import type { PackWriter } from './pack-writer.ts';
import type { ExtentCursor, RangeSet } from './ranges.ts';

/** Bytes in one task of a capture thread. */
const RUN_BYTES_MAX = 4 * 1024 * 1024;

export interface MapBuilderOptions {
  readonly disk: number;
  readonly sizeBytes: number;
  readonly blockSize: number;
  readonly arbiter: BlockArbiter;
  readonly pages: PackWriter;
  readonly sealer: Sealer;
  /** Where the disk may hold data, ascending. */
  readonly extents: ExtentCursor;
  /** The same disk in the point before. */
  readonly previous: NativeDisk | undefined;
  /** Packs that are there: a page in any other is written anew. */
  readonly packs: ReadonlySet<string>;
  /** With `trust`, only these ranges are read; with `verify`, all, and differences elsewhere noted. */
  readonly changes: { readonly ranges: RangeSet; readonly mode: 'trust' | 'verify' } | undefined;
  /** Called as the disk is worked through, with the byte that has been reached. */
  readonly onReached: (offset: number) => void;
}

/** A page or block that is being made. */
interface Pending {
  readonly done: Promise<PageEntry>;
}

const ZERO: Pending = { done: Promise.resolve(undefined) };

/**
 * Builds the block map of one disk, front to back: reads what may hold data, reuses every page of
 * the previous map that stays the same, and writes the rest.
 */
export class MapBuilder {
  /** Packs that the map refers to. */
  readonly usedPacks: Set<string> = new Set<string>();
  /** True when pages were taken over unread, so that `usedPacks` lacks what lies below them. */
  tookOverUnread = false;
  /** Ranges that differ from the previous point although the list of changes left them out. */
  readonly unlisted: { offset: number; length: number }[] = [];
  readonly #options: MapBuilderOptions;
  readonly #levels: number;

  constructor(options: MapBuilderOptions) {
    this.#options = options;
    this.#levels = treeLevels(options.sizeBytes, options.blockSize);
  }

  /** The reference to the top page; `undefined` for a disk of zeros. */
  async build(): Promise<BlockReference | undefined> {
    if (this.#options.sizeBytes === 0) return undefined;
    const { done } = await this.#node(this.#levels - 1, 0);
    return await done;
  }

  async #node(level: number, index: number): Promise<Pending> {
    const { start, end } = this.#range(level, index);
    const { changes, extents, onReached } = this.#options;
    onReached(start);
    const trusted = changes?.mode === 'trust' && !changes.ranges.touches(start, end);
    if (trusted) return await this.#takeOver(level, index);
    if (!(await extents.touches(start, end))) {
      await this.#noteVanished(start, end);
      return ZERO;
    }
    return level === 0 ? await this.#leaf(index) : await this.#inner(level, index);
  }

  async #inner(level: number, index: number): Promise<Pending> {
    const children: Pending[] = [];
    const { end } = this.#range(level, index);
    for (let slot = 0; slot < FANOUT; slot += 1) {
      const child = index * FANOUT + slot;
      if (this.#range(level - 1, child).start >= end) break;
      const pending = await this.#node(level - 1, child);
      // A failure is met when the parent's turn comes; until then it is not unhandled.
      pending.done.catch(() => undefined);
      children.push(pending);
    }
    const done = Promise.all(children.map((child) => child.done)).then(async (entries) =>
      this.#page(level, entries, (await this.#previousPage(level, index))?.reference),
    );
    return { done };
  }

  async #leaf(index: number): Promise<Pending> {
    const { blockSize, sizeBytes } = this.#options;
    await this.#options.pages.drain();
    const before = await this.#previousPage(0, index);
    const first = index * FANOUT;
    const count = Math.min(FANOUT, Math.ceil(sizeBytes / blockSize) - first);
    const old = Array.from({ length: count }, (_, slot) => before?.page.entry(slot));
    const entries: PageEntry[] = this.#options.changes?.mode === 'trust' ? [...old] : [];
    entries.length = count;
    const runs: Promise<void>[] = [];
    for (const run of await this.#runs(first, count, entries)) {
      const offset = (first + run.slot) * blockSize;
      const length = Math.min(run.count * blockSize, sizeBytes - offset);
      const previous = old.slice(run.slot, run.slot + run.count);
      const { disk, arbiter } = this.#options;
      const { settled } = await arbiter.start({ disk, offset, length, previous });
      const filled = settled.then((result) => {
        this.#noteUnlisted(result, previous, first + run.slot);
        for (let at = 0; at < run.count; at += 1) entries[run.slot + at] = result.entries[at];
      });
      filled.catch(() => undefined);
      runs.push(filled);
    }
    const done = Promise.all(runs).then(() => this.#page(0, entries, before?.reference));
    return { done };
  }

  /** Which blocks of a leaf are to be read, as runs; the others' entries are settled in `entries`. */
  async #runs(
    first: number,
    count: number,
    entries: PageEntry[],
  ): Promise<{ slot: number; count: number }[]> {
    const { blockSize, sizeBytes, extents, changes } = this.#options;
    const runs: { slot: number; count: number }[] = [];
    const most = Math.max(1, Math.floor(RUN_BYTES_MAX / blockSize));
    for (let slot = 0; slot < count; slot += 1) {
      const start = (first + slot) * blockSize;
      const end = Math.min(sizeBytes, start + blockSize);
      if (changes?.mode === 'trust' && !changes.ranges.touches(start, end)) continue;
      if (!(await extents.touches(start, end))) {
        entries[slot] = undefined;
        await this.#noteVanished(start, end);
        continue;
      }
      const last = runs.at(-1);
      if (last !== undefined && last.slot + last.count === slot && last.count < most) {
        last.count += 1;
      } else {
        runs.push({ slot, count: 1 });
      }
    }
    return runs;
  }

  /** Stores a page, unless it is all zeros or the same as before. */
  #page(
    level: number,
    entries: readonly PageEntry[],
    before: BlockReference | undefined,
  ): PageEntry {
    let any = false;
    for (const entry of entries) {
      if (entry === undefined) continue;
      any = true;
      this.usedPacks.add(entry.pack);
    }
    if (!any) return undefined;
    const plain = encodePage(level, entries);
    const id = this.#options.sealer.idOf(plain);
    const reference = this.#reusable(id, before) ? before : this.#write(plain, id);
    this.usedPacks.add((reference as BlockReference).pack);
    return reference;
  }

  #reusable(id: Uint8Array, before: BlockReference | undefined): boolean {
    if (before === undefined || !this.#options.packs.has(before.pack)) return false;
    return Buffer.compare(id, before.id) === 0;
  }

  #write(plain: Uint8Array, id: Uint8Array): BlockReference {
    return writePage(this.#options.pages, plain, id);
  }

  async #takeOver(level: number, index: number): Promise<Pending> {
    const reference = await this.#previousReference(level, index);
    if (reference === undefined) return ZERO;
    if (!this.#options.packs.has(reference.pack)) throw missingPack(reference);
    this.usedPacks.add(reference.pack);
    this.tookOverUnread = true;
    return { done: Promise.resolve(reference) };
  }

  async #previousReference(level: number, index: number): Promise<PageEntry> {
    const { previous } = this.#options;
    if (previous === undefined) return undefined;
    if (level === this.#levels - 1) return previous.root;
    const parent = await previous.pageAt(level + 1, Math.floor(index / FANOUT));
    return parent?.page.entry(index % FANOUT);
  }

  /** The previous map's page here. A damaged one counts as none, unless the list is trusted. */
  async #previousPage(level: number, index: number): ReturnType<NativeDisk['pageAt']> {
    const { previous, changes } = this.#options;
    if (previous === undefined || previous.levels <= level) return undefined;
    const beyond = this.#range(level, index).start >= previous.size;
    if (beyond) return undefined;
    try {
      return await previous.pageAt(level, index);
    } catch (error) {
      if (!isRestoreError(error) || changes !== undefined) throw error;
      return undefined;
    }
  }

  #noteUnlisted(result: SettledRun, previous: readonly PageEntry[], firstBlock: number): void {
    if (this.#options.changes?.mode !== 'verify') return;
    result.kinds.forEach((kind, slot) => {
      const wasZero = previous[slot] === undefined;
      const same = kind === BLOCK_KINDS.unchanged || (kind === BLOCK_KINDS.zero && wasZero);
      if (!same) this.#noteBlock(firstBlock + slot);
    });
  }

  async #noteVanished(start: number, end: number): Promise<void> {
    const { changes, previous } = this.#options;
    if (changes?.mode !== 'verify' || previous === undefined) return;
    for await (const block of previous.storedBlocks(start, Math.min(end, previous.size))) {
      this.#noteBlock(block);
    }
  }

  #noteBlock(block: number): void {
    const { blockSize, sizeBytes, changes } = this.#options;
    const offset = block * blockSize;
    const length = Math.min(blockSize, sizeBytes - offset);
    if (changes?.ranges.touches(offset, offset + length) === false) {
      this.unlisted.push({ offset, length });
    }
  }

  #range(level: number, index: number): { start: number; end: number } {
    const span = this.#options.blockSize * FANOUT ** (level + 1);
    return { start: index * span, end: Math.min(this.#options.sizeBytes, (index + 1) * span) };
  }
}

/** Stores a page of any kind, compressed where that helps. */
export function writePage(pages: PackWriter, plain: Uint8Array, id: Uint8Array): BlockReference {
  const { data, codec } = encodeBlock(plain, 'zstd', 3);
  return pages.add({ id, payload: data, plainBytes: plain.byteLength, flags: codec });
}

function missingPack(reference: BlockReference): RestoreError {
  return new RestoreError('CORRUPT', 'a part of the previous point is missing', {
    where: { object: `pack ${reference.pack}` },
    hint: 'Capture once without --changed-blocks: it stores again what is missing.',
  });
}
