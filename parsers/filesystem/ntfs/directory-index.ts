import {
  type BlockSource,
  isRestoreError,
  layout,
  RestoreError,
  type SparseSource,
  throwIfAborted,
} from '../../../core/index.ts';
import type { Geometry } from './boot-sector.ts';
import { corrupt } from './damage.ts';
import { type IndexNode, NO_CHILD, parseIndexBlock, parseIndexNode } from './index-node.ts';
import type { NameEntry } from './index-node.ts';
import { INDEX_ROOT_HEADER_AT, IndexRoot, TYPE } from './layout.ts';
import type { NtfsFile } from './ntfs-file.ts';
import { headOf, openStream } from './stream.ts';
import type { CaseRules } from './upcase.ts';

const INDEX_NAME = '$I30';
const BLOCK_BYTES_MIN = 512;
const BLOCK_BYTES_MAX = 64 * 1024;
/** Blocks are found in units of a cluster, or of this where a cluster is larger than a block. */
const SMALL_UNIT_BYTES = 512;
const DEPTH_MAX = 32;

/**
 * A directory's B-tree, ordered by capitals. Its root lies in the file record, all other nodes in
 * blocks of `$INDEX_ALLOCATION`. Damage of a block leaves the others readable.
 */
export class DirectoryIndex {
  /** What could not be read, as it is met. */
  readonly damage: RestoreError[] = [];
  readonly #source: BlockSource;
  readonly #geometry: Geometry;
  readonly #root: IndexNode;
  readonly #blockBytes: number;
  readonly #unitBytes: number;
  readonly #blocks: SparseSource | undefined;

  /**
   * @param source where blocks are read from.
   * @throws RestoreError `INVALID` when the file is no directory. A damaged root is `damage`.
   */
  constructor(source: BlockSource, geometry: Geometry, file: NtfsFile) {
    if (!file.record.isDirectory) throw new RestoreError('INVALID', 'this is no directory');
    this.#source = source;
    this.#geometry = geometry;
    this.#root = { entries: [], children: [] };
    this.#blockBytes = BLOCK_BYTES_MIN;
    this.#unitBytes = BLOCK_BYTES_MIN;
    try {
      const root = rootOf(file);
      this.#blockBytes = blockSize(root);
      const { clusterBytes } = geometry;
      this.#unitBytes = clusterBytes <= this.#blockBytes ? clusterBytes : SMALL_UNIT_BYTES;
      this.#root = parseIndexNode(root, INDEX_ROOT_HEADER_AT);
      if (this.#root.children.some((child) => child !== NO_CHILD)) this.#blocks = this.#open(file);
    } catch (error) {
      this.#met(error);
    }
  }

  /** All entries, node by node. Complete when `damage` is empty afterwards. */
  async *walk(signal?: AbortSignal): AsyncGenerator<readonly NameEntry[]> {
    const seen = new Set<number>();
    const waiting: number[] = [];
    const enter = ({ children }: IndexNode): void => {
      for (let index = children.length - 1; index >= 0; index -= 1) {
        const child = children[index] as number;
        if (child === NO_CHILD) continue;
        if (seen.has(child)) this.#met(this.#twice(child));
        else waiting.push(child);
        seen.add(child);
      }
    };
    throwIfAborted(signal);
    yield this.#root.entries;
    enter(this.#root);
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      throwIfAborted(signal);
      const node = await this.#read(next, signal);
      if (node === undefined) continue;
      yield node.entries;
      enter(node);
    }
  }

  /**
   * The entries whose names are equal to `name` but for case. All of them when `damage` is empty
   * afterwards: the blocks on the way are then in order.
   */
  async find(name: string, rules: CaseRules, signal?: AbortSignal): Promise<NameEntry[]> {
    const found: NameEntry[] = [];
    const seen = new Set<number>();
    const waiting: { node: IndexNode; depth: number }[] = [{ node: this.#root, depth: 0 }];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { node, depth } = next;
      this.#checkOrder(node, rules);
      for (const child of search(node, name, rules, found)) {
        if (depth >= DEPTH_MAX || seen.has(child)) {
          this.#met(this.#twice(child));
          continue;
        }
        seen.add(child);
        const below = await this.#read(child, signal);
        if (below !== undefined) waiting.push({ node: below, depth: depth + 1 });
      }
    }
    return found;
  }

  #open(file: NtfsFile): SparseSource {
    const stream = file.stream(TYPE.INDEX_ALLOCATION, INDEX_NAME);
    if (stream === undefined) throw damaged('blocks of the index', 'none');
    return openStream(this.#source, this.#geometry, stream);
  }

  async #read(cluster: number, signal?: AbortSignal): Promise<IndexNode | undefined> {
    try {
      const at = cluster * this.#unitBytes;
      const blocks = this.#blocks;
      if (blocks === undefined || at + this.#blockBytes > blocks.size) {
        throw damaged(`a block below ${blocks?.size ?? 0}`, `block ${cluster}`);
      }
      const kept = blocks.peek(at, this.#blockBytes);
      const bytes = kept?.slice() ?? new Uint8Array(this.#blockBytes);
      if (kept === undefined) await blocks.readInto(bytes, at, signal);
      return parseIndexBlock(bytes, cluster);
    } catch (error) {
      this.#met(error);
      return undefined;
    }
  }

  #checkOrder({ entries }: IndexNode, rules: CaseRules): void {
    for (let index = 1; index < entries.length; index += 1) {
      const [one, other] = [entries[index - 1] as NameEntry, entries[index] as NameEntry];
      if (rules.compare(one.name, other.name) <= 0) continue;
      this.#met(damaged('names in order', `${one.number} before ${other.number}`));
      return;
    }
  }

  #met(error: unknown): void {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    this.damage.push(error);
  }

  #twice(cluster: number): RestoreError {
    return damaged('each block once', `block ${cluster} again`);
  }
}

/**
 * Adds what is equal to `name` to `found`.
 *
 * @returns the blocks in which more may be: names of one spelling but for case stand side by side.
 */
function search(node: IndexNode, name: string, rules: CaseRules, found: NameEntry[]): number[] {
  const { entries, children } = node;
  const more: number[] = [];
  for (let index = firstNotBefore(entries, name, rules); index <= entries.length; index += 1) {
    const child = children[index];
    if (child !== undefined && child !== NO_CHILD) more.push(child);
    const entry = entries[index];
    if (entry === undefined || rules.compare(entry.name, name) !== 0) break;
    found.push(entry);
  }
  return more;
}

function firstNotBefore(entries: readonly NameEntry[], name: string, rules: CaseRules): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (rules.compare((entries[middle] as NameEntry).name, name) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function rootOf(file: NtfsFile): DataView {
  const stream = file.stream(TYPE.INDEX_ROOT, INDEX_NAME);
  if (stream === undefined) throw damaged('the root of the index', 'none');
  return layout.viewOf(headOf(stream).value());
}

function blockSize(root: DataView): number {
  const type = IndexRoot.type(root);
  const bytes = IndexRoot.blockBytes(root);
  if (type !== TYPE.FILE_NAME) throw damaged('an index of names', `of 0x${type.toString(16)}`);
  const isSize = bytes >= BLOCK_BYTES_MIN && bytes <= BLOCK_BYTES_MAX;
  if (isSize && Number.isInteger(Math.log2(bytes))) return bytes;
  throw damaged('blocks of 512 bytes to 64 KiB', `${bytes}`);
}

function damaged(expected: string, found: string): RestoreError {
  return corrupt('a directory is damaged', { structure: '$I30 index', expected, found });
}
