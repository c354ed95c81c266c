import { RestoreError } from './errors.ts';

/**
 * A fixed-size run of bytes that can be read at any offset: a disk, a partition, a file's content.
 *
 * Immutable while open. A read fills its target exactly or throws a `RestoreError`; it is never
 * short and never silently zero. Layers are filters that take a source and return one.
 */
export interface BlockSource {
  /** Length in bytes. Need not be a multiple of `sectorSize` for sources that are not disks. */
  readonly size: number;
  /** Logical sector size in bytes, that of the original disk. */
  readonly sectorSize: SectorSize;
  /**
   * Fills `target` with the bytes at `offset`.
   *
   * @throws RestoreError `INVALID` when the range is not inside the source, `CORRUPT` when the
   *   stored bytes fail their checks, `IO` when the storage fails, `CANCELLED` on abort. The
   *   target's content is undefined after a throw.
   */
  readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void>;
  /**
   * The bytes at `offset` when they are at hand already decoded, else `undefined`: a view that
   * the caller must not write to and that stays valid as long as it is held.
   *
   * @throws RestoreError `INVALID` when the range is not inside the source.
   */
  peek(offset: number, length: number): Uint8Array | undefined;
  /** Frees what the source holds, the sources below it included. Idempotent. */
  close(): Promise<void>;
}

export type SectorSize = 512 | 4096;

/** A half-open byte range. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** A source that knows where it holds data. */
export interface SparseSource extends BlockSource {
  /**
   * The ranges inside `[offset, offset + length)` that may hold data: ascending, not overlapping,
   * clipped to the asked range. All between them reads as zeros. Costs no data reads.
   */
  extents(offset: number, length: number, signal?: AbortSignal): AsyncIterable<Extent>;
}

/** A layer: the same shape in as out. Closing the result closes `next`. */
export type BlockFilter = (next: BlockSource) => BlockSource;

export function isSparse(source: BlockSource): source is SparseSource {
  return typeof (source as Partial<SparseSource>).extents === 'function';
}

/** The data ranges of any source: its own when it is sparse, else the whole range as one. */
export async function* extentsOf(
  source: BlockSource,
  offset = 0,
  length: number = source.size - offset,
  signal?: AbortSignal,
): AsyncGenerator<Extent> {
  checkRange(source, offset, length);
  if (isSparse(source)) yield* source.extents(offset, length, signal);
  else if (length > 0) yield { offset, length };
}

/** @throws RestoreError `INVALID` unless `[offset, offset + length)` lies inside the source. */
export function checkRange(
  source: { readonly size: number },
  offset: number,
  length: number,
): void {
  if (
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= source.size
  ) {
    return;
  }
  throw new RestoreError('INVALID', 'the range is not inside the source', {
    where: {
      offset,
      expected: `a range inside 0..${source.size}`,
      found: `${length} bytes`,
    },
  });
}

/** Reads `length` bytes at `offset` into a fresh array. For small, rare reads such as headers. */
export async function readBytes(
  source: BlockSource,
  offset: number,
  length: number,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  checkRange(source, offset, length);
  const target = new Uint8Array(length);
  await source.readInto(target, offset, signal);
  return target;
}
