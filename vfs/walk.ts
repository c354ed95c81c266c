import { asRestoreError, RestoreError, showName } from '../core/index.ts';
import { EntryList } from './entry-list.ts';
import type { Place, TreeEntry } from './place.ts';
import { DEPTH_MAX } from './resolve.ts';
import type { Tree } from './tree.ts';

export interface WalkOptions {
  /** Give each entry its attributes. */
  readonly attributes?: boolean;
  /** Levels below the start to go down to; 0 gives the start's own entries. */
  readonly depthMax?: number;
  /** Give each directory's entries sorted by name; else in batches, as read. */
  readonly sorted?: boolean;
  /** Of a directory that holds more, the rest is not sorted: {@link SORTED_MAX} unless told. */
  readonly sortedMax?: number;
  /** Stay on the volume of the start. */
  readonly oneVolume?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Entries of one directory: where they are sorted all of them, unless there are very many; else one
 * batch. A directory's steps follow each other, and come before those of what is in it.
 */
export interface WalkStep {
  readonly directory: Place;
  /** The directory as the one above has it; none for the start. */
  readonly from?: { readonly parent: Place; readonly entry: TreeEntry };
  /** Levels below the start. */
  readonly depth: number;
  readonly entries: readonly TreeEntry[];
  /** The directory's first step. */
  readonly isFirst: boolean;
  /** False where `error` says why `directory`, or something in it, was not entered. */
  readonly isEntered: boolean;
  /** From here on its entries come as they are read: they are too many to be sorted. */
  readonly isUnsorted?: true;
  /** Why the rest of the directory could not be read. Its last step. */
  readonly error?: RestoreError;
}

/** As many as fit the memory of the process that parses, with all that it holds besides. */
const SORTED_MAX = 1_000_000;
/** What else waits in this process has its turn at least this often, whatever comes from a cache. */
const TURN_MS = 100;

/** The directories in one directory that are still to be entered, in order. */
interface Waiting {
  readonly parent: Place;
  readonly entries: EntryList;
  next: number;
  readonly depth: number;
  /** Directories met on this mounted volume. */
  readonly visited: Set<number>;
}

/** A directory that is entered. */
interface Entered extends Pick<WalkStep, 'directory' | 'from' | 'depth'> {
  readonly visited: Set<number>;
}

/**
 * Everything below a directory, each directory before what is in it. Links are told, not followed.
 * Damage ends one directory and not the walk: it is told in the step. A directory that is met twice on
 * one volume, which no sound file system has, is told as damage and not entered again, so the walk
 * ends whatever the volume says.
 */
export async function* walk(
  tree: Tree,
  start: Place,
  options: WalkOptions = {},
): AsyncGenerator<WalkStep> {
  const depthMax = Math.min(options.depthMax ?? DEPTH_MAX, DEPTH_MAX);
  const waiting: Waiting[] = [];
  const visited = new Set([start.node]);
  yield* directorySteps(tree, { directory: start, depth: 0, visited }, waiting, options);
  for (let top = waiting.at(-1); top !== undefined; top = waiting.at(-1)) {
    const { parent, entries, depth } = top;
    if (top.next === entries.length) {
      waiting.pop();
      continue;
    }
    const entry = entries.at(top.next);
    top.next += 1;
    const from = { parent, entry };
    if (depth > depthMax) {
      if (depth > DEPTH_MAX) yield refused(parent, from, depth, tooDeep(parent, entry));
      continue;
    }
    if (options.oneVolume === true && entry.mount !== undefined) continue;
    const own = entry.mount === undefined ? top.visited : new Set<number>();
    let place: Place;
    try {
      place = await tree.enter(parent, entry);
    } catch (error) {
      const cause = asRestoreError(error, 'cannot enter a directory');
      yield refused(parent, from, depth - 1, cause);
      continue;
    }
    if (own.has(place.node)) {
      yield refused(place, from, depth, metTwice(place));
      continue;
    }
    own.add(place.node);
    yield* directorySteps(tree, { directory: place, from, depth, visited: own }, waiting, options);
  }
}

async function* directorySteps(
  tree: Tree,
  { visited, ...place }: Entered,
  waiting: Waiting[],
  options: WalkOptions,
): AsyncGenerator<WalkStep> {
  const { attributes = false, signal, sorted = false, sortedMax = SORTED_MAX } = options;
  const { directory, depth } = place;
  const listOptions = { attributes, ...(signal === undefined ? {} : { signal }) };
  const inner = new EntryList();
  let isFirst = true;
  let turnedMs = performance.now();
  const turn = async (): Promise<void> => {
    if (performance.now() - turnedMs <= TURN_MS) return;
    await new Promise(setImmediate);
    turnedMs = performance.now();
  };
  const stepOf = async (entries: readonly TreeEntry[]): Promise<WalkStep> => {
    await turn();
    for (const entry of entries) {
      // Attributes know better than a directory's own remark.
      const kind = entry.attributes?.kind ?? entry.kind;
      if (kind === 'directory') inner.add(entry);
      else if (kind === 'unknown' && (await isDirectory(directory, entry))) inner.add(entry);
    }
    const step = { ...place, entries, isFirst, isEntered: true };
    isFirst = false;
    return step;
  };
  /** What is yet to be sorted; nothing once there are too many. */
  let all = sorted ? new EntryList() : undefined;
  let failure: RestoreError | undefined;
  try {
    for await (const batch of tree.list(directory, listOptions)) {
      if (all === undefined) {
        yield await stepOf(batch);
        continue;
      }
      await turn();
      for (const entry of batch) all.add(entry);
      if (all.length <= sortedMax) continue;
      for (const part of sortedParts(all)) yield await stepOf(part);
      all = undefined;
      yield { ...(await stepOf([])), isUnsorted: true };
    }
  } catch (error) {
    failure = asRestoreError(error, 'cannot read a directory');
    if (failure.code === 'CANCELLED') throw failure;
  }
  for (const part of all === undefined ? [] : sortedParts(all)) yield await stepOf(part);
  if (failure !== undefined) yield { ...(await stepOf([])), error: failure };
  if (inner.length > 0)
    waiting.push({ parent: directory, entries: inner, next: 0, depth: depth + 1, visited });
}

function sortedParts(entries: EntryList): Iterable<readonly TreeEntry[]> {
  entries.sort();
  return entries.parts();
}

/** Asked where the directory itself does not say. What cannot be read is told by whoever looks at it. */
async function isDirectory({ volume }: Place, { node }: TreeEntry): Promise<boolean> {
  try {
    return (await volume.fileSystem.stat(node)).kind === 'directory';
  } catch {
    return false;
  }
}

function refused(
  directory: Place,
  from: NonNullable<WalkStep['from']>,
  depth: number,
  error: RestoreError,
): WalkStep {
  return { directory, from, depth, entries: [], isFirst: true, isEntered: false, error };
}

function metTwice({ path, node }: Place): RestoreError {
  return new RestoreError('CORRUPT', 'a directory stands in two places, and is entered once', {
    where: { object: showName(path), structure: 'directory tree', found: `file number ${node}` },
  });
}

function tooDeep({ path }: Place, { name }: TreeEntry): RestoreError {
  return new RestoreError('LIMIT', 'directories lie too deep', {
    where: {
      object: `${showName(path)}/${showName(name)}`,
      expected: `at most ${DEPTH_MAX} levels`,
    },
  });
}
