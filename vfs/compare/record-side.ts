import {
  asRestoreError,
  isRestoreError,
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
  /** Where each lies; none for one that hangs on nothing, or is no directory. */
  readonly #directories = new Map<number, RecordName | 'damaged' | undefined>();

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

  /**
   * Learns where directories lie, up to the root.
   *
   * @param onProblem told of directories that are damaged: where they lie is not known.
   */
  async locate(
    directories: Iterable<number>,
    onProblem: (error: RestoreError, number: number) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    let unknown = new Set(directories);
    for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
      const sound = new Set<number>();
      for (const number of unknown) {
        if (this.#isKnown(number)) continue;
        const file = await this.file(number, signal);
        const isDirectory = !isRestoreError(file) && file?.attributes.kind === 'directory';
        this.#directories.set(number, isRestoreError(file) ? 'damaged' : undefined);
        if (isDirectory) sound.add(number);
        if (isRestoreError(file)) onProblem(file, number);
      }
      if (sound.size === 0) return;
      unknown = new Set();
      for await (const name of this.records.namesOf(sound, [], signal)) {
        this.#directories.set(name.number, name);
        unknown.add(name.parent);
      }
    }
  }

  /** The path of a name; `undefined` when it hangs on nothing. Its directory must have been located. */
  pathOf({ parent, name }: Pick<RecordName, 'parent' | 'name'>): string | undefined {
    const names = [name];
    const top = this.#climb(parent, (directory) => names.push(directory.name));
    return top === 'root'
      ? names.reduceRight((path, part) => joinPath(path, part), '/')
      : undefined;
  }

  /** True when a directory above is damaged: the name may be there or not. */
  isLost({ parent }: Pick<RecordName, 'parent'>): boolean {
    return this.#climb(parent, () => {}) === 'damaged';
  }

  #climb(from: number, pass: (directory: RecordName) => void): 'root' | 'damaged' | undefined {
    let at = from;
    for (let depth = 0; at !== this.#root; depth += 1) {
      const directory = this.#directories.get(at);
      if (directory === undefined || depth > DEPTH_MAX) return undefined;
      if (directory === 'damaged') return directory;
      pass(directory);
      at = directory.parent;
    }
    return 'root';
  }

  #isKnown(number: number): boolean {
    return number === this.#root || this.#directories.has(number);
  }
}
