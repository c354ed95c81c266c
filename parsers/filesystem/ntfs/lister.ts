import { LRUCache } from 'lru-cache';
import {
  type DirectoryEntry,
  isRestoreError,
  type ListOptions,
  type NodeId,
  type RestoreError,
  throwIfAborted,
} from '../../../core/index.ts';
import type { Volume } from '../driver.ts';
import type { Geometry } from './boot-sector.ts';
import { corrupt } from './damage.ts';
import { describe, kindOf } from './describe.ts';
import { DirectoryIndex } from './directory-index.ts';
import type { FileLoader } from './file-loader.ts';
import type { FileReference } from './file-record.ts';
import type { NameEntry } from './index-node.ts';
import { DOS_ATTRIBUTE, NAMESPACE, RECORD_NUMBER } from './layout.ts';
import { NamePairs, type PairedName } from './name-pairs.ts';
import { nodeOf } from './node-id.ts';
import type { NtfsFile } from './ntfs-file.ts';
import { ParentIndex } from './parent-index.ts';
import type { CaseRules } from './upcase.ts';

/** Names of a batch, at least, while more are to come. */
const BATCH_NAMES = 512;
/** Names gathered before their records are read: a large directory names them in no order. */
const GATHERED_MAX = 200_000;
/** Names gathered before someone who waits for none of them has a turn. */
const TURN_NAMES = 8192;
const NAME_UNITS_MAX = 255;

/** A directory: its record, unless that cannot be read. */
export interface OpenDirectory {
  readonly reference: FileReference;
  readonly file: NtfsFile | undefined;
  /** Why there is no record. */
  readonly error?: RestoreError;
}

/** What a damaged directory lacks. */
interface LostNames {
  readonly names: readonly NameEntry[];
  /** Why there may be more. */
  readonly problems: readonly RestoreError[];
}

/** Names kept over all damaged directories. */
const LOST_NAMES_MAX = 300_000;

/** An entry while it is put together. */
type Told = { -readonly [Key in keyof DirectoryEntry]: DirectoryEntry[Key] };

