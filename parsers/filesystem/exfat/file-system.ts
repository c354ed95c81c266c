import {
  type Attributes,
  type DirectoryEntry,
  isRestoreError,
  type ListOptions,
  type NodeId,
  RestoreError,
  type SparseSource,
  throwIfAborted,
} from '../../../core/index.ts';
import { bytesAt } from '../bytes-at.ts';
import { contentOf } from '../content.ts';
import type { Volume } from '../driver.ts';
import { contentRuns } from '../fat/chain.ts';
import { timestampOf } from '../fat/times.ts';
import { cutOff } from '../pieces.ts';
import {
  notDirectory,
  PlainFileSystem,
  rootAttributes,
  type VolumeFacts,
} from '../plain-file-system.ts';
import type { Geometry } from './boot-region.ts';
import { type Clusters, setLength } from './clusters.ts';
import { DirectoryReader } from './directory.ts';
import { type BrokenRecord, damaged, fileOf, type FileRecord, type SetRules } from './entry-set.ts';
import { ENTRY_BYTES, FILE_ATTRIBUTES } from './layout.ts';

/** No entry lies in the boot sector, so no file has this number. */
const ROOT: NodeId = 0;
type Found = FileRecord | BrokenRecord;

/** An open exFAT volume. A node is the byte offset of a file's first entry. */
export class ExfatFileSystem extends PlainFileSystem {
  readonly #geometry: Geometry;
  readonly #clusters: Clusters;
  readonly #rules: SetRules;

  constructor(
    volume: Volume,
    geometry: Geometry,
    clusters: Clusters,
    rules: SetRules,
    facts: VolumeFacts,
  ) {
    const fold = (name: string): string => rules.upcase.fold(name);
    super(volume, facts, { root: ROOT, caseSensitive: false, fold });
    this.#geometry = geometry;
    this.#clusters = clusters;
    this.#rules = rules;
  }

  async stat(node: NodeId, signal?: AbortSignal): Promise<Attributes> {
    return (await this.#record(node, signal)).attributes;
  }

  async *list(node: NodeId, options: ListOptions = {}): AsyncGenerator<readonly DirectoryEntry[]> {
    throwIfAborted(options.signal);
    const directory = await this.#record(node, options.signal);
    if (!directory.isDirectory) throw notDirectory();
    this.tree.enter(node, directory.firstCluster);
    const stretch = node === ROOT ? 'root' : directory;
    const { pieces, damage } = await this.#clusters.piecesOf(stretch, options.signal);
    const reader = new DirectoryReader(this.#rules);
    const names = new Set<string>();
    let fault: RestoreError | undefined;
    for await (const { bytes, at } of pieces) {
      const batch: DirectoryEntry[] = [];
      for (const record of reader.read(bytes, at)) {
        const problem = this.#faultOf(record, names, directory.firstCluster);
        if (problem === undefined) batch.push(entryOf(record, options.attributes === true));
        else fault ??= problem;
      }
      if (batch.length > 0) yield batch;
      if (reader.isEnded) break;
    }
    reader.finish();
    // Behind the mark nothing is missing, whatever became of the chain.
    const error = fault ?? reader.damage ?? (reader.isEnded ? undefined : damage);
    if (error !== undefined) throw this.noted(error);
  }

  async open(node: NodeId, stream?: string, signal?: AbortSignal): Promise<SparseSource> {
    const record = await this.#record(node, signal);
    this.refuseStream(stream);
    if (record.isDirectory) throw new RestoreError('INVALID', 'a directory has no content to open');
    const { firstCluster, isContiguous, validBytes, size } = record;
    const { data } = this.volume;
    const chain = await this.#clusters.chainOf(
      { firstCluster, isContiguous, size: validBytes },
      signal,
    );
    if (chain.damage !== undefined) this.noted(chain.damage);
    const missing = (): RestoreError => chain.damage ?? cutOff(data.size);
    // Behind ValidDataLength no run is given: a hole, which reads as zeros.
    const runs = contentRuns(chain, this.#geometry, validBytes, data.size, missing);
    return contentOf(data, size, runs);
  }

  /** Why an entry is not shown. */
  #faultOf(record: Found, names: Set<string>, place: number): RestoreError | undefined {
    if (names.has(record.name)) {
      return damaged(record.node, 'a new name', `${JSON.stringify(record.name)} a second time`);
    }
    names.add(record.name);
    if ('error' in record) {
      this.noted(record.error);
      return undefined;
    }
    return record.isDirectory ? this.misplaced(record.node, place) : undefined;
  }

  async #record(node: NodeId, signal: AbortSignal | undefined): Promise<FileRecord> {
    throwIfAborted(signal);
    if (node === ROOT) return rootRecord(this.#geometry);
    const { dataAt, clusterBytes } = this.#geometry;
    const { metadata } = this.volume;
    const isPlace =
      Number.isSafeInteger(node) &&
      (node - dataAt) % ENTRY_BYTES === 0 &&
      node >= dataAt &&
      node + ENTRY_BYTES <= metadata.size;
    const count = isPlace
      ? setLength(await bytesAt(metadata, node, ENTRY_BYTES, signal))
      : undefined;
    if (count === undefined) {
      throw new RestoreError('INVALID', `there is no node ${node} on this volume`);
    }
    const inCluster = clusterBytes - ((node - dataAt) % clusterBytes);
    const length = count * ENTRY_BYTES;
    if (length > inCluster) return this.#scattered(node, length, inCluster, signal);
    if (node + length > metadata.size) throw cutOff(metadata.size);
    return sound(fileOf(await bytesAt(metadata, node, length, signal), node, this.#rules));
  }

  /** A set that goes on in another cluster: the candidate that gives a right checksum. */
  async #scattered(
    node: NodeId,
    length: number,
    inCluster: number,
    signal: AbortSignal | undefined,
  ): Promise<FileRecord> {
    const { metadata } = this.volume;
    let error: RestoreError | undefined;
    for (const next of await this.#clusters.clustersBehind(node)) {
      // A set of 256 entries may need more than two clusters of 512 bytes; no file has so many.
      const rest = Math.min(length - inCluster, this.#geometry.clusterBytes);
      if (next + rest > metadata.size) continue;
      const set = new Uint8Array(inCluster + rest);
      set.set(await bytesAt(metadata, node, inCluster, signal));
      set.set(await bytesAt(metadata, next, rest, signal), inCluster);
      try {
        return sound(fileOf(set, node, this.#rules));
      } catch (thrown) {
        if (!isRestoreError(thrown)) throw thrown;
        error ??= thrown;
      }
    }
    throw error ?? damaged(node, 'a next cluster of the directory', 'none');
  }
}

function sound(record: Found): FileRecord {
  if ('error' in record) throw record.error;
  return record;
}

function rootRecord({ rootCluster }: Geometry): FileRecord {
  return {
    node: ROOT,
    name: '',
    isDirectory: true,
    firstCluster: rootCluster,
    size: 0,
    validBytes: 0,
    isContiguous: false,
    attributes: rootAttributes(ROOT, timestampOf(0, 0), FILE_ATTRIBUTES.directory),
  };
}

function entryOf(record: Found, withAttributes: boolean): DirectoryEntry {
  const { name, node } = record;
  if ('error' in record) return { name, node, kind: 'unknown', error: record.error };
  const { attributes } = record;
  const kind = record.isDirectory ? 'directory' : 'file';
  return withAttributes ? { name, node, kind, attributes } : { name, node, kind };
}
