import { type Extent, RestoreError } from '../../../core/index.ts';
import type { ContentRun } from '../content.ts';
import { type BlockMap, type MapPiece, pieceOrDamage } from './map-piece.ts';
import { continueCrc32c } from './checksum.ts';
import type { Inode } from './inode.ts';
import { checkBlocks, type ExtVolume, readBlock } from './volume.ts';

/** Kernel documentation, filesystems/ext4, "Extent Tree". */
const EXTENT_MAGIC = 0xf30a;
const NODE_HEADER_BYTES = 12;
const ENTRY_BYTES = 12;
const DEPTH_MAX = 5;
/** Longer ones are unwritten, and that much shorter. */
const WRITTEN_LENGTH_MAX = 0x8000;
const LOGICAL_END = 2 ** 32;

/** A part of the file, in blocks. */
interface Range {
  readonly first: number;
  readonly end: number;
}

/** One node of the tree, checked: header, entries, sum. Its range is what it maps. */
interface Node extends Range {
  readonly view: DataView;
  readonly depth: number;
  readonly count: number;
  /** Where it lies, for errors; 0 for the root. */
  readonly offset: number;
}

/** The extent tree of one inode. */
export class ExtentMap implements BlockMap {
  readonly #volume: ExtVolume;
  readonly #inode: Inode;
  #seed: number | undefined;

  constructor(volume: ExtVolume, inode: Inode) {
    this.#volume = volume;
    this.#inode = inode;
  }

