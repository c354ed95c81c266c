import {
  type Attributes,
  type DirectoryEntry,
  type ExtendedAttribute,
  type FileSystem,
  type LinkTarget,
  type ListOptions,
  type NodeId,
  RestoreError,
  type SparseSource,
  type StreamEntry,
  throwIfAborted,
  type VolumeHealth,
} from '../core/index.ts';

const ROOT: NodeId = 1;
const NO_TIME = { seconds: 0, nanoseconds: 0 };

/**
 * Directories that no volume holds: the list of volumes of a machine whose own order is not known,
 * drive letters, the way to a mount point whose directory is missing. Read-only and without files.
 */
export class SyntheticDirectories implements FileSystem {
  readonly type = 'view';
  readonly label = '';
  readonly uuid = '';
  /** Names that differ in case alone mean the same: drive letters. */
  readonly caseSensitive = false;
  readonly root = ROOT;
  readonly space = { totalBytes: 0 };
  readonly health: VolumeHealth = { state: 'clean', findings: [], omitted: 0 };
  readonly #names = new Map<NodeId, Map<string, NodeId>>([[ROOT, new Map()]]);
  #next = ROOT + 1;

  /** @param paths absolute; every directory on the way is made. */
  constructor(paths: Iterable<string>) {
    for (const path of paths) {
      let node = this.root;
      for (const name of path.split('/').filter(Boolean)) node = this.#make(node, name);
    }
  }

  async lookup(parent: NodeId, name: string): Promise<NodeId | undefined> {
    const names = this.#directory(parent);
    const exact = names.get(name);
    if (exact !== undefined) return exact;
    const wanted = name.toUpperCase();
    for (const [known, node] of names) if (known.toUpperCase() === wanted) return node;
    return undefined;
  }

  async stat(node: NodeId): Promise<Attributes> {
    const links = 2 + this.#directory(node).size;
    return {
      kind: 'directory',
      size: 0,
      allocated: 0,
      links,
      modified: NO_TIME,
      fileNumber: node,
      generation: 0,
    };
  }

  async *list(
    node: NodeId,
    { attributes, signal }: ListOptions = {},
  ): AsyncGenerator<readonly DirectoryEntry[]> {
    throwIfAborted(signal);
    const entries: DirectoryEntry[] = [];
    for (const [name, child] of this.#directory(node)) {
      const more = attributes === true ? { attributes: await this.stat(child) } : {};
      entries.push({ name, node: child, kind: 'directory', ...more });
    }
    yield entries;
  }

  async open(_node: NodeId, stream?: string): Promise<SparseSource> {
    if (stream !== undefined) throw new RestoreError('NOT_FOUND', 'there is no such stream');
    throw new RestoreError('INVALID', 'it is a directory');
  }

  async readLink(): Promise<LinkTarget> {
    throw new RestoreError('INVALID', 'it is no symbolic link');
  }

  async xattrs(): Promise<readonly ExtendedAttribute[]> {
    return [];
  }

  async streams(): Promise<readonly StreamEntry[]> {
    return [];
  }

  async close(): Promise<void> {}

  #make(parent: NodeId, name: string): NodeId {
    const names = this.#directory(parent);
    const known = names.get(name);
    if (known !== undefined) return known;
    const node = this.#next;
    this.#next += 1;
    names.set(name, node);
    this.#names.set(node, new Map());
    return node;
  }

  #directory(node: NodeId): Map<string, NodeId> {
    const names = this.#names.get(node);
    if (names !== undefined) return names;
    throw new RestoreError('INVALID', 'no such directory of the view', { where: { found: node } });
  }
}
