import {
  asRestoreError,
  type Attributes,
  isRestoreError,
  type RecordName,
  type RestoreError,
} from '../../core/index.ts';
import type { SideFile } from './model.ts';
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

/**
 * Finds the names of touched files. Touched directories are listed on both sides. All others are the
 * same on both: what is found there, where a file has more names, holds before and after.
 */
export async function findLinks(
  before: RecordSide,
  after: RecordSide,
  pairs: ReadonlyMap<number, Pair>,
  onProblem: (error: RestoreError, number: number) => void,
  signal?: AbortSignal,
): Promise<Links> {
  const one: LinkMap = new Map();
  const other: LinkMap = new Map();
  const directories = { before: new Set<number>(), after: new Set<number>() };
  for (const [number, pair] of pairs) {
    if (isDirectory(pair.before)) {
      directories.before.add(number);
      await listInto(one, before, number, pair.before, { pairs, onProblem, signal });
    }
    if (isDirectory(pair.after)) {
      directories.after.add(number);
      await listInto(other, after, number, pair.after, { pairs, onProblem, signal });
    }
  }
  const add = (map: LinkMap, name: RecordName): void => {
    const names = map.get(name.number) ?? new Map<string, RecordName>();
    map.set(name.number, names.set(keyOf(name), name));
  };
  const missing = { before: new Set<number>(), after: new Set<number>() };
  for (const [number, pair] of pairs) {
    if (pair.after !== undefined && count(other, number) < linksOf(pair.after.attributes)) {
      missing.after.add(number);
    } else if (pair.before !== undefined && count(one, number) < linksOf(pair.before.attributes)) {
      missing.before.add(number);
    }
  }
  for await (const name of after.records.namesOf(missing.after, [], signal)) {
    if (directories.after.has(name.parent)) continue;
    add(other, name);
    if (pairs.get(name.number)?.before !== undefined && !directories.before.has(name.parent)) {
      add(one, name);
    }
  }
  for await (const name of before.records.namesOf(missing.before, [], signal)) {
    if (directories.before.has(name.parent)) continue;
    add(one, name);
    if (pairs.get(name.number)?.after !== undefined && !directories.after.has(name.parent)) {
      add(other, name);
    }
  }
  return { before: one, after: other };
}

interface ListContext {
  readonly pairs: ReadonlyMap<number, Pair>;
  readonly onProblem: (error: RestoreError, number: number) => void;
  readonly signal: AbortSignal | undefined;
}

/** Notes what a directory says of touched files. */
async function listInto(
  links: LinkMap,
  { fileSystem, records }: RecordSide,
  parent: number,
  directory: SideFile,
  { pairs, onProblem, signal }: ListContext,
): Promise<void> {
  try {
    const options = signal === undefined ? {} : { signal };
    for await (const entries of fileSystem.list(directory.node, options)) {
      for (const { name, node } of entries) {
        const number = records.numberOf(node);
        if (!pairs.has(number)) continue;
        const names = links.get(number) ?? new Map<string, RecordName>();
        const found = { number, parent, name };
        links.set(number, names.set(keyOf(found), found));
      }
    }
  } catch (cause) {
    if (isRestoreError(cause, 'CANCELLED')) throw cause;
    onProblem(asRestoreError(cause, 'cannot read a directory'), parent);
  }
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
