import { isRestoreError, nameToBytes, readBytes } from '../../../../core/index.ts';
import { blockMapOf } from '../block-map.ts';
import type { Inode } from '../inode.ts';
import { MappedContent } from '../mapped-content.ts';
import type { ExtVolume } from '../volume.ts';
import { checkBlockSum, indexCountAt } from './block-check.ts';
import { hashName } from './hash.ts';
import { DirectoryReader } from './reader.ts';

/** Kernel documentation, filesystems/ext4, "Hash Tree Directories": `dx_root`, `dx_node`. */
const ROOT_VERSION_AT = 28;
const ROOT_LEVELS_AT = 30;
const ENTRY_BYTES = 8;
const LEVELS_MAX = 3;
const UNSIGNED_FROM = 3;
/** Leaves that can share one hash, in any directory that was not made to mislead. */
const LEAVES_MAX = 64;
/** Set in an entry's hash when the leaf before it ends with the same hash. */
const CONTINUED = 1;

/**
 * The inode that `name` leads to, by the directory's hash tree.
 *
 * @returns `undefined` when it is not there or the tree is not to be trusted; only the whole list
 *   tells which.
 */
export async function findByHash(
  volume: ExtVolume,
  directory: Inode,
  name: string,
  signal?: AbortSignal,
): Promise<number | undefined> {
  try {
    return await new HashTree(volume, directory).find(name, signal);
  } catch (error) {
    if (isRestoreError(error, 'CORRUPT')) return undefined;
    throw error;
  }
}

class HashTree {
  readonly #volume: ExtVolume;
  readonly #directory: Inode;
  readonly #content: MappedContent;

  constructor(volume: ExtVolume, directory: Inode) {
    this.#volume = volume;
    this.#directory = directory;
    const map = blockMapOf(volume, directory);
    this.#content = new MappedContent(volume, volume.metadata, map, directory.size);
  }

  async find(name: string, signal: AbortSignal | undefined): Promise<number | undefined> {
    const root = await this.#block(0, signal);
    const { hash: hashRules } = this.#volume.superblock;
    const stored = root[ROOT_VERSION_AT] as number;
    const version = stored + (stored < UNSIGNED_FROM && hashRules.unsigned ? UNSIGNED_FROM : 0);
    const hash = hashName(nameToBytes(name), version, hashRules.seed);
    const levels = root[ROOT_LEVELS_AT] as number;
    if (hash === undefined || levels >= LEVELS_MAX) return undefined;
    return this.#search(root, 0, levels, hash.major, name, signal);
  }

  /** Descends into each child that may hold the hash: one, or a few when names collide. */
  async #search(
    block: Uint8Array,
    number: number,
    levels: number,
    hash: number,
    name: string,
    signal: AbortSignal | undefined,
  ): Promise<number | undefined> {
    const children = this.#childrenOf(block, number, hash);
    for (const child of children.slice(0, LEAVES_MAX)) {
      const inner = await this.#block(child, signal);
      const found =
        levels > 0
          ? await this.#search(inner, child, levels - 1, hash, name, signal)
          : this.#inLeaf(inner, child, name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #inLeaf(block: Uint8Array, number: number, name: string): number | undefined {
    const reader = new DirectoryReader(this.#volume, this.#directory);
    const links = reader.linksIn(block, number);
    return links.find((link) => link.name === name)?.inode;
  }

  /** Blocks of the directory, in the order of the tree, whose range of hashes holds `hash`. */
  #childrenOf(block: Uint8Array, number: number, hash: number): number[] {
    const countAt = indexCountAt(block, number === 0);
    if (countAt === undefined) return [];
    const place = { directory: this.#directory.number, offset: number };
    if (this.#volume.superblock.hasChecksums) {
      const damage = checkBlockSum(block, countAt, this.#directory.checksumSeed, place);
      if (damage !== undefined) return [];
    }
    const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
    const room = Math.floor((block.byteLength - countAt) / ENTRY_BYTES);
    const count = Math.min(view.getUint16(countAt + 2, true), room);
    // The first entry's hash is where the counts lie; it stands for 0.
    const hashAt = (index: number): number =>
      index === 0 ? 0 : view.getUint32(countAt + index * ENTRY_BYTES, true);
    let index = 0;
    for (let high = count - 1; index < high; ) {
      const middle = Math.ceil((index + high) / 2);
      if (hashAt(middle) <= hash) index = middle;
      else high = middle - 1;
    }
    const children: number[] = [];
    for (; index < count; index += 1) {
      children.push(view.getUint32(countAt + index * ENTRY_BYTES + 4, true) & 0x0fff_ffff);
      const next = index + 1 < count ? hashAt(index + 1) : 0;
      if (next !== hash + CONTINUED && next !== hash) break;
    }
    return children;
  }

  async #block(number: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { blockSize } = this.#volume.superblock;
    const at = number * blockSize;
    const size = this.#content.size;
    if (at + blockSize > size) return new Uint8Array(blockSize);
    return this.#content.peek(at, blockSize) ?? readBytes(this.#content, at, blockSize, signal);
  }
}
