import type { BlockSource, SparseSource } from './block-source.ts';

/** A stretch of a file's content, and where its bytes lie on the volume. All in bytes. */
export interface ContentPlace {
  /** Offset in the file. */
  readonly offset: number;
  readonly length: number;
  /** Offset on the volume. */
  readonly at: number;
}

/**
 * Content that knows where it lies. Between its places it reads as zeros. What is kept elsewhere (in a file's record), or is made from what lies on the volume
 * (compressed), is no such source.
 */
export interface LocatedSource extends SparseSource {
  /**
   * Ascending, not overlapping. Costs no reads of content.
   *
   * @throws RestoreError `CORRUPT` for a part of which it is not known where it lies.
   */
  places(signal?: AbortSignal): AsyncIterable<ContentPlace>;
}

export function isLocated(source: BlockSource): source is LocatedSource {
  return typeof (source as Partial<LocatedSource>).places === 'function';
}
