import { cache, layout, readBytes, type SparseSource } from '../../core/index.ts';
import { needInside } from './checks.ts';
import type { ImageFile } from './image.ts';

/** Unit in which table pages are read and kept. */
export const PAGE_BYTES = 64 * 1024;

/** As much of a table as is checked at opening: no disk below 64 TiB has more, with usual blocks. */
const SCAN_LIMIT_BYTES = 32 * 1024 * 1024;

/** A piece of a table: entries from `firstIndex` on, as many as lie in one page. */
export interface TablePage {
  readonly view: DataView;
  readonly firstIndex: number;
  readonly count: number;
}

/**
 * Mapping tables read page by page through a bounded cache, so that memory does not grow with the
 * disk. Tables must be aligned to their entries' size, so that no entry straddles two pages.
 */
export class TableReader {
  readonly #file: ImageFile;
  readonly #pages: SparseSource;

  /** `budgetBytes`: table pages kept at the most. */
  constructor(file: ImageFile, budgetBytes: number) {
    this.#file = file;
    this.#pages = cache(file.source, { budgetBytes, lineBytes: PAGE_BYTES });
  }

  /**
   * The entries of the table at `tableAt` from entry `index` on, up to `count` and to the page's
   * end. Synchronous when the page is in memory.
   *
   * @throws RestoreError `CORRUPT` when the table reaches past the file's end.
   */
  entries(
    structure: string,
    tableAt: number,
    entryBytes: number,
    index: number,
    count: number,
  ): TablePage | Promise<TablePage> {
    const at = tableAt + index * entryBytes;
    const wanted = Math.min(count * entryBytes, PAGE_BYTES - (at % PAGE_BYTES));
    const length = Math.max(entryBytes, wanted - (wanted % entryBytes));
    needInside(this.#file, structure, at, length);
    const page = (bytes: Uint8Array): TablePage => ({
      view: layout.viewOf(bytes),
      firstIndex: index,
      count: length / entryBytes,
    });
    const held = this.#pages.peek(at, length);
    return held === undefined ? readBytes(this.#pages, at, length).then(page) : page(held);
  }

  /**
   * Walks a table once, past the cache, in order. For checks at opening: what lies past
   * {@link SCAN_LIMIT_BYTES} is left to the reads that use it.
   */
  async *scan(
    structure: string,
    tableAt: number,
    entryBytes: number,
    count: number,
  ): AsyncGenerator<TablePage> {
    const step = (16 * PAGE_BYTES) / entryBytes;
    needInside(this.#file, structure, tableAt, count * entryBytes);
    const end = Math.min(count, SCAN_LIMIT_BYTES / entryBytes);
    for (let index = 0; index < end; index += step) {
      const share = Math.min(step, end - index);
      const bytes = await readBytes(
        this.#file.source,
        tableAt + index * entryBytes,
        share * entryBytes,
      );
      yield { view: layout.viewOf(bytes), firstIndex: index, count: share };
    }
  }
}
