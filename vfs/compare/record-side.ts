import {
  asRestoreError,
  type FileSystem,
  type RecordMap,
  type RecordName,
  type RestoreError,
} from '../../core/index.ts';
import { joinPath } from '../place.ts';
import { DEPTH_MAX } from '../resolve.ts';
import type { SideFile } from './model.ts';

/** One of two states of a volume, its files by record number. */
export class RecordSide {
  readonly fileSystem: FileSystem;
  readonly records: RecordMap;
  readonly #root: number;
  readonly #directories = new Map<number, RecordName | undefined>();

  constructor(fileSystem: FileSystem, records: RecordMap) {
    this.fileSystem = fileSystem;
    this.records = records;
    this.#root = records.numberOf(fileSystem.root);
  }

  /** The file with this number; `undefined` when there is none, an error when it is damaged. */
  async file(number: number, signal?: AbortSignal): Promise<SideFile | RestoreError | undefined> {
    const { fileSystem, records } = this;
    try {
      const node = await records.fileOf(number, signal);
      if (node === undefined) return undefined;
      return { fileSystem, node, attributes: await fileSystem.stat(node, signal) };
    } catch (cause) {
      return asRestoreError(cause, 'cannot read a file');
    }
  }

  /** Learns where directories lie, up to the root. */
  async locate(directories: Iterable<number>, signal?: AbortSignal): Promise<void> {
    let unknown = new Set(directories);
    for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
      unknown = new Set([...unknown].filter((number) => !this.#isKnown(number)));
      if (unknown.size === 0) return;
      for (const number of unknown) this.#directories.set(number, undefined);
      const parents = new Set<number>();
      for await (const name of this.records.namesOf(unknown, [], signal)) {
        this.#directories.set(name.number, name);
        parents.add(name.parent);
      }
      unknown = parents;
    }
  }

  /** The path of a name; `undefined` when it hangs on nothing. Its directory must have been located. */
  pathOf({ parent, name }: Pick<RecordName, 'parent' | 'name'>): string | undefined {
    const names = [name];
    let at = parent;
    for (let depth = 0; at !== this.#root; depth += 1) {
      const directory = this.#directories.get(at);
      if (directory === undefined || depth > DEPTH_MAX) return undefined;
      names.push(directory.name);
      at = directory.parent;
    }
    return names.reduceRight((path, part) => joinPath(path, part), '/');
  }

  #isKnown(number: number): boolean {
    return number === this.#root || this.#directories.has(number);
  }
}
