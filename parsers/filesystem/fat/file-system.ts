import {
  type Attributes,
  type DirectoryEntry,
  isRestoreError,
  layout,
  type ListOptions,
  type NodeId,
  RestoreError,
  type SparseSource,
  throwIfAborted,
} from '../../../core/index.ts';
import { bytesAt } from '../bytes-at.ts';
import { contentOf } from '../content.ts';
import type { Volume } from '../driver.ts';
import { foldCase } from '../name-index.ts';
import { cutOff } from '../pieces.ts';
import {
  notDirectory,
  PlainFileSystem,
  rootAttributes,
  type VolumeFacts,
} from '../plain-file-system.ts';
import type { Geometry } from './boot-sector.ts';
import { contentRuns } from './chain.ts';
import { type FatRecord, isFileEntry, type NamedRecord, recordAt } from './directory.ts';
import type { DirectoryContent } from './directory-content.ts';
import { ATTR, ENTRY_BYTES } from './layout.ts';
import type { FatTables } from './tables.ts';
import { timestampOf } from './times.ts';

/** No entry lies in the boot sector, so no file has this number. */
const ROOT: NodeId = 0;
const NO_ENTRY = new Uint8Array(ENTRY_BYTES);

/** An open FAT volume. A node is the byte offset of a file's short entry. */
export class FatFileSystem extends PlainFileSystem {
  readonly #geometry: Geometry;
  readonly #tables: FatTables;
  readonly #directories: DirectoryContent;

  constructor(
    volume: Volume,
    geometry: Geometry,
    tables: FatTables,
    directories: DirectoryContent,
    facts: VolumeFacts,
  ) {
    super(volume, facts, { root: ROOT, caseSensitive: false, fold: foldCase });
    this.#geometry = geometry;
    this.#tables = tables;
    this.#directories = directories;
  }

  async stat(node: NodeId, signal?: AbortSignal): Promise<Attributes> {
    return (await this.#record(node, signal)).attributes;
  }

  async *list(node: NodeId, options: ListOptions = {}): AsyncGenerator<readonly DirectoryEntry[]> {
    throwIfAborted(options.signal);
    const directory = await this.#record(node, options.signal);
    if (!directory.isDirectory) throw notDirectory();
    const place = node === ROOT ? this.#geometry.rootCluster : directory.firstCluster;
    this.tree.enter(node, place);
    const names = new Set<string>();
    let damage: RestoreError | undefined;
    for await (const records of this.#read(node, directory, options.signal)) {
      const batch: DirectoryEntry[] = [];
      for (const record of records) {
        const fault = this.#faultOf(record, names, place);
        if (fault === undefined) batch.push(entryOf(record, options.attributes === true));
        else damage ??= fault;
      }
      if (batch.length > 0) yield batch;
    }
    if (damage !== undefined) throw damage;
  }

  async open(node: NodeId, stream?: string, signal?: AbortSignal): Promise<SparseSource> {
    const record = await this.#record(node, signal);
    this.refuseStream(stream);
    if (record.isDirectory) throw new RestoreError('INVALID', 'a directory has no content to open');
    const { clusterBytes } = this.#geometry;
    const { size, firstCluster } = record;
    const needed = Math.ceil(size / clusterBytes);
    const chain = await this.#tables.followFile(firstCluster, needed, signal);
    const { data } = this.volume;
    const runs = contentRuns(
      chain,
      this.#geometry,
      size,
      data.size,
      () => chain.damage ?? cutOff(data.size),
    );
    return contentOf(data, size, runs);
  }

  /** Why an entry is not shown. */
  #faultOf(record: NamedRecord, names: Set<string>, place: number): RestoreError | undefined {
    if (record.name === '' || names.has(record.name)) return this.noted(badName(record));
    names.add(record.name);
    const fault = record.isDirectory ? this.misplaced(record.node, place) : undefined;
    return fault && this.noted(fault);
  }

  async *#read(
    node: NodeId,
    { firstCluster }: FatRecord,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<NamedRecord[]> {
    try {
      yield* this.#directories.read(node === ROOT ? 'root' : firstCluster, signal);
    } catch (error) {
      if (isRestoreError(error, 'CORRUPT')) this.noted(error);
      throw error;
    }
  }

  async #record(node: NodeId, signal: AbortSignal | undefined): Promise<FatRecord> {
    if (node === ROOT) return rootRecord();
    const { rootAt, totalBytes } = this.#geometry;
    const isPlace =
      Number.isSafeInteger(node) &&
      node % ENTRY_BYTES === 0 &&
      node >= rootAt &&
      node + ENTRY_BYTES <= Math.min(totalBytes, this.volume.data.size);
    const bytes = isPlace
      ? await bytesAt(this.volume.metadata, node, ENTRY_BYTES, signal)
      : NO_ENTRY;
    if (!isFileEntry(bytes)) {
      throw new RestoreError('INVALID', `there is no node ${node} on this volume`);
    }
    return recordAt(layout.viewOf(bytes), 0, node, this.#directories.rules);
  }
}

function rootRecord(): FatRecord {
  return {
    node: ROOT,
    isDirectory: true,
    firstCluster: 0,
    size: 0,
    attributes: rootAttributes(ROOT, timestampOf(0, 0), ATTR.directory),
  };
}

function entryOf(record: NamedRecord, withAttributes: boolean): DirectoryEntry {
  const { name, node, isDirectory, attributes, shortName } = record;
  return {
    name,
    node,
    kind: isDirectory ? 'directory' : 'file',
    ...(withAttributes ? { attributes } : {}),
    ...(shortName === undefined ? {} : { shortName }),
  };
}

function badName({ node, name }: NamedRecord): RestoreError {
  const found = name === '' ? 'no name' : `${JSON.stringify(name)} a second time`;
  return new RestoreError('CORRUPT', 'a directory entry has no name of its own', {
    where: { structure: 'directory entry', offset: node, expected: 'a new name', found },
    hint: 'Repair a copy of the volume with `fsck.fat` to get at the file.',
  });
}
