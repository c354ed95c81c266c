import {
  type BlockSource,
  checkRange,
  type Extent,
  type SectorSize,
  type SparseSource,
  throwIfAborted,
} from '../../../core/index.ts';
import { decompressLznt1 } from './lznt1.ts';
import { HOLE, type Run } from './run-list.ts';

export interface CompressedShape {
  readonly size: number;
  /** Bytes behind this were never written and are zeros. */
  readonly initialized: number;
  readonly clusterBytes: number;
  readonly unitClusters: number;
}

/**
 * A stream that is compressed unit by unit, 16 clusters as a rule. A unit whose clusters are all there
 * is stored as it is; one that has none is zeros; in between, those that it has hold LZNT1, and the
 * rest is a hole.
 */
export class CompressedContent implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #source: BlockSource;
  readonly #runs: readonly Run[];
  readonly #initialized: number;
  readonly #clusterBytes: number;
  readonly #unitClusters: number;
  /** The unit that was unpacked last; readers go through files in small steps. */
  #last: { readonly unit: number; readonly bytes: Uint8Array } | undefined;

  /** @param runs of the whole stream, ascending, without gaps. */
  constructor(source: BlockSource, runs: readonly Run[], shape: CompressedShape) {
    this.#source = source;
    this.#runs = runs;
    this.size = shape.size;
    this.sectorSize = source.sectorSize;
    this.#initialized = shape.initialized;
    this.#clusterBytes = shape.clusterBytes;
    this.#unitClusters = shape.unitClusters;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    const end = offset + target.byteLength;
    const stop = Math.max(offset, Math.min(end, this.#initialized));
    target.fill(0, stop - offset);
    for (let at = offset; at < stop; ) {
      throwIfAborted(signal);
      const unit = Math.floor(at / this.#unitBytes);
      const start = unit * this.#unitBytes;
      const until = Math.min(stop, start + this.#unitBytes);
      const bytes = await this.#unit(unit, signal);
      const share = target.subarray(at - offset, until - offset);
      if (bytes === undefined) share.fill(0);
      else share.set(bytes.subarray(at - start, until - start));
      at = until;
    }
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    checkRange(this, offset, length);
    if (offset + length > this.#initialized || this.#last === undefined) return undefined;
    const from = offset - this.#last.unit * this.#unitBytes;
    if (from < 0 || from + length > this.#last.bytes.byteLength) return undefined;
    return this.#last.bytes.subarray(from, from + length);
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    const end = Math.min(offset + length, this.#initialized);
    let from = offset;
    for (let at = offset; at < end; ) {
      throwIfAborted(signal);
      const index = this.#runAt(Math.floor(at / this.#clusterBytes));
      const run = this.#runs[index];
      if (run === undefined) break;
      // A unit's data lies at its start, so a unit that begins in a hole is a hole all through.
      const unitStart = Math.floor(at / this.#unitBytes) * this.#unitBytes;
      const isHole = this.#isHole(unitStart);
      const next = isHole ? this.#endOfHole(unitStart, end) : unitStart + this.#unitBytes;
      if (isHole) {
        if (at > from) yield { offset: from, length: at - from };
        from = Math.min(next, end);
      }
      at = next;
    }
    if (from < end) yield { offset: from, length: end - from };
  }

  /** The volume belongs to the file system. */
  async close(): Promise<void> {
    this.#last = undefined;
  }

  get #unitBytes(): number {
    return this.#unitClusters * this.#clusterBytes;
  }

  #isHole(unitStart: number): boolean {
    const run = this.#runs[this.#runAt(unitStart / this.#clusterBytes)];
    return run === undefined || run.at === HOLE;
  }

  /** Whole units that the hole at `unitStart` takes; a sparse file may have billions. */
  #endOfHole(unitStart: number, end: number): number {
    const run = this.#runs[this.#runAt(unitStart / this.#clusterBytes)];
    if (run === undefined) return end;
    const holeEnd = (run.first + run.count) * this.#clusterBytes;
    const units = Math.floor((holeEnd - unitStart) / this.#unitBytes);
    return unitStart + Math.max(1, units) * this.#unitBytes;
  }

  /** A unit's content, `undefined` when it is all zeros. */
  async #unit(unit: number, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    if (this.#last?.unit === unit) return this.#last.bytes;
    const stored = await this.#stored(unit * this.#unitClusters, signal);
    if (stored === undefined) return undefined;
    const bytes = new Uint8Array(this.#unitBytes);
    if (stored.byteLength === this.#unitBytes) bytes.set(stored);
    else decompressLznt1(stored, bytes);
    this.#last = { unit, bytes };
    return bytes;
  }

  /** What a unit's clusters hold, up to its first hole. */
  async #stored(first: number, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    const pieces: { readonly at: number; readonly length: number }[] = [];
    let total = 0;
    const end = first + this.#unitClusters;
    for (let index = this.#runAt(first), next = first; next < end; index += 1) {
      const run = this.#runs[index];
      if (run === undefined || run.at === HOLE) break;
      const count = Math.min(end, run.first + run.count) - next;
      const at = (run.at + next - run.first) * this.#clusterBytes;
      pieces.push({ at, length: count * this.#clusterBytes });
      total += count * this.#clusterBytes;
      next += count;
    }
    if (total === 0) return undefined;
    const bytes = new Uint8Array(total);
    let to = 0;
    for (const { at, length } of pieces) {
      await this.#source.readInto(bytes.subarray(to, to + length), at, signal);
      to += length;
    }
    return bytes;
  }

  /** Index of the run that holds `cluster`, or how many there are. */
  #runAt(cluster: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const run = this.#runs[middle] as Run;
      if (run.first + run.count <= cluster) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