/** Lists directories, and finds names in them; damaged ones by what the files themselves say. */
export class Lister {
  readonly #volume: Volume;
  readonly #geometry: Geometry;
  readonly #loader: FileLoader;
  readonly #rules: CaseRules;
  #parents: Promise<ParentIndex> | undefined;
  readonly #lost = new LRUCache<NodeId, LostNames>({
    maxSize: LOST_NAMES_MAX,
    sizeCalculation: ({ names }) => names.length + 1,
  });

  constructor(volume: Volume, geometry: Geometry, loader: FileLoader, rules: CaseRules) {
    this.#volume = volume;
    this.#geometry = geometry;
    this.#loader = loader;
    this.#rules = rules;
  }

  async *list(
    directory: OpenDirectory,
    { attributes = false, signal }: ListOptions,
  ): AsyncGenerator<readonly DirectoryEntry[]> {
    const problems: RestoreError[] = [];
    const index = this.#indexOf(directory);
    const pairs = new NamePairs();
    let waiting: PairedName[] = [];
    const least = attributes ? GATHERED_MAX : BATCH_NAMES;
    const batches = (): AsyncGenerator<DirectoryEntry[]> => {
      const names = waiting;
      waiting = [];
      return this.#describeAll(directory.reference, names, attributes, problems, signal);
    };
    let turnAt = TURN_NAMES;
    for await (const entries of index?.walk(signal) ?? []) {
      for (const pair of pairs.add(entries)) waiting.push(pair);
      if (waiting.length >= least) yield* batches();
      else if (waiting.length >= turnAt) yield [];
      if (waiting.length >= turnAt || waiting.length === 0) turnAt = waiting.length + TURN_NAMES;
    }
    const damage = directory.error ?? index?.damage[0];
    if (damage !== undefined) {
      const lost = await this.#lostNames(directory, index, damage, problems, signal);
      for (const pair of pairs.add(lost)) waiting.push(pair);
    }
    for (const pair of pairs.rest()) waiting.push(pair);
    yield* batches();
    if (problems[0] !== undefined) throw problems[0];
  }

  /** @returns `undefined` when the directory has no such name, for all that can be known. */
  async find(
    directory: OpenDirectory,
    name: string,
    signal?: AbortSignal,
  ): Promise<NodeId | undefined> {
    if (!isSafeName(name) || name.length > NAME_UNITS_MAX) return undefined;
    const index = this.#indexOf(directory);
    const isExact = directory.file?.hasCaseSensitiveNames === true;
    let entry = choose((await index?.find(name, this.#rules, signal)) ?? [], name, isExact);
    const damage = directory.error ?? index?.damage[0];
    if (entry === undefined && damage !== undefined) {
      const problems: RestoreError[] = [];
      const lost = await this.#lostNames(directory, index, damage, problems, signal);
      const equal = lost.filter((one) => this.#rules.compare(one.name, name) === 0);
      entry = choose(equal, name, isExact);
      if (entry === undefined && problems[0] !== undefined) throw problems[0];
    }
    if (entry === undefined) return undefined;
    const isDirectory = saysDirectory(entry);
    if (isDirectory) checkPlace(await this.#loader.load(entry, signal), directory.reference);
    return nodeOf(entry.number, entry.sequence, isDirectory);
  }

  #indexOf({ file }: OpenDirectory): DirectoryIndex | undefined {
    if (file === undefined) return undefined;
    return new DirectoryIndex(this.#volume.metadata, this.#geometry, file);
  }

  /** In the order of their records, so that each part of the MFT is read once. */
  async *#describeAll(
    directory: FileReference,
    names: PairedName[],
    attributes: boolean,
    problems: RestoreError[],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<DirectoryEntry[]> {
    if (names.length > BATCH_NAMES)
      names.sort((one, other) => other.entry.number - one.entry.number);
    while (names.length > 0) {
      throwIfAborted(signal);
      this.#volume.budget.checkTime();
      // From the end: what has been told is held no longer.
      const batch = names.splice(-BATCH_NAMES);
      yield await this.#describe(directory, batch, attributes, problems, signal);
    }
  }

  async #describe(
    directory: FileReference,
    names: readonly PairedName[],
    attributes: boolean,
    problems: RestoreError[],
    signal: AbortSignal | undefined,
  ): Promise<DirectoryEntry[]> {
    const shown = names.filter(({ entry }) => this.#isShown(directory, entry, problems));
    const needed = shown.filter(({ entry }) => attributes || needsRecord(entry));
    await this.#loader.mft.prefetch(
      needed.map(({ entry }) => entry.number),
      signal,
    );
    const entries: DirectoryEntry[] = [];
    for (const { entry, shortName } of shown) {
      const isDirectory = saysDirectory(entry);
      const told: Told = {
        name: entry.name,
        node: nodeOf(entry.number, entry.sequence, isDirectory),
        kind: isDirectory ? 'directory' : 'file',
      };
      if (shortName !== undefined) told.shortName = shortName;
      entries.push(told);
      if (!attributes && !needsRecord(entry)) continue;
      try {
        const file = this.#loader.peek(entry) ?? (await this.#loader.load(entry, signal));
        if (!this.#isInPlace(file, directory, problems)) {
          entries.pop();
          continue;
        }
        checkKind(file, isDirectory);
        told.kind = kindOf(file);
        if (attributes) told.attributes = describe(file);
      } catch (error) {
        if (!isRestoreError(error, 'CORRUPT') && !isRestoreError(error, 'UNSUPPORTED')) throw error;
        this.#volume.health.damage(error);
        if (attributes) told.error = error;
      }
    }
    return entries;
  }

  /** Files of the system's own are not shown, as Windows and ntfs-3g do not. */
  #isShown(directory: FileReference, entry: NameEntry, problems: RestoreError[]): boolean {
    const isRoot = directory.number === RECORD_NUMBER.ROOT;
    if (isRoot && entry.number < RECORD_NUMBER.FIRST_USER) return false;
    if (isSafeName(entry.name)) return true;
    this.#problem(problems, badName(directory, entry));
    return false;
  }

  #isInPlace(file: NtfsFile, directory: FileReference, problems: RestoreError[]): boolean {
    try {
      checkPlace(file, directory);
      return true;
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      this.#problem(problems, error);
      return false;
    }
  }

  #problem(problems: RestoreError[], error: RestoreError): void {
    this.#volume.health.damage(error);
    problems.push(error);
  }

  /** The names that the directory's index lacks, or has in parts that cannot be read. */
  async #lostNames(
    directory: OpenDirectory,
    index: DirectoryIndex | undefined,
    damage: RestoreError,
    problems: RestoreError[],
    signal: AbortSignal | undefined,
  ): Promise<readonly NameEntry[]> {
    const { number, sequence } = directory.reference;
    const key = nodeOf(number, sequence, true);
    let lost = this.#lost.get(key);
    if (lost === undefined) {
      lost = await this.#rescue(directory, index, damage, signal);
      this.#lost.set(key, lost);
    }
    problems.push(...lost.problems);
    return lost.names;
  }

  async #rescue(
    { reference, error }: OpenDirectory,
    index: DirectoryIndex | undefined,
    damage: RestoreError,
    signal: AbortSignal | undefined,
  ): Promise<LostNames> {
    this.#noteRescue(reference, damage);
    const parents = await this.#parentIndex(signal);
    const known = new Set<string>();
    for await (const entries of index?.walk(signal) ?? []) {
      for (const { number, name } of entries) known.add(`${number} ${name}`);
    }
    // What cannot be read may have been a file of this directory.
    const problems = [error, parents.damage[0]].filter((problem) => problem !== undefined);
    const names: NameEntry[] = [];
    for (const number of parents.childrenOf(reference.number)) {
      for (const entry of await this.#namesIn(reference, number, problems, signal)) {
        const key = `${number} ${entry.name}`;
        if (!known.has(key)) names.push(entry);
        known.add(key);
      }
    }
    return { names, problems };
  }

  async #parentIndex(signal: AbortSignal | undefined): Promise<ParentIndex> {
    this.#parents ??= ParentIndex.build(this.#loader.mft, this.#volume.budget, signal);
    try {
      return await this.#parents;
    } catch (error) {
      this.#parents = undefined;
      // Another caller's, who had begun it, is no reason for this one to end.
      const isForeign = isRestoreError(error, 'CANCELLED') && signal?.aborted !== true;
      if (isForeign) return this.#parentIndex(signal);
      throw error;
    }
  }

  #noteRescue({ number }: FileReference, damage: RestoreError): void {
    this.#volume.health.note('partly damaged', {
      message: `${damage.message}; the files of the directory in file record ${number} are found by their own records`,
      where: damage.where,
    });
  }

  async #namesIn(
    directory: FileReference,
    number: number,
    problems: RestoreError[],
    signal: AbortSignal | undefined,
  ): Promise<NameEntry[]> {
    try {
      const file = await this.#loader.load({ number, sequence: 0 }, signal);
      const { sequence, isDirectory } = file.record;
      const fileAttributes =
        (isDirectory ? DOS_ATTRIBUTE.HAS_NAME_INDEX : 0) |
        (file.extras.reparse === undefined ? 0 : DOS_ATTRIBUTE.REPARSE_POINT);
      return file
        .names()
        .filter((name) => isSame(directory, name.parent, name.parentSequence))
        .map(({ name, namespace }) => ({ number, sequence, name, namespace, fileAttributes }));
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      this.#problem(problems, error);
      return [];
    }
  }
}

