import { continueCrc32c } from '../../checksum.ts';
import type { Scratch } from './scratch.ts';

/** A written extent of a file, in blocks. What lies in none reads as zeros. */
export interface BlockRun {
  readonly first: number;
  readonly count: number;
  readonly block: number;
}

/** A file's extents while they are changed; ascending, not overlapping. */
export class BlockRuns {
  #runs: BlockRun[];

  constructor(runs: readonly BlockRun[]) {
    this.#runs = [...runs];
  }

  get all(): readonly BlockRun[] {
    return this.#runs;
  }

  /** Takes `[first, first + count)` out, splitting what reaches over its borders. */
  remove(first: number, count: number): void {
    const end = first + count;
    const from = this.#firstEndingAfter(first);
    let to = from;
    const kept: BlockRun[] = [];
    for (; to < this.#runs.length; to += 1) {
      const run = this.#runs[to] as BlockRun;
      if (run.first >= end) break;
      const runEnd = run.first + run.count;
      if (run.first < first) kept.push({ ...run, count: first - run.first });
      if (runEnd > end) {
        kept.push({ first: end, count: runEnd - end, block: run.block + end - run.first });
      }
    }
    this.#runs.splice(from, to - from, ...kept);
  }

  /** Puts a run where it belongs, in place of what is there. */
  add(run: BlockRun): void {
    this.remove(run.first, run.count);
    this.#runs.splice(this.#firstEndingAfter(run.first), 0, run);
  }

  #firstEndingAfter(first: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const run = this.#runs[middle] as BlockRun;
      if (run.first + run.count <= first) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Kernel documentation, filesystems/ext4, "Extent Tree". */
const EXTENT_MAGIC = 0xf30a;
const HEADER_BYTES = 12;
const ENTRY_BYTES = 12;
const ROOT_BYTES = 60;
const ROOT_ENTRIES = 4;
const EXTENT_BLOCKS_MAX = 0x8000;

interface Entry {
  readonly first: number;
  /** Of an extent; 0 in an index. */
  readonly count: number;
  readonly block: number;
}

/**
 * Writes an extent tree whose root is the `i_block` returned, and whose nodes are fresh blocks.
 *
 * @param seed what the sums of the nodes begin with; `undefined` where there are none.
 * @throws RestoreError `UNSUPPORTED` when `scratch` has no more blocks.
 */
export function writeTree(
  runs: readonly BlockRun[],
  scratch: Scratch,
  seed: number | undefined,
): Uint8Array {
  let level: readonly Entry[] = runs.flatMap(pieces);
  let depth = 0;
  const perNode = Math.floor((scratch.blockSize - HEADER_BYTES) / ENTRY_BYTES);
  for (; level.length > ROOT_ENTRIES; depth += 1) {
    const above: Entry[] = [];
    for (let at = 0; at < level.length; at += perNode) {
      const entries = level.slice(at, at + perNode);
      const { block, content } = scratch.fresh();
      writeNode(content, entries, perNode, depth);
      const sumAt = HEADER_BYTES + perNode * ENTRY_BYTES;
      if (seed !== undefined) {
        const sum = continueCrc32c(seed, content.subarray(0, sumAt));
        new DataView(content.buffer).setUint32(sumAt, sum, true);
      }
      above.push({ first: (entries[0] as Entry).first, count: 0, block });
    }
    level = above;
  }
  const root = new Uint8Array(ROOT_BYTES);
  writeNode(root, level, ROOT_ENTRIES, depth);
  return root;
}

/** An extent's length has 15 bits, and one value more. */
function pieces({ first, count, block }: BlockRun): Entry[] {
  const parts: Entry[] = [];
  for (let at = 0; at < count; at += EXTENT_BLOCKS_MAX) {
    const length = Math.min(EXTENT_BLOCKS_MAX, count - at);
    parts.push({ first: first + at, count: length, block: block + at });
  }
  return parts;
}

function writeNode(
  target: Uint8Array,
  entries: readonly Entry[],
  most: number,
  depth: number,
): void {
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  view.setUint16(0, EXTENT_MAGIC, true);
  view.setUint16(2, entries.length, true);
  view.setUint16(4, most, true);
  view.setUint16(6, depth, true);
  for (const [index, { first, count, block }] of entries.entries()) {
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    const high = Math.floor(block / 2 ** 32);
    view.setUint32(at, first, true);
    if (depth === 0) {
      view.setUint16(at + 4, count, true);
      view.setUint16(at + 6, high, true);
      view.setUint32(at + 8, block % 2 ** 32, true);
    } else {
      view.setUint32(at + 4, block % 2 ** 32, true);
      view.setUint16(at + 8, high, true);
    }
  }
}
