import {
  type Attributes,
  type DirectoryEntry,
  type ExtendedAttribute,
  type Extent,
  type FileSystem,
  isRestoreError,
  type LinkTarget,
  type ListOptions,
  type NodeId,
  type RecordMap,
  RestoreError,
  type SpaceUse,
  type SparseSource,
  type StreamEntry,
  throwIfAborted,
  type VolumeHealth,
} from '../../../core/index.ts';
import { blockMapOf } from './block-map.ts';
import { DirectoryNames } from './directory/names.ts';
import { inlineContent } from './inline-content.ts';
import type { Inode } from './inode.ts';
import type { InodeTable } from './inode-table.ts';
import { listDirectory, statOf } from './list.ts';
import { MappedContent } from './mapped-content.ts';
import { ExtRecordMap } from './records/record-map.ts';
import { readTarget } from './symbolic-link.ts';
import { typeOf, uuidText } from './type.ts';
import type { ExtVolume } from './volume.ts';
import { readXattrs } from './xattrs.ts';

const ROOT_INODE = 2;

/** An open ext2, ext3 or ext4. A node's id is its inode's number. */
export class ExtFileSystem implements FileSystem {
  readonly type: string;
  readonly label: string;
  readonly uuid: string;
  /** Casefolded directories are the exception, each for itself. */
  readonly caseSensitive = true;
  readonly root: NodeId = ROOT_INODE;
  readonly space: SpaceUse;
  readonly records: RecordMap;
  readonly #volume: ExtVolume;
  readonly #inodes: InodeTable;
  readonly #names: DirectoryNames;

  /** @param replayed where the volume reads otherwise than it lies there. */
  constructor(volume: ExtVolume, inodes: InodeTable, replayed: readonly Extent[]) {
    const { superblock } = volume;
    this.type = typeOf(superblock);
    this.label = superblock.label;
    this.uuid = uuidText(superblock.uuid);
    this.space = {
      totalBytes: superblock.blockCount * superblock.blockSize,
      freeBytes: Math.min(superblock.freeBlockCount, superblock.blockCount) * superblock.blockSize,
    };
    this.records = new ExtRecordMap(volume, inodes, replayed);
    this.#volume = volume;
    this.#inodes = inodes;
    this.#names = new DirectoryNames(volume);
  }

  get health(): VolumeHealth {
    return this.#volume.health.health;
  }

  async lookup(parent: NodeId, name: string, signal?: AbortSignal): Promise<NodeId | undefined> {
    throwIfAborted(signal);
    const directory = await this.#directory(parent, signal);
    if (name === '' || name === '.' || name === '..' || name.includes('/')) return undefined;
    return this.#names.find(directory, name, signal);
  }

  async stat(node: NodeId, signal?: AbortSignal): Promise<Attributes> {
    throwIfAborted(signal);
    const inode = await this.#inode(node, signal);
    return this.#noting(statOf(this.#volume, inode, signal));
  }

  async *list(node: NodeId, options: ListOptions = {}): AsyncGenerator<readonly DirectoryEntry[]> {
    throwIfAborted(options.signal);
    const directory = await this.#directory(node, options.signal);
    yield* listDirectory(this.#volume, this.#inodes, directory, options);
  }

  async open(node: NodeId, stream?: string, signal?: AbortSignal): Promise<SparseSource> {
    throwIfAborted(signal);
    const inode = await this.#inode(node, signal);
    if (stream !== undefined) {
      throw new RestoreError('NOT_FOUND', 'ext has no named streams', {
        where: { structure: `inode ${node}`, found: stream },
      });
    }
    if (inode.kind !== 'file') throw notA('regular file', inode);
    if (inode.has('encrypt')) throw encrypted(inode);
    if (inode.has('inline_data')) return inlineContent(inode);
    const map = blockMapOf(this.#volume, inode);
    return new MappedContent(this.#volume, this.#volume.data, map, inode.size);
  }

  async readLink(node: NodeId, signal?: AbortSignal): Promise<LinkTarget> {
    throwIfAborted(signal);
    const inode = await this.#inode(node, signal);
    if (inode.kind !== 'symlink') throw notA('symbolic link', inode);
    const target = await this.#noting(readTarget(this.#volume, inode, signal));
    return { target, style: 'posix' };
  }

  async xattrs(node: NodeId, signal?: AbortSignal): Promise<readonly ExtendedAttribute[]> {
    throwIfAborted(signal);
    const inode = await this.#inode(node, signal);
    return this.#noting(readXattrs(this.#volume, this.#inodes, inode, signal));
  }

  async streams(node: NodeId, signal?: AbortSignal): Promise<readonly StreamEntry[]> {
    throwIfAborted(signal);
    await this.#inode(node, signal);
    return [];
  }

  async close(): Promise<void> {
    this.#names.clear();
  }

  #inode(node: NodeId, signal: AbortSignal | undefined): Promise<Inode> {
    return this.#noting(this.#inodes.readFile(node, signal));
  }

  /** Damage that a caller meets is the volume's to tell, too. */
  async #noting<T>(step: Promise<T>): Promise<T> {
    try {
      return await step;
    } catch (error) {
      if (isRestoreError(error, 'CORRUPT')) this.#volume.health.damage(error);
      throw error;
    }
  }

  async #directory(node: NodeId, signal: AbortSignal | undefined): Promise<Inode> {
    const inode = await this.#inode(node, signal);
    if (inode.kind !== 'directory') throw notA('directory', inode);
    return inode;
  }
}

function notA(what: string, { number, kind }: Inode): RestoreError {
  return new RestoreError('INVALID', `the node is no ${what}`, {
    where: { structure: `inode ${number}`, found: kind },
  });
}

function encrypted({ number }: Inode): RestoreError {
  return new RestoreError('UNSUPPORTED', 'the file is encrypted (fscrypt)', {
    where: { structure: `inode ${number}` },
    hint: 'Its key is not part of the volume. Export the disk and unlock the folder where the key is.',
  });
}
