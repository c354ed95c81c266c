import {
  type Attributes,
  type DirectoryEntry,
  type ExtendedAttribute,
  type FileSystem,
  isRestoreError,
  type LinkTarget,
  type ListOptions,
  type NodeId,
  RestoreError,
  type SpaceUse,
  type SparseSource,
  type StreamEntry,
  type Timestamp,
  type VolumeHealth,
} from '../../core/index.ts';
import type { Volume } from './driver.ts';
import { NameIndex } from './name-index.ts';
import { TreeGuard } from './tree-guard.ts';

/** What a driver knows of a volume when it has opened it. */
export interface VolumeFacts {
  readonly type: string;
  readonly label: string;
  readonly uuid: string;
  readonly space: SpaceUse;
}

/** The rules by which names are found. */
interface NameRules {
  readonly root: NodeId;
  readonly caseSensitive: boolean;
  /** Makes names equal that are one to the volume. */
  readonly fold: (name: string) => string;
}

/**
 * A file system of the plain kind: directories without an index, files without extended attributes
 * and streams, and no symbolic links unless a subclass has them.
 */
export abstract class PlainFileSystem implements FileSystem {
  readonly type: string;
  readonly label: string;
  readonly uuid: string;
  readonly space: SpaceUse;
  readonly caseSensitive: boolean;
  readonly root: NodeId;
  protected readonly volume: Volume;
  protected readonly tree: TreeGuard = new TreeGuard();
  readonly #names: NameIndex;

  constructor(volume: Volume, facts: VolumeFacts, { root, caseSensitive, fold }: NameRules) {
    this.volume = volume;
    this.type = facts.type;
    this.label = facts.label;
    this.uuid = facts.uuid;
    this.space = facts.space;
    this.root = root;
    this.caseSensitive = caseSensitive;
    this.#names = new NameIndex(fold);
  }

  get health(): VolumeHealth {
    return this.volume.health.health;
  }

  lookup(parent: NodeId, name: string, signal?: AbortSignal): Promise<NodeId | undefined> {
    const options = signal === undefined ? {} : { signal };
    return this.#names.find(parent, name, () => this.list(parent, options));
  }

  abstract stat(node: NodeId, signal?: AbortSignal): Promise<Attributes>;

  abstract list(node: NodeId, options?: ListOptions): AsyncIterable<readonly DirectoryEntry[]>;

  abstract open(node: NodeId, stream?: string, signal?: AbortSignal): Promise<SparseSource>;

  async readLink(_node: NodeId, _signal?: AbortSignal): Promise<LinkTarget> {
    throw new RestoreError('INVALID', `${this.type} has no symbolic links`);
  }

  async xattrs(): Promise<readonly ExtendedAttribute[]> {
    return [];
  }

  async streams(): Promise<readonly StreamEntry[]> {
    return [];
  }

  async close(): Promise<void> {}

  /** @throws RestoreError `NOT_FOUND` when `stream` is one by name. */
  protected refuseStream(stream: string | undefined): void {
    if (stream === undefined || stream === '') return;
    throw new RestoreError('NOT_FOUND', `${this.type} has no streams`, {
      where: { found: stream },
    });
  }

  /** Why a directory that is listed at `place` is not shown: it was found elsewhere, too. */
  protected misplaced(directory: NodeId, place: number): RestoreError | undefined {
    try {
      this.tree.found(directory, place);
      return undefined;
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      return error;
    }
  }

  /** Has damage shown with the volume. */
  protected noted(error: RestoreError): RestoreError {
    this.volume.health.damage(error);
    return error;
  }
}

/** Of a root that no entry describes. */
export function rootAttributes(
  root: NodeId,
  modified: Timestamp,
  dosAttributes: number,
): Attributes {
  return {
    kind: 'directory',
    size: 0,
    allocated: 0,
    links: 1,
    modified,
    fileNumber: root,
    generation: 0,
    dosAttributes,
  };
}

export function notDirectory(): RestoreError {
  return new RestoreError('INVALID', 'a file has no entries to list');
}
