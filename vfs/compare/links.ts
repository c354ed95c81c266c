import {
  asRestoreError,
  type Attributes,
  isRestoreError,
  type RecordName,
  RestoreError,
} from '../../core/index.ts';
import { isSameFile, type SideFile } from './model.ts';
import type { RecordSide } from './record-side.ts';

/** A file's two states. */
export interface Pair {
  readonly before: SideFile | undefined;
  readonly after: SideFile | undefined;
}

/** The names of touched files, on both sides, by number and then by {@link keyOf}. */
export interface Links {
  readonly before: ReadonlyMap<number, ReadonlyMap<string, RecordName>>;
  readonly after: ReadonlyMap<number, ReadonlyMap<string, RecordName>>;
}

type LinkMap = Map<number, Map<string, RecordName>>;

function keyOf({ parent, name }: RecordName): string {
  return `${parent}/${name}`;
}

/** What touched directories hold, by directory and then by {@link keyOf}. */
type Listings = ReadonlyMap<number, ReadonlyMap<string, RecordName>>;

/** Numbers that another directory has now: it was removed, and its number used again. */
export function replacedDirectories(pairs: ReadonlyMap<number, Pair>): Set<number> {
  const replaced = new Set<number>();
  for (const [number, { before, after }] of pairs) {
    if (!isDirectory(before) || !isDirectory(after)) continue;
    if (!isSameFile(before.attributes, after.attributes)) replaced.add(number);
  }
  return replaced;
}

/** What the touched directories hold on both sides. */
export interface BothListings {
  readonly before: Listings;
  readonly after: Listings;
}

type DirectoryProblem = (error: RestoreError, number: number) => void;

export async function listTouched(
  before: RecordSide,
  after: RecordSide,
  pairs: ReadonlyMap<number, Pair>,
  onProblem: DirectoryProblem,
  signal?: AbortSignal,
): Promise<BothListings> {
  const one = new Map<number, ReadonlyMap<string, RecordName>>();
  const other = new Map<number, ReadonlyMap<string, RecordName>>();
  for (const [number, pair] of pairs) {
    const sides = [
      { names: one, side: before, file: pair.before },
      { names: other, side: after, file: pair.after },
    ];
    const found = [];
    for (const { names, side, file } of sides) {
      if (!isDirectory(file)) continue;
      const own = await namesIn(side, number, file, onProblem, signal);
      found.push({ names, own });
    }
    // What one side could not list whole would look added or removed.
    if (found.some(({ own }) => own === undefined)) continue;
    for (const { names, own } of found) if (own !== undefined) names.set(number, own);
  }
  return { before: one, after: other };
}

/**
 * Numbers of the files with a name that is on one side alone: their own records may say nothing.
 *
 * @param replaced numbers that two directories have, one after the other: no name in them stayed.
 */
export function movedNumbers(
  { before, after }: BothListings,
  replaced: ReadonlySet<number>,
): Set<number> {
  const moved = new Set<number>();
  for (const [side, opposite] of [
    [before, after],
    [after, before],
  ] as const) {
    for (const [directory, names] of side) {
      const others = replaced.has(directory) ? undefined : opposite.get(directory);
      for (const [key, { number }] of names) {
        if (others?.get(key)?.number !== number) moved.add(number);
      }
    }
  }
  return moved;
}

/**
 * Finds the names of touched files. All directories that were not touched are the same on both sides:
 * what is found there, where a file has more names, holds before and after.
 */
