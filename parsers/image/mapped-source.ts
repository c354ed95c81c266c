import {
  checkRange,
  type Extent,
  type SectorSize,
  type SparseSource,
  throwIfAborted,
} from '../../core/index.ts';
import { Flight } from './flight.ts';
import type { PackedCluster, Unpacker } from './unpack.ts';

/** Where a stretch of the disk comes from. `length` is never 0 nor more than was asked for. */
export type Run =
  | {
      readonly kind: 'data';
      readonly file: SparseSource;
      readonly at: number;
      readonly length: number;
    }
  | {
      readonly kind: 'packed';
      readonly cluster: PackedCluster;
      readonly unpacker: Unpacker;
      readonly skip: number;
      readonly length: number;
    }
  | { readonly kind: 'zero'; readonly length: number }
  | { readonly kind: 'parent'; readonly length: number };

/** An image's mapping tables: the one thing that formats differ in. */
export interface ImageMap {
  /**
   * The source of the bytes at `offset`: one run, as long as the tables at hand show it to be, at
   * most `limit` bytes. Synchronous when the tables are in memory.
   *
   * @throws RestoreError `CORRUPT` when the tables contradict themselves or the file's size.
   */
  run(offset: number, limit: number): Run | Promise<Run>;
}

export interface MappedImage {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly map: ImageMap;
  /** What shows through where this file holds nothing; may be shorter or longer than the disk. */
  readonly parent?: SparseSource | undefined;
}

/** The disk that an image's map describes. Does not own the files below: the chain closes them. */
export class MappedSource implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #map: ImageMap;
  readonly #parent: SparseSource | undefined;

  constructor({ size, sectorSize, map, parent }: MappedImage) {
    this.size = size;
    this.sectorSize = sectorSize;
    this.#map = map;
    this.#parent = parent;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    const flight = new Flight();
    try {
      for (let done = 0; done < target.byteLength; ) {
        throwIfAborted(signal);
        const found = this.#map.run(offset + done, target.byteLength - done);
        const run = found instanceof Promise ? await found : found;
        const share = target.subarray(done, done + run.length);
        await flight.add(this.#fill(share, offset + done, run, signal));
        done += run.length;
      }
    } finally {
      // Nobody may write into the target once the caller has it back.
      await flight.landed();
    }
    flight.throwFirst();
    throwIfAborted(signal);
  }

  peek(offset: number, length: number): undefined {
    checkRange(this, offset, length);
    return undefined;
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    let held: { offset: number; length: number } | undefined;
    for await (const extent of this.#pieces(offset, length, signal)) {
      if (held !== undefined && held.offset + held.length === extent.offset) {
        held.length += extent.length;
        continue;
      }
      if (held !== undefined) yield held;
      held = { ...extent };
    }
    if (held !== undefined) yield held;
  }

  async close(): Promise<void> {}

  async *#pieces(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    for (let at = offset; at < offset + length; ) {
      throwIfAborted(signal);
      const found = this.#map.run(at, offset + length - at);
      const run = found instanceof Promise ? await found : found;
      if (run.kind === 'packed') yield { offset: at, length: run.length };
      const below = this.#below(run, at);
      if (below !== undefined) {
        for await (const extent of below.source.extents(below.at, below.length, signal)) {
          yield { offset: at + extent.offset - below.at, length: extent.length };
        }
      }
      at += run.length;
    }
  }

  /** The source that a run's bytes lie in, and which of them exist there. */
  #below(run: Run, at: number): { source: SparseSource; at: number; length: number } | undefined {
    if (run.kind === 'data') return { source: run.file, at: run.at, length: run.length };
    if (run.kind !== 'parent' || this.#parent === undefined) return undefined;
    const length = Math.min(run.length, this.#parent.size - at);
    return length > 0 ? { source: this.#parent, at, length } : undefined;
  }

  #fill(
    target: Uint8Array,
    at: number,
    run: Run,
    signal: AbortSignal | undefined,
  ): Promise<void> | undefined {
    if (run.kind === 'packed') return unpackInto(target, run, signal);
    const below = this.#below(run, at);
    target.fill(0, below?.length ?? 0);
    return below?.source.readInto(target.subarray(0, below.length), below.at, signal);
  }
}

async function unpackInto(
  target: Uint8Array,
  { unpacker, cluster, skip }: Extract<Run, { kind: 'packed' }>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const plain = await unpacker.unpack(cluster, signal);
  target.set(plain.subarray(skip, skip + target.byteLength));
}
