import { type BlockSource, type Extent, Ranges, type SparseSource } from '../../core/index.ts';

/** Stretches kept apart at the most; beyond that, everything counts as read. */
const EXTENTS_MAX = 200_000;

/** Which bytes of a machine's disks something depends on. */
export class Trace {
  readonly #byDisk = new Map<string, Extent[]>();
  #isAll = false;
  #count = 0;

  /** What it depends on cannot be told: then any change counts. */
  addAll(): void {
    this.#isAll = true;
    this.#byDisk.clear();
  }

  add(disk: string, offset: number, length: number): void {
    if (this.#isAll) return;
    const extents = this.#byDisk.get(disk) ?? [];
    this.#byDisk.set(disk, extents);
    const last = extents.at(-1);
    if (
      last !== undefined &&
      last.offset <= offset &&
      offset + length <= last.offset + last.length
    ) {
      return;
    }
    extents.push({ offset, length });
    this.#count += 1;
    if (this.#count > EXTENTS_MAX) this.addAll();
  }

  /** True when a byte that it depends on may have changed. */
  isTouchedBy(changed: ReadonlyMap<string, Ranges>): boolean {
    if (this.#isAll) return [...changed.values()].some((ranges) => !ranges.isEmpty);
    for (const [disk, extents] of this.#byDisk) {
      const ranges = changed.get(disk);
      // A disk that is gone, or another.
      if (ranges === undefined) return true;
      if (ranges.isEmpty) continue;
      for (const { offset, length } of Ranges.of(extents)) {
        if (ranges.touches(offset, length)) return true;
      }
    }
    return false;
  }
}

/**
 * A disk that notes what is read of it. What is only asked for its extents is noted too, and not read:
 * so a layer above can say on what it depends without reading that.
 */
export function traced(disk: string, source: BlockSource, trace: Trace): SparseSource {
  return {
    size: source.size,
    sectorSize: source.sectorSize,
    readInto: (target, offset, signal) => {
      trace.add(disk, offset, target.byteLength);
      return source.readInto(target, offset, signal);
    },
    peek: (offset, length) => {
      const view = source.peek(offset, length);
      if (view !== undefined) trace.add(disk, offset, length);
      return view;
    },
    async *extents(offset, length) {
      trace.add(disk, offset, length);
      yield { offset, length };
    },
    close: async () => {},
  };
}
