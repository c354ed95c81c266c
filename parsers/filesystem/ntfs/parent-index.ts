import { type Budget, isRestoreError, type RestoreError } from '../../../core/index.ts';
import type { FileRecord } from './file-record.ts';
import { nameOf } from './file-name.ts';
import { TYPE } from './layout.ts';
import type { Mft } from './mft.ts';

/** What one child takes in a map of arrays, about. */
const CHILD_BYTES = 24;
const NONE: readonly number[] = [];

/**
 * Which files say that they lie in which directory. Every file has its names, and the directories that
 * they are in, in its own record too; so the content of a directory whose index is damaged is found by
 * going through the whole MFT, once for all directories.
 */
export class ParentIndex {
  /** Records that could not be read: what lies in them may be missing anywhere. */
  readonly damage: readonly RestoreError[];
  readonly #children: ReadonlyMap<number, readonly number[]>;

  private constructor(
    children: ReadonlyMap<number, readonly number[]>,
    damage: readonly RestoreError[],
  ) {
    this.#children = children;
    this.damage = damage;
  }

  static async build(mft: Mft, budget: Budget, signal?: AbortSignal): Promise<ParentIndex> {
    const children = new Map<number, number[]>();
    const damage: RestoreError[] = [];
    let heldBytes = 0;
    try {
      for await (const batch of mft.scan(signal)) {
        budget.checkTime();
        const bytes = addBatch(children, damage, batch) * CHILD_BYTES;
        budget.hold(bytes);
        heldBytes += bytes;
      }
    } catch (error) {
      budget.release(heldBytes);
      throw error;
    }
    return new ParentIndex(children, damage);
  }

  /** Numbers of the files that have a name in the directory, each once. */
  childrenOf(directory: number): readonly number[] {
    return this.#children.get(directory) ?? NONE;
  }
}

const DAMAGE_KEPT_MAX = 100;

/** How many names were added. */
function addBatch(
  children: Map<number, number[]>,
  damage: RestoreError[],
  batch: readonly (FileRecord | RestoreError)[],
): number {
  let added = 0;
  for (const record of batch) {
    try {
      if (isRestoreError(record)) throw record;
      added += addNames(children, record);
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      if (damage.length < DAMAGE_KEPT_MAX) damage.push(error);
    }
  }
  return added;
}

/** Names of a file with many lie in records that continue its own. */
function addNames(children: Map<number, number[]>, record: FileRecord): number {
  if (!record.isInUse) return 0;
  const number = record.base?.number ?? record.number;
  let added = 0;
  for (const attribute of record.attributes()) {
    if (attribute.type !== TYPE.FILE_NAME) continue;
    const { parent } = nameOf(attribute);
    const known = children.get(parent);
    if (known === undefined) children.set(parent, [number]);
    else if (known.at(-1) === number) continue;
    else known.push(number);
    added += 1;
  }
  return added;
}
