/**
 * Bytes of a named file, as parsers see them. Parsers may not touch `node:fs`, so whoever composes
 * the program hands them an opener; tests hand them memory.
 */
import type { SparseSource } from './block-source.ts';

/** Opens `path` for reading. Throws `NOT_FOUND` when there is none. */
export interface FileOpener {
  open(path: string): Promise<SparseSource>;
  /** `reference`, as written in the file `from`, as a path for {@link FileOpener.open}. */
  resolve(from: string, reference: string): string;
}