  async piece(offset: number, signal?: AbortSignal): Promise<MapPiece> {
    const { blockSize } = this.#volume.superblock;
    const wanted = Math.floor(offset / blockSize);
    if (wanted >= LOGICAL_END) {
      return { start: LOGICAL_END * blockSize, end: Number.MAX_SAFE_INTEGER, runs: [] };
    }
    const range = { first: 0, end: LOGICAL_END };
    return this.#under(range, async () => {
      const root = this.#node(this.#inode.blockField, 0, range);
      if (root.depth > DEPTH_MAX) throw this.#bad(root, `depth up to ${DEPTH_MAX}`, root.depth);
      return this.#descend(root, wanted, signal);
    });
  }

  async *owned(signal?: AbortSignal): AsyncGenerator<Extent> {
    const root = this.#node(this.#inode.blockField, 0, { first: 0, end: LOGICAL_END });
    if (root.depth > DEPTH_MAX) throw this.#bad(root, `depth up to ${DEPTH_MAX}`, root.depth);
    yield* this.#ownedUnder(root, signal);
  }

  async *#ownedUnder(node: Node, signal: AbortSignal | undefined): AsyncGenerator<Extent> {
    const { blockSize } = this.#volume.superblock;
    this.#volume.budget.checkTime();
    for (let index = 0; index < node.count; index += 1) {
      const at = NODE_HEADER_BYTES + index * ENTRY_BYTES;
      if (node.depth === 0) {
        yield {
          offset: startAt(node.view, at) * blockSize,
          length: lengthAt(node.view, at) * blockSize,
        };
        continue;
      }
      const child = await this.#child(node, at, rangeAt(node, index), signal);
      yield { offset: child.offset, length: blockSize };
      yield* this.#ownedUnder(child, signal);
    }
  }

  /** What is damaged below is no matter to what lies beside it. */
  #under(range: Range, make: () => Promise<MapPiece> | MapPiece): Promise<MapPiece> {
    const { blockSize } = this.#volume.superblock;
    return pieceOrDamage(range.first * blockSize, range.end * blockSize, make);
  }

  async #descend(node: Node, wanted: number, signal: AbortSignal | undefined): Promise<MapPiece> {
    const { blockSize } = this.#volume.superblock;
    if (node.depth === 0) return this.#leaf(node, blockSize);
    const index = lastNotAbove(node, wanted);
    if (index < 0) {
      return { start: node.first * blockSize, end: firstKey(node) * blockSize, runs: [] };
    }
    const at = NODE_HEADER_BYTES + index * ENTRY_BYTES;
    const range = rangeAt(node, index);
    return this.#under(range, async () =>
      this.#descend(await this.#child(node, at, range, signal), wanted, signal),
    );
  }

  async #child(
    { view, depth }: Node,
    at: number,
    range: Range,
    signal: AbortSignal | undefined,
  ): Promise<Node> {
    const block = view.getUint16(at + 8, true) * 2 ** 32 + view.getUint32(at + 4, true);
    const structure = `extent tree of inode ${this.#inode.number}`;
    const data = await readBlock(this.#volume, block, structure, signal);
    const place = block * this.#volume.superblock.blockSize;
    const node = this.#node(data, place, range);
    if (node.depth !== depth - 1) throw this.#bad(node, `eh_depth ${depth - 1}`, node.depth);
    if (node.count === 0 && node.depth > 0) throw this.#bad(node, 'eh_entries above 0', 0);
    return node;
  }

  /** Checks a node as a whole: what is in order here need not be checked again. */
  #node(data: Uint8Array, offset: number, range: Range): Node {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const node: Node = {
      view,
      depth: view.getUint16(6, true),
      count: view.getUint16(2, true),
      offset,
      ...range,
    };
    const capacity = Math.floor((data.byteLength - NODE_HEADER_BYTES) / ENTRY_BYTES);
    const most = view.getUint16(4, true);
    if (view.getUint16(0, true) !== EXTENT_MAGIC) {
      throw this.#bad(node, 'eh_magic 0xf30a', `0x${view.getUint16(0, true).toString(16)}`);
    }
    if (most === 0 || most > capacity) throw this.#bad(node, `eh_max up to ${capacity}`, most);
    if (node.count > most) throw this.#bad(node, `eh_entries up to ${most}`, node.count);
    if (offset > 0 && this.#volume.superblock.hasChecksums) this.#verify(node, data, most);
    this.#checkOrder(node);
    return node;
  }

  /** Entries ascend, do not overlap, and keep to what the parent says: so no cycle leads anywhere. */
  #checkOrder(node: Node): void {
    let least = node.first;
    for (let index = 0; index < node.count; index += 1) {
      const at = NODE_HEADER_BYTES + index * ENTRY_BYTES;
      const first = node.view.getUint32(at, true);
      const length = node.depth > 0 ? 1 : lengthAt(node.view, at);
      if (first < least || length === 0 || first + length > node.end) {
        throw this.#bad(node, `entry ${index} in ${least} to ${node.end}`, `${length} at ${first}`);
      }
      least = first + length;
    }
  }

  #verify(node: Node, data: Uint8Array, most: number): void {
    const at = NODE_HEADER_BYTES + most * ENTRY_BYTES;
    if (at + 4 > data.byteLength) throw this.#bad(node, 'room for eh_checksum', `eh_max ${most}`);
    this.#seed ??= this.#inode.checksumSeed;
    const expected = continueCrc32c(this.#seed, data.subarray(0, at));
    const found = node.view.getUint32(at, true);
    if (expected !== found) throw this.#bad(node, `eh_checksum ${expected}`, found);
  }

  #leaf(node: Node, blockSize: number): MapPiece {
    const runs: ContentRun[] = [];
    for (let index = 0; index < node.count; index += 1) {
      const at = NODE_HEADER_BYTES + index * ENTRY_BYTES;
      const length = lengthAt(node.view, at);
      const block = startAt(node.view, at);
      checkBlocks(this.#volume, block, length, `extent of inode ${this.#inode.number}`);
      // Unwritten: allocated, and reads as zeros whatever lies there.
      if (node.view.getUint16(at + 4, true) > WRITTEN_LENGTH_MAX) continue;
      runs.push({
        offset: node.view.getUint32(at, true) * blockSize,
        length: length * blockSize,
        at: block * blockSize,
      });
    }
    return { start: node.first * blockSize, end: node.end * blockSize, runs };
  }

  #bad(node: Node, expected: string, found: string | number): RestoreError {
    return new RestoreError('CORRUPT', "a file's extent tree is damaged", {
      where: {
        structure: `extent tree of inode ${this.#inode.number}`,
        ...(node.offset === 0 ? {} : { offset: node.offset }),
        expected,
        found,
      },
    });
  }
}

/** What an index entry maps: up to the next one. */
function rangeAt(node: Node, index: number): Range {
  const at = NODE_HEADER_BYTES + index * ENTRY_BYTES;
  const isLast = index + 1 === node.count;
  return {
    first: node.view.getUint32(at, true),
    end: isLast ? node.end : node.view.getUint32(at + ENTRY_BYTES, true),
  };
}

function startAt(view: DataView, at: number): number {
  return view.getUint16(at + 6, true) * 2 ** 32 + view.getUint32(at + 8, true);
}

function lengthAt(view: DataView, at: number): number {
  const length = view.getUint16(at + 4, true);
  return length > WRITTEN_LENGTH_MAX ? length - WRITTEN_LENGTH_MAX : length;
}

function firstKey({ view, count, end }: Node): number {
  return count === 0 ? end : view.getUint32(NODE_HEADER_BYTES, true);
}

/** Index of the last entry that begins at or before `wanted`; -1 when none does. */
function lastNotAbove({ view, count }: Node, wanted: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (view.getUint32(NODE_HEADER_BYTES + middle * ENTRY_BYTES, true) <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