export async function findLinks(
  before: RecordSide,
  after: RecordSide,
  pairs: ReadonlyMap<number, Pair>,
  listings: BothListings,
  signal?: AbortSignal,
): Promise<Links> {
  const one = linksIn(listings.before, pairs);
  const other = linksIn(listings.after, pairs);
  const missing = { before: new Set<number>(), after: new Set<number>() };
  for (const [number, pair] of pairs) {
    if (pair.after !== undefined && count(other, number) < linksOf(pair.after.attributes)) {
      missing.after.add(number);
    } else if (pair.before !== undefined && count(one, number) < linksOf(pair.before.attributes)) {
      missing.before.add(number);
    }
  }
  for await (const name of after.records.namesOf(missing.after, [], signal)) {
    if (listings.after.has(name.parent)) continue;
    add(other, name);
    const wasThere = pairs.get(name.number)?.before !== undefined;
    if (wasThere && !listings.before.has(name.parent)) add(one, name);
  }
  // A damaged file may not say its names any more, and directories that did not change have them.
  for (const number of missing.after) {
    const file = pairs.get(number)?.before;
    if (file !== undefined && count(one, number) < linksOf(file.attributes))
      missing.before.add(number);
  }
  for await (const name of before.records.namesOf(missing.before, [], signal)) {
    if (listings.before.has(name.parent)) continue;
    add(one, name);
    const isThere = pairs.get(name.number)?.after !== undefined;
    if (isThere && !listings.after.has(name.parent)) add(other, name);
  }
  return { before: one, after: other };
}

/**
 * Directories that have no name on a side where they are, or several: what lies in them is not at the
 * paths where it was, though none of it changed.
 */
export function* misplacedDirectories(
  pairs: ReadonlyMap<number, Pair>,
  links: Links,
): Generator<[RestoreError, number]> {
  for (const [number, pair] of pairs) {
    for (const side of ['before', 'after'] as const) {
      const file = pair[side];
      if (!isDirectory(file) || file.node === file.fileSystem.root) continue;
      const found = links[side].get(number)?.size ?? 0;
      if (found !== 1) yield [misplaced(number, found), number];
    }
  }
}

function misplaced(number: number, found: number): RestoreError {
  return new RestoreError('CORRUPT', 'a directory hangs on nothing, or stands in several places', {
    where: { structure: `file ${number}`, expected: '1 name', found },
  });
}

/**
 * The names that a path leads to; without those of which a damaged directory leaves it open. Both sides'
 * directories must have been located.
 */
export function placedLinks(before: RecordSide, after: RecordSide, links: Links): Links {
  const isOpen = (name: RecordName): boolean => before.isLost(name) || after.isLost(name);
  const placed = (side: RecordSide, own: Links['before']): Links['before'] => {
    const kept = ([, name]: readonly [string, RecordName]): boolean =>
      !isOpen(name) && side.pathOf(name) !== undefined;
    return new Map([...own].map(([number, names]) => [number, new Map([...names].filter(kept))]));
  };
  return { before: placed(before, links.before), after: placed(after, links.after) };
}

function linksIn(listings: Listings, pairs: ReadonlyMap<number, Pair>): LinkMap {
  const links: LinkMap = new Map();
  for (const names of listings.values()) {
    for (const name of names.values()) if (pairs.has(name.number)) add(links, name);
  }
  return links;
}

function add(links: LinkMap, name: RecordName): void {
  const names = links.get(name.number) ?? new Map<string, RecordName>();
  links.set(name.number, names.set(keyOf(name), name));
}

/** What a directory holds; `undefined` where that cannot be read whole, which is told. */
async function namesIn(
  { fileSystem, records }: RecordSide,
  parent: number,
  directory: SideFile,
  onProblem: DirectoryProblem,
  signal: AbortSignal | undefined,
): Promise<Map<string, RecordName> | undefined> {
  const names = new Map<string, RecordName>();
  try {
    const options = signal === undefined ? {} : { signal };
    for await (const entries of fileSystem.list(directory.node, options)) {
      for (const { name, node } of entries) {
        const found = { number: records.numberOf(node), parent, name };
        names.set(keyOf(found), found);
      }
    }
  } catch (cause) {
    if (isRestoreError(cause, 'CANCELLED')) throw cause;
    onProblem(asRestoreError(cause, 'cannot read a directory'), parent);
    return undefined;
  }
  return names;
}

function isDirectory(file: SideFile | undefined): file is SideFile {
  return file?.attributes.kind === 'directory';
}

/** A directory's links are those of its entries; it has one name. */
function linksOf({ kind, links }: Attributes): number {
  return kind === 'directory' ? 1 : links;
}

function count(links: LinkMap, number: number): number {
  return links.get(number)?.size ?? 0;
}
