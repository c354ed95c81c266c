import {
  asRestoreError,
  type Attributes,
  type DirectoryEntry,
  type FileSystem,
  isRestoreError,
  type NodeId,
  type Ranges,
  RestoreError,
} from '../../core/index.ts';
import { joinPath } from '../place.ts';
import { DEPTH_MAX } from '../resolve.ts';
import { aspectsOf } from './aspects.ts';
import { type FileChange, isSameFile, type ProblemSink, type SideFile } from './model.ts';
import { pairRenamed } from './pair-renamed.ts';

export interface ListingComparison {
  readonly before: FileSystem;
  readonly after: FileSystem;
  /** Stretches of the volume that may read otherwise; `undefined` when that is not known. */
  readonly changed: Ranges | undefined;
  /** Whether what is at or below a path is of interest. */
  readonly wants: (path: string) => boolean;
  readonly onProblem: ProblemSink;
  readonly signal?: AbortSignal;
}

interface Directories {
  readonly path: string;
  readonly before: NodeId | undefined;
  readonly after: NodeId | undefined;
  readonly depth: number;
}

type Entries = ReadonlyMap<string, SideFile>;

/**
 * Compares two states of a volume by listing both, directory by directory. Where it is not known what
 * changed on the volume, files of the same size and time count as the same.
 */
export async function compareByListing(comparison: ListingComparison): Promise<FileChange[]> {
  return await new Comparing(comparison).run();
}

class Comparing {
  readonly #comparison: ListingComparison;
  readonly #changes: FileChange[] = [];
  readonly #waiting: Directories[] = [];
  readonly #entered = { before: new Set<NodeId>(), after: new Set<NodeId>() };

  constructor(comparison: ListingComparison) {
    this.#comparison = comparison;
  }

  async run(): Promise<FileChange[]> {
    const { before, after } = this.#comparison;
    await this.#roots();
    this.#waiting.push({ path: '/', before: before.root, after: after.root, depth: 0 });
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) {
      const one = await this.#list(before, next.before, next.path, this.#entered.before);
      const other = await this.#list(after, next.after, next.path, this.#entered.after);
      // What one side could not list whole would look added or removed.
      if (one === undefined || other === undefined) continue;
      await this.#merge(next, one, other);
    }
    const areNumbersLasting = before.records !== undefined && after.records !== undefined;
    return areNumbersLasting ? pairRenamed(this.#changes) : this.#changes;
  }

  async #roots(): Promise<void> {
    const [one, other] = await Promise.all(
      [this.#comparison.before, this.#comparison.after].map(async (fileSystem) => ({
        fileSystem,
        node: fileSystem.root,
        attributes: await fileSystem.stat(fileSystem.root),
      })),
    );
    if (one !== undefined && other !== undefined) await this.#both('/', one, other);
  }

  async #merge({ path, depth }: Directories, one: Entries, other: Entries): Promise<void> {
    for (const [name, before] of one) {
      const own = joinPath(path, name);
      if (!this.#comparison.wants(own)) continue;
      const after = other.get(name);
      if (after === undefined) {
        this.#changes.push({
          change: 'removed',
          path: own,
          aspects: [],
          before: before.attributes,
        });
      } else await this.#both(own, before, after);
      this.#enter(own, depth, before, after);
    }
    for (const [name, after] of other) {
      const own = joinPath(path, name);
      if (one.has(name) || !this.#comparison.wants(own)) continue;
      this.#changes.push({ change: 'added', path: own, aspects: [], after: after.attributes });
      this.#enter(own, depth, undefined, after);
    }
  }

  async #both(path: string, one: SideFile, other: SideFile): Promise<void> {
    const { changed, onProblem, signal } = this.#comparison;
    const aspects = await aspectsOf(one, other, {
      ...{ changed, path, onProblem },
      contents: changed !== undefined || isOtherState(one.attributes, other.attributes),
      ...(signal === undefined ? {} : { signal }),
    });
    if (aspects.length === 0) return;
    const isReplaced = !isSameFile(one.attributes, other.attributes) && hasLastingNumber(one);
    this.#changes.push({
      ...{ change: 'changed', path, aspects, before: one.attributes, after: other.attributes },
      ...(isReplaced ? { isReplaced } : {}),
    });
  }

  #enter(
    path: string,
    depth: number,
    before: SideFile | undefined,
    after: SideFile | undefined,
  ): void {
    const nodeOf = (file: SideFile | undefined): NodeId | undefined =>
      file?.attributes.kind === 'directory' ? file.node : undefined;
    const [one, other] = [nodeOf(before), nodeOf(after)];
    if (one === undefined && other === undefined) return;
    if (depth >= DEPTH_MAX) {
      this.#comparison.onProblem(new RestoreError('LIMIT', 'directories lie too deep'), path);
      return;
    }
    this.#waiting.push({ path, before: one, after: other, depth: depth + 1 });
  }

  /** @returns no entries of what is no directory, `undefined` where they cannot all be known. */
  async #list(
    fileSystem: FileSystem,
    node: NodeId | undefined,
    path: string,
    entered: Set<NodeId>,
  ): Promise<Entries | undefined> {
    if (node === undefined) return new Map();
    const { onProblem, signal } = this.#comparison;
    if (entered.has(node)) {
      onProblem(new RestoreError('CORRUPT', 'a directory stands in two places'), path);
      return undefined;
    }
    entered.add(node);
    const entries = new Map<string, SideFile>();
    try {
      const options = { attributes: true, ...(signal === undefined ? {} : { signal }) };
      for await (const batch of fileSystem.list(node, options)) {
        for (const entry of batch) this.#note(fileSystem, entry, path, entries);
      }
      return entries;
    } catch (cause) {
      if (isRestoreError(cause, 'CANCELLED')) throw cause;
      onProblem(asRestoreError(cause, 'cannot read a directory'), path);
      return undefined;
    }
  }

  #note(
    fileSystem: FileSystem,
    { name, node, attributes, error }: DirectoryEntry,
    path: string,
    entries: Map<string, SideFile>,
  ): void {
    if (attributes !== undefined) entries.set(name, { fileSystem, node, attributes });
    else throw error ?? new RestoreError('CORRUPT', `a file cannot be read in ${path}`);
  }
}

/** Whether anything is known by which the files may differ: then they are looked into. */
function isOtherState(one: Attributes, other: Attributes): boolean {
  const times = ({ modified, changed, created }: Attributes): string =>
    JSON.stringify([modified, changed, created]);
  return one.size !== other.size || times(one) !== times(other) || one.kind !== other.kind;
}

function hasLastingNumber({ fileSystem }: SideFile): boolean {
  return fileSystem.records !== undefined;
}
