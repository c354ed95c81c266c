import {
  type Attributes,
  type DirectoryEntry,
  isRestoreError,
  type LinkTarget,
  type ListOptions,
  type NodeId,
  RestoreError,
  type SparseSource,
  throwIfAborted,
} from '../../../core/index.ts';
import { type ContentRun, contentOf, type MissingRun } from '../content.ts';
import type { Volume } from '../driver.ts';
import { foldCase } from '../name-index.ts';
import { cutOff, insideOf, readPieces } from '../pieces.ts';
import { notDirectory, PlainFileSystem, type VolumeFacts } from '../plain-file-system.ts';
import { RecordReader } from './directory.ts';
import type { IsoFile, Records } from './records.ts';

/** The place around the root: no directory's. */
const OUTSIDE = -1;

/** Where a directory's records are. */
interface Extent {
  readonly at: number;
  readonly length: number;
}

/** An open ISO 9660 volume. A node is the byte offset of a file's first directory record. */
export class IsoFileSystem extends PlainFileSystem {
  readonly #records: Records;

  constructor(volume: Volume, records: Records, facts: VolumeFacts) {
    const { kind, rootAt } = records.tree;
    const caseSensitive = kind === 'Rock Ridge';
    const fold = caseSensitive ? (name: string): string => name : foldCase;
    // The root's own record, `.`, is its first.
    super(volume, facts, { root: rootAt, caseSensitive, fold });
    this.#records = records;
    // Damage can make a name of that record, by which the root would lie in itself.
    this.tree.found(rootAt, OUTSIDE);
  }

  async stat(node: NodeId, signal?: AbortSignal): Promise<Attributes> {
    const file = await this.#file(node, signal);
    return this.#attributesOf(file, signal);
  }

  async *list(node: NodeId, options: ListOptions = {}): AsyncGenerator<readonly DirectoryEntry[]> {
    const { signal, attributes = false } = options;
    throwIfAborted(signal);
    const extent = await this.#directory(node, signal);
    this.tree.enter(node, extent.at);
    const { metadata } = this.volume;
    const { places, damage } = insideOf(metadata.size, [extent]);
    const reader = new RecordReader(extent.at, this.#records.tree.blockBytes);
    const names = new Set<string>();
    let fault: RestoreError | undefined;
    for await (const { bytes, at } of readPieces(metadata, places, signal)) {
      const batch: DirectoryEntry[] = [];
      for (const records of reader.read(bytes, at)) {
        const file =
          this.#records.fileAtHand(records) ?? (await this.#records.fileOf(records, signal));
        if (file.isRelocated) continue;
        const problem = this.#faultOf(file, names, extent.at);
        if (problem !== undefined) fault ??= problem;
        else if (file.childAt === undefined) batch.push(this.#entryOf(file, attributes));
        else batch.push(await this.#movedEntryOf(file, attributes, signal));
      }
      if (batch.length > 0) yield batch;
    }
    const error = fault ?? reader.finish() ?? damage;
    if (error !== undefined) throw this.noted(error);
  }

  async open(node: NodeId, stream?: string, signal?: AbortSignal): Promise<SparseSource> {
    const file = await this.#file(node, signal);
    this.refuseStream(stream);
    if (file.kind !== 'file') {
      throw new RestoreError('INVALID', 'what is no regular file has no content to open');
    }
    const { unreadable } = file.attributes;
    if (unreadable !== undefined) {
      throw new RestoreError('UNSUPPORTED', `the file is ${unreadable}`, {
        where: { structure: 'directory record', offset: node },
      });
    }
    const { data } = this.volume;
    return contentOf(data, file.size, this.#inside(file.runs));
  }

  override async readLink(node: NodeId, signal?: AbortSignal): Promise<LinkTarget> {
    const { target, kind } = await this.#file(node, signal);
    if (kind === 'symlink' && target !== undefined) return { target, style: 'posix' };
    throw new RestoreError('INVALID', 'only a symbolic link has a target');
  }

  async #file(node: NodeId, signal: AbortSignal | undefined): Promise<IsoFile> {
    throwIfAborted(signal);
    const file = await this.#records.at(node, signal);
    if (file.error !== undefined) throw file.error;
    return file;
  }

  /** Where a directory's records are: elsewhere, when it was moved. */
  async #directory(node: NodeId, signal: AbortSignal | undefined): Promise<Extent> {
    const { rootAt, rootBytes } = this.#records.tree;
    if (node === this.root) return { at: rootAt, length: rootBytes };
    const file = await this.#file(node, signal);
    if (file.kind !== 'directory') {
      throw notDirectory();
    }
    const own = file.childAt === undefined ? file : await this.#moved(file.childAt, signal);
    const [run] = own.runs;
    return { at: run?.at ?? 0, length: run?.length ?? 0 };
  }

  /** The record `.` of a directory that was moved (P1282 4.1.5.1). */
  async #moved(at: number, signal: AbortSignal | undefined): Promise<IsoFile> {
    let own: IsoFile | undefined;
    try {
      own = await this.#records.at(at, signal);
    } catch (error) {
      if (!isRestoreError(error, 'INVALID')) throw error;
    }
    if (own?.kind === 'directory' && own.childAt === undefined && own.runs[0]?.at === at) {
      if (own.error !== undefined) throw own.error;
      return own;
    }
    throw new RestoreError('CORRUPT', 'a moved directory is not where it should be', {
      where: { structure: 'CL', offset: at, expected: 'a directory that begins with itself' },
    });
  }

  async #attributesOf(file: IsoFile, signal: AbortSignal | undefined): Promise<Attributes> {
    if (file.childAt === undefined) return file.attributes;
    const { attributes } = await this.#moved(file.childAt, signal);
    return { ...attributes, fileNumber: file.node };
  }

  #entryOf(file: IsoFile, withAttributes: boolean): DirectoryEntry {
    const { name, node, kind, error, attributes } = file;
    if (error !== undefined) return { name, node, kind: 'unknown', error: this.noted(error) };
    return withAttributes ? { name, node, kind, attributes } : { name, node, kind };
  }

  async #movedEntryOf(
    file: IsoFile,
    withAttributes: boolean,
    signal: AbortSignal | undefined,
  ): Promise<DirectoryEntry> {
    try {
      const attributes = await this.#attributesOf(file, signal);
      return this.#entryOf({ ...file, attributes }, withAttributes);
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      return this.#entryOf({ ...file, error }, withAttributes);
    }
  }

  /** Why a file is not shown. */
  #faultOf(file: IsoFile, names: Set<string>, place: number): RestoreError | undefined {
    const { name, node, kind } = file;
    if (name === '' || name === '.' || name === '..' || names.has(name)) {
      return new RestoreError('CORRUPT', 'a directory record has no name of its own', {
        where: { structure: 'directory record', offset: node, found: JSON.stringify(name) },
      });
    }
    names.add(name);
    return kind === 'directory' ? this.misplaced(node, place) : undefined;
  }

  /** What lies behind the end of a volume that was cut off is missing. */
  #inside(runs: readonly ContentRun[]): (ContentRun | MissingRun)[] {
    const { size } = this.volume.data;
    return runs.flatMap(({ offset, length, at }) => {
      const there = Math.max(0, Math.min(length, size - at));
      const missing = { offset: offset + there, length: length - there, missing: cutOff(size) };
      return there === length ? [{ offset, length, at }] : [{ offset, length: there, at }, missing];
    });
  }
}
