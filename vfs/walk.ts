import { asRestoreError, RestoreError, showName } from '../core/index.ts';
import type { Place, TreeEntry } from './place.ts';
import { DEPTH_MAX } from './resolve.ts';
import type { Tree } from './tree.ts';

export interface WalkOptions {
  /** Give each entry its attributes. */
  readonly attributes?: boolean;
  /** Levels below the start to go down to; 0 gives the start's own entries. */
  readonly depthMax?: number;
  /** Give each directory as one step with its entries sorted by name; else in batches, as read. */
  readonly sorted?: boolean;
  /** Stay on the volume of the start. */
  readonly oneVolume?: boolean;
  readonly signal?: AbortSignal;
}

/** Entries of one directory: all of them when sorted, else one batch. */
export interface WalkStep {
  readonly directory: Place;
  /** Levels below the start. */
  readonly depth: number;
  readonly entries: readonly TreeEntry[];
  /** False where `error` says why `directory`, or something in it, was not entered. */
  readonly isEntered: boolean;
  /** Why the rest of the directory could not be read. Its last step. */
  readonly error?: RestoreError;
}

interface Waiting {
  readonly parent: Place;
  readonly entry: TreeEntry;
  readonly depth: number;
  /** Directories met on this mounted volume. */
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
  yield* directorySteps(tree, start, 0, visited, waiting, options);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { parent, entry, depth } = next;
    if (depth > depthMax) {
      if (depth > DEPTH_MAX) yield refused(parent, depth, tooDeep(parent, entry));
      continue;
    }
    if (options.oneVolume === true && entry.mount !== undefined) continue;
    const own = entry.mount === undefined ? next.visited : new Set<number>();
    let place: Place;
    try {
      place = await tree.enter(parent, entry);
    } catch (error) {
      yield refused(parent, depth - 1, asRestoreError(error, 'cannot enter a directory'));
      continue;
    }
    if (own.has(place.node)) {
      yield refused(place, depth, metTwice(place));
      continue;
    }
    own.add(place.node);
    yield* directorySteps(tree, place, depth, own, waiting, options);
  }
}

async function* directorySteps(
  tree: Tree,
  directory: Place,
  depth: number,
  visited: Set<number>,
  waiting: Waiting[],
  options: WalkOptions,
): AsyncGenerator<WalkStep> {
  const { attributes = false, signal, sorted = false } = options;
  const listOptions = { attributes, ...(signal === undefined ? {} : { signal }) };
  const inner: Waiting[] = [];
  const note = async (entries: readonly TreeEntry[]): Promise<void> => {
    for (const entry of entries) {
      const kind = kindOf(entry);
      if (kind === 'unknown' ? !(await isDirectory(directory, entry)) : kind !== 'directory')
        continue;
      inner.push({ parent: directory, entry, depth: depth + 1, visited });
    }
  };
  let failure: RestoreError | undefined;
  const all: TreeEntry[] = [];
  try {
    for await (const batch of tree.list(directory, listOptions)) {
      if (sorted) {
        for (const entry of batch) all.push(entry);
      } else {
        await note(batch);
        yield { directory, depth, entries: batch, isEntered: true };
      }
    }
  } catch (error) {
    failure = asRestoreError(error, 'cannot read a directory');
    if (failure.code === 'CANCELLED') throw failure;
  }
  if (sorted) {
    all.sort(byName);
    await note(all);
  }
  const error = failure === undefined ? {} : { error: failure };
  if (sorted || failure !== undefined)
    yield { directory, depth, entries: all, isEntered: true, ...error };
  // The last one in is the first one out.
  for (let index = inner.length - 1; index >= 0; index -= 1) waiting.push(inner[index] as Waiting);
}

/** Attributes know better than a directory's own remark. */
function kindOf({ kind, attributes }: TreeEntry): TreeEntry['kind'] {
  return attributes?.kind ?? kind;
}

/** Asked where the directory itself does not say. What cannot be read is told by whoever looks at it. */
async function isDirectory({ volume }: Place, { node }: TreeEntry): Promise<boolean> {
  try {
    return (await volume.fileSystem.stat(node)).kind === 'directory';
  } catch {
    return false;
  }
}

/** By code units: the same everywhere. */
function byName(a: TreeEntry, b: TreeEntry): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function refused(directory: Place, depth: number, error: RestoreError): WalkStep {
  return { directory, depth, entries: [], isEntered: false, error };
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
