import { type Extent, RestoreError, throwIfAborted } from '../core/index.ts';
import type { NativeDisk } from './native/disk.ts';
import { FANOUT, keyOf } from './native/format.ts';
import type { Page, PageEntry } from './native/page.ts';

/**
 * The ranges in which two disks of one repository may differ, block by block, from their block maps
 * alone: no block is read, and pages only where the trees differ, so that the cost follows the
 * change. Everything between the ranges is the same on both. Ranges ascend and do not touch; they
 * lie inside the larger disk, and what only that one has counts as changed.
 *
 * @throws RestoreError `INVALID` for disks of different block sizes, `CORRUPT`, `IO`.
 */
export async function* changedExtents(
  before: NativeDisk,
  after: NativeDisk,
  signal?: AbortSignal,
): AsyncGenerator<Extent> {
  if (before.blockSize !== after.blockSize) {
    throw new RestoreError('INVALID', 'disks of two block sizes cannot be compared by their maps', {
      where: { expected: before.blockSize, found: after.blockSize },
    });
  }
  const { blockSize } = before;
  const shared = Math.min(before.size, after.size);
  const size = Math.max(before.size, after.size);
  let held: { offset: number; end: number } | undefined;
  const level = Math.max(before.levels, after.levels) - 1;
  const roots = { left: treeOf(before), right: treeOf(after) };
  for await (const { block, count } of differing(roots, level, 0, signal)) {
    const offset = block * blockSize;
    const end = Math.min(shared, offset + count * blockSize);
    if (offset >= end) continue;
    if (held !== undefined && held.end === offset) {
      held.end = end;
      continue;
    }
    if (held !== undefined) yield extentOf(held);
    held = { offset, end };
  }
  if (shared < size) {
    if (held !== undefined && held.end === shared) held.end = size;
    else {
      if (held !== undefined) yield extentOf(held);
      held = { offset: shared, end: size };
    }
  }
  if (held !== undefined) yield extentOf(held);
}

/** A subtree: its top page, or its one block at level -1, and how to read it. */
interface Tree {
  readonly disk: NativeDisk;
  readonly entry: PageEntry;
  /** Level of the page that `entry` names; a smaller disk's tree is the first child of a larger's. */
  readonly level: number;
}

interface Pair {
  readonly left: Tree;
  readonly right: Tree;
}

function treeOf(disk: NativeDisk): Tree {
  return { disk, entry: disk.root, level: disk.levels - 1 };
}

/** Runs of blocks whose entries differ, below two subtrees that stand at `index` of `level`. */
async function* differing(
  pair: Pair,
  level: number,
  index: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ readonly block: number; readonly count: number }> {
  throwIfAborted(signal);
  if (isSame(pair)) return;
  if (level < 0) {
    yield { block: index, count: 1 };
    return;
  }
  const [left, right] = await Promise.all([
    childrenOf(pair.left, level),
    childrenOf(pair.right, level),
  ]);
  for (let slot = 0; slot < FANOUT; slot += 1) {
    if (left.page !== undefined && right.page?.hasSame(left.page, slot) === true) continue;
    const children = { left: left.child(slot), right: right.child(slot) };
    if (!isSame(children)) yield* differing(children, level - 1, index * FANOUT + slot, signal);
  }
}

/** The same id is the same content, wherever it lies; no entry is zeros on both sides. */
function isSame({ left, right }: Pair): boolean {
  if (left.entry === undefined || right.entry === undefined) return left.entry === right.entry;
  return left.level === right.level && keyOf(left.entry) === keyOf(right.entry);
}

interface Children {
  readonly child: (slot: number) => Tree;
  /** Their page, when they have one of this level. */
  readonly page?: Page;
}

async function childrenOf(tree: Tree, level: number): Promise<Children> {
  const { disk, entry } = tree;
  const zeros = { disk, entry: undefined, level: level - 1 };
  if (entry === undefined) return { child: () => zeros };
  if (tree.level < level) return { child: (slot) => (slot === 0 ? tree : zeros) };
  const page = await disk.page(entry, level);
  return { child: (slot) => ({ disk, entry: page.entry(slot), level: level - 1 }), page };
}

function extentOf({ offset, end }: { offset: number; end: number }): Extent {
  return { offset, length: end - offset };
}
