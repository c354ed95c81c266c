import {
  type BlockSource,
  checkRange,
  type ContentPlace,
  type Extent,
  type LocatedSource,
  RestoreError,
  type SectorSize,
  throwIfAborted,
} from '../../../core/index.ts';
import { type ContentRun, firstEndingAfter } from '../content.ts';
import type { BlockMap, MapPiece } from './map-piece.ts';
import type { ExtVolume } from './volume.ts';

const PIECES_KEPT_MAX = 32;
const READS_AT_ONCE_MAX = 64;

/**
 * A file's content through its block map, of which it keeps the pieces last used. Where the map is
 * damaged, reads fail; all other places read as if nothing had happened.
 */
export class MappedContent implements LocatedSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #volume: ExtVolume;
  readonly #source: BlockSource;
  readonly #map: BlockMap;
  /** Most recently used first. */
  readonly #pieces: MapPiece[] = [];

  /** @param source the volume's `data` for files, its `metadata` for what the driver itself reads. */
  constructor(volume: ExtVolume, source: BlockSource, map: BlockMap, size: number) {
    this.size = size;
    this.sectorSize = source.sectorSize;
    this.#volume = volume;
    this.#source = source;
    this.#map = map;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    throwIfAborted(signal);
    const end = offset + target.byteLength;
    let reads: Promise<void>[] = [];
    for (let at = offset; at < end; ) {
      const piece = this.#known(at) ?? (await this.#load(at, signal));
      if (piece.damage !== undefined) throw piece.damage;
      const run = runAt(piece, at);
      const holeEnd = Math.min(end, run?.offset ?? piece.end);
      if (at < holeEnd) {
        target.fill(0, at - offset, holeEnd - offset);
        at = holeEnd;
      } else if (run !== undefined) {
        const stop = Math.min(end, run.offset + run.length);
        const share = target.subarray(at - offset, stop - offset);
        const reading = this.#read(share, run.at + at - run.offset, signal);
        // Met again below; a failure meanwhile is no unhandled one.
        reading.catch(() => {});
        reads.push(reading);
        at = stop;
      }
      if (reads.length >= READS_AT_ONCE_MAX) {
        await Promise.all(reads);
        reads = [];
      }
    }
    if (reads.length === 1) await reads[0];
    else await Promise.all(reads);
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    checkRange(this, offset, length);
    const piece = this.#known(offset);
    const run = piece === undefined ? undefined : runAt(piece, offset);
    if (run === undefined || offset < run.offset) return undefined;
    if (offset + length > run.offset + run.length) return undefined;
    const at = run.at + offset - run.offset;
    return at + length > this.#source.size ? undefined : this.#source.peek(at, length);
  }

  /** A damaged part of the map counts as data: whoever reads it meets the damage. */
  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    const end = offset + length;
    let held: Extent | undefined;
    for (let at = offset; at < end; ) {
      throwIfAborted(signal);
      this.#volume.budget.checkTime();
      const piece = this.#known(at) ?? (await this.#load(at, signal));
      const runs =
        piece.damage === undefined ? piece.runs : [{ offset: at, length: piece.end - at, at: 0 }];
      for (let index = firstEndingAfter(runs, at); index < runs.length; index += 1) {
        const run = runs[index] as ContentRun;
        const start = Math.max(at, run.offset);
        const stop = Math.min(end, run.offset + run.length);
        if (start >= stop) break;
        if (held !== undefined && held.offset + held.length === start) {
          held = { offset: held.offset, length: stop - held.offset };
          continue;
        }
        if (held !== undefined) yield held;
        held = { offset: start, length: stop - start };
      }
      at = piece.end;
    }
    if (held !== undefined) yield held;
  }

  async *places(signal?: AbortSignal): AsyncGenerator<ContentPlace> {
    for (let at = 0; at < this.size; ) {
      throwIfAborted(signal);
      this.#volume.budget.checkTime();
      const { runs, end, damage } = this.#known(at) ?? (await this.#load(at, signal));
      if (damage !== undefined) throw damage;
      for (const run of runs) {
        if (run.offset >= this.size) break;
        yield { ...run, length: Math.min(run.length, this.size - run.offset) };
      }
      at = end;
    }
  }

  /** The volume belongs to the file system. */
  async close(): Promise<void> {
    this.#pieces.length = 0;
  }

  async #read(target: Uint8Array, at: number, signal: AbortSignal | undefined): Promise<void> {
    if (at + target.byteLength > this.#source.size) {
      throw new RestoreError('CORRUPT', 'the volume ends before the file does', {
        where: { offset: at, expected: `at most ${this.#source.size} bytes` },
      });
    }
    await this.#source.readInto(target, at, signal);
  }

  #known(offset: number): MapPiece | undefined {
    const pieces = this.#pieces;
    const index = pieces.findIndex(({ start, end }) => offset >= start && offset < end);
    const piece = pieces[index];
    if (index > 0 && piece !== undefined) {
      pieces.copyWithin(1, 0, index);
      pieces[0] = piece;
    }
    return piece;
  }

  async #load(offset: number, signal: AbortSignal | undefined): Promise<MapPiece> {
    const piece = await this.#map.piece(offset, signal);
    if (piece.damage !== undefined) this.#volume.health.damage(piece.damage);
    this.#pieces.unshift(piece);
    if (this.#pieces.length > PIECES_KEPT_MAX) this.#pieces.length = PIECES_KEPT_MAX;
    return piece;
  }
}

/** The run that holds `offset`, or the next one behind it. */
function runAt({ runs }: MapPiece, offset: number): ContentRun | undefined {
  return runs[firstEndingAfter(runs, offset)];
}
