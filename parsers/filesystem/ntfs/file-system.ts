import {
  type Attributes,
  type DirectoryEntry,
  type ExtendedAttribute,
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
import type { Volume } from '../driver.ts';
import type { Geometry } from './boot-sector.ts';
import { corrupt } from './damage.ts';
import { describe, kindOf, whyUnreadable } from './describe.ts';
import type { FileLoader } from './file-loader.ts';
import { countFreeBytes } from './free-space.ts';
import { RECORD_NUMBER, TYPE } from './layout.ts';
import { linkOf } from './link.ts';
import { checkKind, Lister, type OpenDirectory } from './lister.ts';
import { nodeOf, referenceOf } from './node-id.ts';
import type { NtfsFile } from './ntfs-file.ts';
import { NtfsRecordMap } from './records/record-map.ts';
import { openStream } from './stream.ts';
import type { CaseRules } from './upcase.ts';
import { orNoted, type VolumeInformation } from './volume-information.ts';
import { XattrReader } from './xattrs.ts';

export interface NtfsParts {
  readonly volume: Volume;
  readonly geometry: Geometry;
  readonly loader: FileLoader;
  readonly rules: CaseRules;
  readonly information: VolumeInformation;
  readonly rootSequence: number;
}

/** An open NTFS volume. */
export class NtfsFileSystem implements FileSystem {
  readonly type = 'NTFS';
  readonly caseSensitive = false;
  readonly label: string;
  readonly uuid: string;
  readonly root: NodeId;
  readonly space: SpaceUse;
  readonly records: RecordMap;
  readonly #volume: Volume;
  readonly #geometry: Geometry;
  readonly #loader: FileLoader;
  readonly #lister: Lister;
  readonly #xattrs: XattrReader;

  constructor({ volume, geometry, loader, rules, information, rootSequence }: NtfsParts) {
    this.label = information.label;
    this.uuid = geometry.serial;
    this.space = { totalBytes: geometry.totalBytes };
    this.root = nodeOf(RECORD_NUMBER.ROOT, rootSequence, true);
    this.#volume = volume;
    this.#geometry = geometry;
    this.#loader = loader;
    this.#lister = new Lister(volume, geometry, loader, rules);
    this.records = new NtfsRecordMap({ volume, geometry, loader, lister: this.#lister });
    this.#xattrs = new XattrReader(loader, volume.health);
  }

  get health(): VolumeHealth {
    return this.#volume.health.health;
  }

  async countFree(signal?: AbortSignal): Promise<number | undefined> {
    const count = (): Promise<number | undefined> =>
      countFreeBytes(this.#volume, this.#loader, this.#geometry, signal);
    return await orNoted(this.#volume.health, count);
  }

  async lookup(parent: NodeId, name: string, signal?: AbortSignal): Promise<NodeId | undefined> {
    throwIfAborted(signal);
    return this.#lister.find(await this.#directory(parent, signal), name, signal);
  }

  async stat(node: NodeId, signal?: AbortSignal): Promise<Attributes> {
    return describe(await this.#file(node, signal));
  }

  async *list(node: NodeId, options: ListOptions = {}): AsyncGenerator<readonly DirectoryEntry[]> {
    throwIfAborted(options.signal);
    yield* this.#lister.list(await this.#directory(node, options.signal), options);
  }

  async open(node: NodeId, stream?: string, signal?: AbortSignal): Promise<SparseSource> {
    const file = await this.#file(node, signal);
    if (stream === undefined) checkReadable(file);
    const found = file.stream(TYPE.DATA, stream ?? '');
    if (found === undefined || stream === '') throw missingStream(file, stream);
    return openStream(this.#volume.data, this.#geometry, found);
  }

  async readLink(node: NodeId, signal?: AbortSignal): Promise<LinkTarget> {
    const { reparse } = (await this.#file(node, signal)).extras;
    const target = reparse === undefined ? undefined : linkOf(reparse);
    if (target === undefined) throw new RestoreError('INVALID', 'this is no symbolic link');
    return target;
  }

  async xattrs(node: NodeId, signal?: AbortSignal): Promise<readonly ExtendedAttribute[]> {
    return this.#xattrs.read(await this.#file(node, signal), signal);
  }

  async streams(node: NodeId, signal?: AbortSignal): Promise<readonly StreamEntry[]> {
    const file = await this.#file(node, signal);
    return file.attributes
      .filter(({ type, isNamed, lowestCluster }) => {
        return type === TYPE.DATA && isNamed && lowestCluster === 0;
      })
      .map(({ name, size, allocated }) => ({ name, size, allocated }));
  }

  async close(): Promise<void> {
    this.#loader.mft.close();
  }

  async #file(node: NodeId, signal: AbortSignal | undefined): Promise<NtfsFile> {
    throwIfAborted(signal);
    const reference = referenceOf(node);
    const file = this.#loader.peek(reference) ?? (await this.#loader.load(reference, signal));
    checkKind(file, reference.isDirectory);
    return file;
  }

  /** A directory whose record is damaged still has its files: they know where they belong. */
  async #directory(node: NodeId, signal: AbortSignal | undefined): Promise<OpenDirectory> {
    const reference = referenceOf(node);
    try {
      const file = await this.#file(node, signal);
      if (kindOf(file) === 'directory') {
        return { reference: { ...reference, sequence: file.record.sequence }, file };
      }
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT') || !reference.isDirectory) throw error;
      return { reference, file: undefined, error };
    }
    throw new RestoreError('INVALID', 'this is no directory');
  }
}

/** @throws RestoreError unless the unnamed stream is the file's content. */
function checkReadable(file: NtfsFile): void {
  const kind = kindOf(file);
  if (kind !== 'file') {
    throw new RestoreError('INVALID', 'this is no regular file', { where: { found: kind } });
  }
  if (file.extras.reparseError !== undefined) throw file.extras.reparseError;
  const reason = whyUnreadable(file, file.stream(TYPE.DATA));
  if (reason === undefined) return;
  throw new RestoreError('UNSUPPORTED', `the file cannot be read: ${reason}`, {
    where: { structure: `file record ${file.record.number}` },
    hint: 'Export the disk and read the file on the system that wrote it.',
  });
}

function missingStream(file: NtfsFile, stream: string | undefined): RestoreError {
  const structure = `file record ${file.record.number}`;
  if (stream === undefined)
    return corrupt('a file has no content', { structure, found: 'no $DATA' });
  return new RestoreError('NOT_FOUND', `the file has no stream ${JSON.stringify(stream)}`);
}
