/** The unit in which an overlay keeps track of a disk. */
export const PAGE_BYTES = 4096;

/** Where a page's bytes come from. */
export const PAGE_STATES = { base: 0, data: 1, zero: 2 } as const;
export type PageState = (typeof PAGE_STATES)[keyof typeof PAGE_STATES];

/** Pages that share one state. */
export interface PageRun {
  readonly first: number;
  readonly count: number;
  readonly state: PageState;
}

/** Pages in one chunk of the map; at two bits each, 4 KiB of memory for 64 MiB of disk. */
export const CHUNK_PAGES = 16_384;
export const CHUNK_BYTES: number = CHUNK_PAGES / 4;

const STATE_MASK = 3;
/** A byte whose four pages all have the state. */
const FOUR_OF = [0x00, 0x55, 0xaa] as const;
/** How many of a byte's four pages are `data`. */
const DATA_IN_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let slot = 0; slot < 4; slot += 1) {
    if (((byte >> (slot * 2)) & STATE_MASK) === PAGE_STATES.data) count += 1;
  }
  return count;
});

/**
 * The state of every page of a disk. A chunk whose pages all share one state is that state alone, so
 * an untouched disk of any size costs next to nothing.
 */
export class PageMap {
  readonly pageCount: number;
  readonly chunkCount: number;
  readonly #chunks: (PageState | Uint8Array)[];
  #dataPages = 0;

  constructor(pageCount: number) {
    this.pageCount = pageCount;
    this.chunkCount = Math.ceil(pageCount / CHUNK_PAGES);
    this.#chunks = new Array<PageState | Uint8Array>(this.chunkCount).fill(PAGE_STATES.base);
  }

  /** Pages whose bytes are in the data file. */
  get dataPages(): number {
    return this.#dataPages;
  }

  stateOf(page: number): PageState {
    const chunk = this.#chunks[Math.floor(page / CHUNK_PAGES)] as PageState | Uint8Array;
    return typeof chunk === 'number' ? chunk : slotOf(chunk, page % CHUNK_PAGES);
  }

  /** The first page after `page`, at most `limit`, of another state. */
  runEnd(page: number, limit: number): number {
    const state = this.stateOf(page);
    let at = page + 1;
    while (at < limit) {
      const number = Math.floor(at / CHUNK_PAGES);
      const start = number * CHUNK_PAGES;
      const chunk = this.#chunks[number] as PageState | Uint8Array;
      if (typeof chunk === 'number') {
        if (chunk !== state) return at;
        at = start + CHUNK_PAGES;
        continue;
      }
      const stop = Math.min(limit - start, CHUNK_PAGES);
      const reached = runInChunk(chunk, at - start, stop, state);
      at = start + reached;
      if (reached < stop) return at;
    }
    return Math.min(at, limit);
  }

  /** How many of these pages are `data`. */
  countData(first: number, count: number): number {
    let found = 0;
    for (const part of this.#parts(first, count)) {
      const chunk = this.#chunks[part.number] as PageState | Uint8Array;
      if (typeof chunk === 'number') found += chunk === PAGE_STATES.data ? part.count : 0;
      else found += dataInChunk(chunk, part.from, part.count);
    }
    return found;
  }

  set(first: number, count: number, state: PageState): void {
    this.#dataPages -= this.countData(first, count);
    if (state === PAGE_STATES.data) this.#dataPages += count;
    for (const { number, from, count: length } of this.#parts(first, count)) {
      const pagesHere = Math.min(CHUNK_PAGES, this.pageCount - number * CHUNK_PAGES);
      const chunk = this.#chunks[number] as PageState | Uint8Array;
      if (length === pagesHere) this.#chunks[number] = state;
      else if (chunk !== state) fill(this.#unfold(number), from, length, state);
    }
  }

  /** The runs in `[first, end)` that are not `base`, ascending; the map may change meanwhile. */
  *runs(first = 0, end: number = this.pageCount): Generator<PageRun> {
    for (let page = first; page < end; ) {
      const state = this.stateOf(page);
      const next = this.runEnd(page, end);
      if (state !== PAGE_STATES.base) yield { first: page, count: next - page, state };
      page = next;
    }
  }

  /** A chunk as it is now: one state, or its bits (four pages a byte, the lowest bits first). */
  chunk(number: number): PageState | Uint8Array {
    return this.#chunks[number] as PageState | Uint8Array;
  }

  /** Takes over a chunk's bits, each pair a legal state. */
  loadChunk(number: number, bits: Uint8Array): void {
    const first = number * CHUNK_PAGES;
    const count = Math.min(CHUNK_PAGES, this.pageCount - first);
    this.#dataPages -= this.countData(first, count);
    this.#chunks[number] = bits.slice();
    this.#dataPages += this.countData(first, count);
  }

  #unfold(number: number): Uint8Array {
    const chunk = this.#chunks[number] as PageState | Uint8Array;
    if (typeof chunk !== 'number') return chunk;
    const bits = new Uint8Array(CHUNK_BYTES).fill(FOUR_OF[chunk]);
    this.#chunks[number] = bits;
    return bits;
  }

  *#parts(
    first: number,
    count: number,
  ): Generator<{ number: number; from: number; count: number }> {
    const end = first + count;
    for (let page = first; page < end; ) {
      const number = Math.floor(page / CHUNK_PAGES);
      const from = page - number * CHUNK_PAGES;
      const length = Math.min(end - page, CHUNK_PAGES - from);
      yield { number, from, count: length };
      page += length;
    }
  }
}

function slotOf(bits: Uint8Array, slot: number): PageState {
  return (((bits[slot >> 2] as number) >> ((slot & 3) * 2)) & STATE_MASK) as PageState;
}

function runInChunk(bits: Uint8Array, from: number, stop: number, state: PageState): number {
  let at = from;
  while (at < stop) {
    if ((at & 3) === 0 && at + 4 <= stop && bits[at >> 2] === FOUR_OF[state]) at += 4;
    else if (slotOf(bits, at) === state) at += 1;
    else return at;
  }
  return stop;
}

function dataInChunk(bits: Uint8Array, from: number, count: number): number {
  const stop = from + count;
  let found = 0;
  for (let at = from; at < stop; ) {
    if ((at & 3) === 0 && at + 4 <= stop) {
      found += DATA_IN_BYTE[bits[at >> 2] as number] as number;
      at += 4;
    } else {
      if (slotOf(bits, at) === PAGE_STATES.data) found += 1;
      at += 1;
    }
  }
  return found;
}

function fill(bits: Uint8Array, from: number, count: number, state: PageState): void {
  const stop = from + count;
  for (let at = from; at < stop; ) {
    if ((at & 3) === 0 && at + 4 <= stop) {
      const bytes = (stop - at) >> 2;
      bits.fill(FOUR_OF[state], at >> 2, (at >> 2) + bytes);
      at += bytes * 4;
    } else {
      const shift = (at & 3) * 2;
      const index = at >> 2;
      bits[index] = ((bits[index] as number) & ~(STATE_MASK << shift)) | (state << shift);
      at += 1;
    }
  }
}
