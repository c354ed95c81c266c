import {
  checkRange,
  type Extent,
  type SectorSize,
  type SparseSource,
} from '../../../core/index.ts';

/** A changed range of a file; zeros when it has no data. */
interface Patch {
  readonly offset: number;
  readonly length: number;
  readonly data: Uint8Array | undefined;
}

/** Changes to a file in the order made: ascending, not overlapping, the last one wins. */
export class Patches {
  #patches: Patch[] = [];

  write(offset: number, length: number, data: Uint8Array | undefined): void {
    if (length === 0) return;
    const end = offset + length;
    const from = this.#firstEndingAfter(offset);
    let to = from;
    const kept: Patch[] = [];
    for (; to < this.#patches.length; to += 1) {
      const old = this.#patches[to] as Patch;
      if (old.offset >= end) break;
      if (old.offset < offset) kept.push(cut(old, old.offset, offset));
      if (old.offset + old.length > end) kept.push(cut(old, end, old.offset + old.length));
    }
    kept.push({ offset, length, data });
    kept.sort((a, b) => a.offset - b.offset);
    this.#patches.splice(from, to - from, ...kept);
  }

  /** The patches that touch `[offset, offset + length)`, cut to it. */
  *within(offset: number, length: number): Generator<Patch> {
    const end = offset + length;
    for (let at = this.#firstEndingAfter(offset); at < this.#patches.length; at += 1) {
      const patch = this.#patches[at] as Patch;
      if (patch.offset >= end) return;
      yield cut(patch, Math.max(offset, patch.offset), Math.min(end, patch.offset + patch.length));
    }
  }

  #firstEndingAfter(offset: number): number {
    let low = 0;
    for (let high = this.#patches.length; low < high; ) {
      const middle = (low + high) >>> 1;
      const patch = this.#patches[middle] as Patch;
      if (patch.offset + patch.length <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A file with patches laid over it, and zeros from its end to `size`. */
export class PatchedSource implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #file: SparseSource;
  readonly #patches: Patches;

  constructor(file: SparseSource, patches: Patches, size: number) {
    this.#file = file;
    this.#patches = patches;
    this.size = size;
    this.sectorSize = file.sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    const inFile = Math.max(0, Math.min(target.byteLength, this.#file.size - offset));
    if (inFile > 0) await this.#file.readInto(target.subarray(0, inFile), offset, signal);
    target.fill(0, inFile);
    for (const patch of this.#patches.within(offset, target.byteLength)) {
      const at = patch.offset - offset;
      if (patch.data === undefined) target.fill(0, at, at + patch.length);
      else target.set(patch.data, at);
    }
  }

  peek(offset: number, length: number): undefined {
    checkRange(this, offset, length);
    return undefined;
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    let at = offset;
    for (const patch of this.#patches.within(offset, length)) {
      yield* this.#fileExtents(at, patch.offset, signal);
      if (patch.data !== undefined) yield { offset: patch.offset, length: patch.length };
      at = patch.offset + patch.length;
    }
    yield* this.#fileExtents(at, offset + length, signal);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async *#fileExtents(from: number, to: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    const end = Math.min(to, this.#file.size);
    if (end > from) yield* this.#file.extents(from, end - from, signal);
  }
}

function cut(patch: Patch, from: number, to: number): Patch {
  const start = from - patch.offset;
  return {
    offset: from,
    length: to - from,
    data: patch.data?.subarray(start, start + to - from),
  };
}
