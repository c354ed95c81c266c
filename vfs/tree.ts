import {
  asRestoreError,
  type DirectoryEntry,
  type ListOptions,
  type RestoreError,
} from '../core/index.ts';
import {
  joinPath,
  type Mount,
  type OpenVolume,
  type Place,
  type TreeEntry,
  type VolumeHandle,
} from './place.ts';
import { SyntheticDirectories } from './synthetic.ts';

/**
 * A machine's volumes at their places, as one tree: what its own system would show. Protocol-free;
 * commands, FUSE and web adapt it.
 */
export class Tree {
  readonly #root: VolumeHandle;
  /** By path; where a view's own directories ignore case, by the path as they have it. */
  readonly #mounts = new Map<string, VolumeHandle>();
  /** What is mounted right below a directory: its path, then name by name. */
  readonly #below = new Map<string, Map<string, VolumeHandle | undefined>>();
  /** The way to mount points whose directories the volumes do not have. */
  readonly #ways: OpenVolume;

  /** @param mounts one of them at `/`, or the root holds nothing but them. */
  constructor(mounts: readonly Mount[]) {
    const rootMount = mounts.find(({ at }) => at === '/');
    const others = mounts.filter(({ at }) => at !== '/');
    const directories = new SyntheticDirectories(others.map(({ at }) => at));
    this.#ways = { id: '', fileSystem: directories };
    const ways = this.#ways;
    this.hasRoot = rootMount !== undefined;
    this.#root = rootMount?.volume ?? { id: '', open: () => Promise.resolve(ways) };
    for (const { at, volume } of others) {
      this.#mounts.set(at, volume);
      this.#noteWay(at, volume);
    }
  }

  /** @throws RestoreError what opening the volume at `/` throws. */
  async root(): Promise<Place> {
    const volume = await this.#root.open();
    return { path: '/', volume, node: volume.fileSystem.root };
  }

  /** Whether a volume is mounted at `/`. */
  readonly hasRoot: boolean;

  /** Where volumes are mounted, `/` not among them. */
  get mounts(): ReadonlyMap<string, VolumeHandle> {
    return this.#mounts;
  }

  /**
   * The entry `name` of a directory, links not followed; `undefined` when there is none.
   *
   * @throws RestoreError `INVALID` when `parent` is no directory, and what reading it throws.
   */
  async child(parent: Place, name: string, signal?: AbortSignal): Promise<Place | undefined> {
    const mounted = this.#mountedIn(parent, name);
    if (mounted?.volume !== undefined) {
      return await this.enterMount(joinPath(parent.path, mounted.name), mounted.volume);
    }
    const path = joinPath(parent.path, mounted?.name ?? name);
    const node = await parent.volume.fileSystem.lookup(parent.node, name, signal);
    if (node !== undefined) return { path, volume: parent.volume, node };
    return mounted === undefined ? undefined : await this.#way(path);
  }

  /** The root of a volume mounted at `path`. */
  async enterMount(path: string, handle: VolumeHandle): Promise<Place> {
    const volume = await handle.open();
    return { path, volume, node: volume.fileSystem.root };
  }

  /** The place of an entry that {@link list} gave for `parent`. */
  async enter(parent: Place, { name, node, mount }: TreeEntry): Promise<Place> {
    const path = joinPath(parent.path, name);
    if (mount !== undefined) return await this.enterMount(path, mount);
    const isWay = node === MISSING;
    return isWay ? await this.#way(path) : { path, volume: parent.volume, node };
  }

  /**
   * A directory's entries with what is mounted in it, in batches and in no order.
   *
   * @throws RestoreError as `FileSystem.list`, after what could be read.
   */
  async *list(parent: Place, options?: ListOptions): AsyncGenerator<readonly TreeEntry[]> {
    const below = this.#below.get(parent.path);
    const batches = parent.volume.fileSystem.list(parent.node, options);
    if (below === undefined) {
      yield* batches;
      return;
    }
    const missing = new Map(below);
    for await (const batch of batches) {
      const own: TreeEntry[] = [];
      for (const entry of batch) {
        const volume = missing.get(entry.name);
        missing.delete(entry.name);
        own.push(volume === undefined ? entry : await mountEntry(entry, volume, options));
      }
      yield own;
    }
    const added: TreeEntry[] = [];
    for (const [name, volume] of missing) {
      const entry: DirectoryEntry = { name, node: MISSING, kind: 'directory' };
      if (volume !== undefined) added.push(await mountEntry(entry, volume, options));
      else added.push({ ...entry, ...(await this.#wayAttributes(parent, name, options)) });
    }
    if (added.length > 0) yield added;
  }

  #noteWay(at: string, volume: VolumeHandle): void {
    let path = '/';
    const names = at.split('/').filter(Boolean);
    names.forEach((name, index) => {
      const below = this.#below.get(path) ?? new Map<string, VolumeHandle | undefined>();
      this.#below.set(path, below);
      const isLast = index === names.length - 1;
      below.set(name, isLast ? volume : below.get(name));
      path = joinPath(path, name);
    });
  }

  /** What is, or leads to what is, mounted as `name`. Drive letters have no case. */
  #mountedIn(
    parent: Place,
    name: string,
  ): { readonly name: string; readonly volume: VolumeHandle | undefined } | undefined {
    const below = this.#below.get(parent.path);
    if (below === undefined) return undefined;
    if (below.has(name)) return { name, volume: below.get(name) };
    if (parent.volume !== this.#ways) return undefined;
    const wanted = name.toUpperCase();
    for (const [known, volume] of below) {
      if (known.toUpperCase() === wanted) return { name: known, volume };
    }
    return undefined;
  }

  async #way(path: string): Promise<Place> {
    const { fileSystem } = this.#ways;
    let node = fileSystem.root;
    for (const name of path.split('/').filter(Boolean)) {
      node = (await fileSystem.lookup(node, name)) ?? node;
    }
    return { path, volume: this.#ways, node };
  }

  async #wayAttributes(
    parent: Place,
    name: string,
    options: ListOptions | undefined,
  ): Promise<Partial<DirectoryEntry>> {
    if (options?.attributes !== true) return {};
    const { node } = await this.#way(joinPath(parent.path, name));
    return { attributes: await this.#ways.fileSystem.stat(node) };
  }
}

/** Stands for the node of an entry that no volume has. */
const MISSING = -1;

/** An entry in whose place a volume is mounted: the attributes are those of the volume's root. */
async function mountEntry(
  entry: DirectoryEntry,
  mount: VolumeHandle,
  options: ListOptions | undefined,
): Promise<TreeEntry> {
  const { name, node } = entry;
  const plain: TreeEntry = { name, node, kind: 'directory', mount };
  if (options?.attributes !== true) return plain;
  try {
    const { fileSystem } = await mount.open();
    return { ...plain, attributes: await fileSystem.stat(fileSystem.root, options.signal) };
  } catch (cause) {
    const error: RestoreError = asRestoreError(cause, 'the volume mounted here does not open');
    return { ...plain, error };
  }
}
