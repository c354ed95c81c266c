import { LRUCache } from 'lru-cache';
import {
  type DirectoryEntry,
  isRestoreError,
  type NodeId,
  type RestoreError,
} from '../../core/index.ts';

const ASCII_ONLY = /^[\0-\x7f]*$/;
/** Names kept over all directories. */
const NAMES_KEPT_MAX = 300_000;

interface Names {
  readonly exact: ReadonlyMap<string, NodeId>;
  readonly folded: ReadonlyMap<string, NodeId>;
  readonly count: number;
  /** Why the directory is not known whole. */
  readonly error?: RestoreError;
}

/**
 * Finds names in directories that have no index of their own, keeping the names of the directories
 * that were asked about last. A name as it is written goes before one that differs in case, and that
 * before a short name.
 */
export class NameIndex {
  readonly #fold: (name: string) => string;
  readonly #kept = new LRUCache<NodeId, Names>({
    maxSize: NAMES_KEPT_MAX,
    sizeCalculation: ({ count }) => count + 1,
  });

  /** @param fold makes names equal that are one by the volume's rules of case. */
  constructor(fold: (name: string) => string) {
    this.#fold = fold;
  }

  /**
   * @param list lists `parent`; asked only when its names are not known.
   * @throws what `list` throws, `CORRUPT` and `UNSUPPORTED` only when the part of the directory that
   *   can be read lacks the name.
   */
  async find(
    parent: NodeId,
    name: string,
    list: () => AsyncIterable<readonly DirectoryEntry[]>,
  ): Promise<NodeId | undefined> {
    const names = this.#kept.get(parent) ?? (await this.#read(parent, list()));
    const found = names.exact.get(name) ?? names.folded.get(this.#fold(name));
    if (found === undefined && names.error !== undefined) throw names.error;
    return found;
  }

  async #read(parent: NodeId, listing: AsyncIterable<readonly DirectoryEntry[]>): Promise<Names> {
    const entries: DirectoryEntry[] = [];
    let error: RestoreError | undefined;
    try {
      for await (const batch of listing) for (const entry of batch) entries.push(entry);
    } catch (thrown) {
      const isDamage = isRestoreError(thrown, 'CORRUPT') || isRestoreError(thrown, 'UNSUPPORTED');
      if (!isDamage) throw thrown;
      error = thrown;
    }
    const names = { ...this.#index(entries), ...(error === undefined ? {} : { error }) };
    if (names.count < NAMES_KEPT_MAX) this.#kept.set(parent, names);
    return names;
  }

  #index(entries: readonly DirectoryEntry[]): Names {
    const exact = new Map<string, NodeId>();
    const folded = new Map<string, NodeId>();
    const add = (map: Map<string, NodeId>, key: string, node: NodeId): void => {
      if (!map.has(key)) map.set(key, node);
    };
    for (const { name, node } of entries) {
      add(exact, name, node);
      add(folded, this.#fold(name), node);
    }
    for (const { shortName, node } of entries) {
      if (shortName !== undefined) add(folded, this.#fold(shortName), node);
    }
    return { exact, folded, count: exact.size + folded.size };
  }
}

/**
 * Makes names equal that differ in case, where a volume has no table for that: unit by unit, as Windows
 * does it, so that a name never changes its length.
 */
export function foldCase(name: string): string {
  if (ASCII_ONLY.test(name)) return name.toUpperCase();
  let folded = '';
  for (let index = 0; index < name.length; index += 1) {
    const unit = name.charAt(index);
    const capital = unit.toUpperCase();
    folded += capital.length === 1 ? capital : unit;
  }
  return folded;
}