/** By the volume's rules: as it is written first, then ignoring case, a short name last. */
function choose(
  entries: readonly NameEntry[],
  name: string,
  isExact: boolean,
): NameEntry | undefined {
  const exact = entries.find((entry) => entry.name === name);
  if (exact !== undefined || isExact) return exact;
  return entries.find(({ namespace }) => namespace !== NAMESPACE.DOS) ?? entries[0];
}

const saysDirectory = ({ fileAttributes }: NameEntry): boolean =>
  (fileAttributes & DOS_ATTRIBUTE.HAS_NAME_INDEX) !== 0;

/** The entry alone does not tell what a reparse point is, nor that a directory lies here. */
const needsRecord = ({ fileAttributes }: NameEntry): boolean =>
  (fileAttributes & (DOS_ATTRIBUTE.HAS_NAME_INDEX | DOS_ATTRIBUTE.REPARSE_POINT)) !== 0;

/** NTFS allows all names but those with these; in a path they would mean something else. */
function isSafeName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);
}

function isSame(directory: FileReference, number: number, sequence: number): boolean {
  return directory.number === number && (sequence === 0 || directory.sequence === sequence);
}

/**
 * A directory lies in one directory and says in which: so a walk that starts at the root ends, however
 * hostile the volume is.
 *
 * @throws RestoreError `CORRUPT` when it says another one, or several.
 */
function checkPlace(file: NtfsFile, directory: FileReference): void {
  if (!file.record.isDirectory) return;
  const names = file.names();
  const isHere = names.every(({ parent, parentSequence }) =>
    isSame(directory, parent, parentSequence),
  );
  if (isHere && names.length > 0 && file.record.number !== RECORD_NUMBER.ROOT) return;
  throw corrupt('a directory is entered in one that is not its parent', {
    structure: `file record ${file.record.number}`,
    expected: `parent ${directory.number}`,
    found: names.map(({ parent }) => parent).join(', ') || 'none',
  });
}

/** @throws RestoreError `CORRUPT` when directory and record disagree on what the file is. */
export function checkKind({ record }: NtfsFile, isDirectory: boolean): void {
  if (record.isDirectory === isDirectory) return;
  throw corrupt('a directory entry and its file record disagree', {
    structure: `file record ${record.number}`,
    expected: isDirectory ? 'a directory' : 'a file',
    found: record.isDirectory ? 'a directory' : 'a file',
  });
}

function badName({ number }: FileReference, entry: NameEntry): RestoreError {
  return corrupt('a directory holds a name that none can have', {
    structure: `directory in file record ${number}`,
    expected: 'a file name',
    found: JSON.stringify(entry.name),
  });
}
