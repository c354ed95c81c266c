import { LRUCache } from 'lru-cache';
import type { RestoreError } from '../../../../core/index.ts';
import type { Inode } from '../inode.ts';
import type { ExtVolume } from '../volume.ts';
import { foldName } from './fold.ts';
import { findByHash } from './hash-tree.ts';
import { DirectoryReader } from './reader.ts';

const NAMES_KEPT_MAX = 300_000;
/** Below this many blocks a directory is read whole for its first lookup. */
const SMALL_BLOCKS = 16;

interface NameMap {
  readonly byName: ReadonlyMap<string, number>;
  readonly byFoldedName: ReadonlyMap<string, number>;
  readonly damage: RestoreError | undefined;
}

/** Finds names in directories; keeps those of the directories last asked for. */
export class DirectoryNames {
  readonly #volume: ExtVolume;
  readonly #known = new LRUCache<number, NameMap>({
    maxSize: NAMES_KEPT_MAX,
    sizeCalculation: ({ byName }) => byName.size + 1,
  });

  constructor(volume: ExtVolume) {
    this.#volume = volume;
  }

  /**
   * The inode that `name` leads to.
   *
   * @throws RestoreError `CORRUPT` when it is not found and a part of the directory is damaged.
   */
  async find(directory: Inode, name: string, signal?: AbortSignal): Promise<number | undefined> {
    const known = this.#known.get(directory.number);
    if (known !== undefined) return findIn(known, name, directory);
    if (this.#isWorthHashing(directory)) {
      const found = await findByHash(this.#volume, directory, name, signal);
      if (found !== undefined) return found;
    }
    const map = await this.#read(directory, signal);
    this.#known.set(directory.number, map);
    return findIn(map, name, directory);
  }

  clear(): void {
    this.#known.clear();
  }

  /** A miss by hash proves nothing where the tree may be damaged: the list decides. */
  #isWorthHashing(directory: Inode): boolean {
    const isLarge = directory.size > SMALL_BLOCKS * this.#volume.superblock.blockSize;
    return (
      isLarge && directory.has('index') && !directory.has('casefold') && !directory.has('encrypt')
    );
  }

  async #read(directory: Inode, signal: AbortSignal | undefined): Promise<NameMap> {
    const reader = new DirectoryReader(this.#volume, directory);
    const byName = new Map<string, number>();
    const byFoldedName = new Map<string, number>();
    const folds = directory.has('casefold') && !directory.has('encrypt');
    for await (const links of reader.links(signal)) {
      for (const { name, inode } of links) {
        if (!byName.has(name)) byName.set(name, inode);
        const folded = folds ? foldName(name) : name;
        if (folds && !byFoldedName.has(folded)) byFoldedName.set(folded, inode);
      }
    }
    return { byName, byFoldedName, damage: reader.damage };
  }
}

function findIn(
  { byName, byFoldedName, damage }: NameMap,
  name: string,
  directory: Inode,
): number | undefined {
  const found =
    byName.get(name) ?? (directory.has('casefold') ? byFoldedName.get(foldName(name)) : undefined);
  if (found === undefined && damage !== undefined) throw damage;
  return found;
}
