import {
  type BlockSource,
  BytesSource,
  checkRange,
  type ContentPlace,
  type Extent,
  type LocatedSource,
  RestoreError,
  type SectorSize,
  type SparseSource,
  throwIfAborted,
} from '../../core/index.ts';

/** A stretch of a file that is stored in one piece. */
export interface ContentRun {
  /** Offset in the file, in bytes. */
  readonly offset: number;
  readonly length: number;
  /** Where it lies on the volume, in bytes. */
  readonly at: number;
}

/** A stretch of a file that cannot be read though the file has it: reading it throws `missing`. */
export interface MissingRun {
  readonly offset: number;
  readonly length: number;
  readonly missing: RestoreError;
}

type Run = ContentRun | MissingRun;

/**
 * A file's content as runs on a volume, everything else a hole. Runs that reach past the file's size
 * are cut. A run that is missing counts as data, so nobody takes it for zeros.
 *
 * @param runs ascending and not overlapping.
 * @throws RestoreError `CORRUPT` when they are not, or lie outside the volume.
 */
export function contentOf(volume: BlockSource, size: number, runs: readonly Run[]): SparseSource {
  const own = checked(volume, size, runs);
  // What a record holds lies in that record's copy, and nowhere on the volume by itself.
  const isOnVolume = !(volume instanceof BytesSource);
  return isOnVolume ? new VolumeContent(volume, size, own) : new RunContent(volume, size, own);
}

class RunContent implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #volume: BlockSource;
  protected readonly runs: readonly Run[];

  constructor(volume: BlockSource, size: number, runs: readonly Run[]) {
    this.#volume = volume;
    this.runs = runs;
    this.size = size;
    this.sectorSize = volume.sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    const end = offset + target.byteLength;
    let at = offset;
    for (let index = firstEndingAfter(this.runs, offset); at < end; index += 1) {
      throwIfAborted(signal);
      const run = this.runs[index];
      const holeEnd = Math.min(end, run?.offset ?? end);
      if (at < holeEnd) target.fill(0, at - offset, holeEnd - offset);
      at = Math.max(at, holeEnd);
      if (run === undefined || at >= end) break;
      if ('missing' in run) throw run.missing;
      const stop = Math.min(end, run.offset + run.length);
      const share = target.subarray(at - offset, stop - offset);
      await this.#volume.readInto(share, run.at + at - run.offset, signal);
      at = stop;
    }
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    checkRange(this, offset, length);
    const run = this.runs[firstEndingAfter(this.runs, offset)];
    if (run === undefined || 'missing' in run || offset < run.offset) return undefined;
    if (offset + length > run.offset + run.length) return undefined;
    return this.#volume.peek(run.at + offset - run.offset, length);
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    const end = offset + length;
    let held: Extent | undefined;
    for (let index = firstEndingAfter(this.runs, offset); index < this.runs.length; index += 1) {
      throwIfAborted(signal);
      const run = this.runs[index] as Run;
      if (run.offset >= end) break;
      const start = Math.max(offset, run.offset);
      const piece = { offset: start, length: Math.min(end, run.offset + run.length) - start };
      if (held !== undefined && held.offset + held.length === piece.offset) {
        held = { offset: held.offset, length: held.length + piece.length };
        continue;
      }
      if (held !== undefined) yield held;
      held = piece;
    }
    if (held !== undefined) yield held;
  }

  /** The volume belongs to the file system. */
  async close(): Promise<void> {}
}

class VolumeContent extends RunContent implements LocatedSource {
  async *places(): AsyncGenerator<ContentPlace> {
    for (const run of this.runs) {
      if ('missing' in run) throw run.missing;
      yield run;
    }
  }
}

/** Index of the first run that ends behind `offset`. */
export function firstEndingAfter(runs: readonly Extent[], offset: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const run = runs[middle] as Extent;
    if (run.offset + run.length <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function checked(volume: BlockSource, size: number, runs: readonly Run[]): readonly Run[] {
  const kept: Run[] = [];
  let last = 0;
  for (const run of runs) {
    const { offset, length } = run;
    if (offset < last || length < 0 || !Number.isSafeInteger(offset + length)) {
      throw outOfPlace('runs that ascend and do not overlap', `a run at ${offset} behind ${last}`);
    }
    last = offset + length;
    const used = Math.min(length, size - offset);
    if (used <= 0) continue;
    if ('missing' in run) {
      kept.push({ offset, length: used, missing: run.missing });
      continue;
    }
    const { at } = run;
    if (!(at >= 0 && at + used <= volume.size)) {
      throw outOfPlace(`a run inside the volume of ${volume.size} bytes`, `${used} bytes at ${at}`);
    }
    kept.push({ offset, length: used, at });
  }
  return kept;
}

function outOfPlace(expected: string, found: string): RestoreError {
  return new RestoreError('CORRUPT', 'the map of a file is damaged', {
    where: { expected, found },
  });
}
