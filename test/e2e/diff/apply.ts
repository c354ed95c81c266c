import { expect } from 'vitest';
import type { ListedFile, Listing } from '../../fixtures/file-systems/index.ts';
import type { Cli } from '../command/harness.ts';

/** A change of `diff --json`, as far as tests look at it. */
export interface JsonChange {
  readonly change: 'added' | 'removed' | 'changed' | 'renamed';
  readonly path: string;
  readonly from?: string;
  readonly aspects: readonly string[];
  readonly isReplaced?: true;
  readonly isLink?: true;
}

export interface JsonDifference {
  readonly changes: readonly JsonChange[];
  readonly summary: Readonly<Record<JsonChange['change'], number>>;
  readonly volumes: readonly { readonly volume: string; readonly method: string }[];
}

export function diffByCommand(
  cli: Cli,
  repository: string,
  ...args: readonly string[]
): Promise<JsonDifference> {
  return cli.json<JsonDifference>('diff', repository, ...args);
}

/** What the difference says of two listings that someone else made: that, and no more. */
export function expectExplains(
  { changes }: Pick<JsonDifference, 'changes'>,
  before: Listing,
  after: Listing,
): void {
  expect(changes.map(({ path }) => path)).toEqual(
    changes.map(({ path }) => path).toSorted(byUnits),
  );
  const origins = applied(changes, before);
  expect([...origins.keys()].toSorted(byUnits)).toEqual([...after.keys()].toSorted(byUnits));
  const told = new Map(
    changes
      .filter(({ change }) => change === 'changed' || change === 'renamed')
      .map(({ path, aspects }) => [path, aspects] as const),
  );
  for (const [path, origin] of origins) {
    const one = origin === undefined ? undefined : before.get(origin);
    const other = after.get(path) as ListedFile;
    const expected = one === undefined ? [] : differences(one, other);
    const seen = (told.get(path) ?? []).filter((aspect) => isSeen(aspect, one, other));
    expect([path, seen]).toEqual([path, expected]);
  }
}

/** Paths after, and which path of before each one had; none for what was added. */
function applied(changes: readonly JsonChange[], before: Listing): Map<string, string | undefined> {
  const removed = new Set(
    changes.filter(({ change }) => change === 'removed').map(({ path }) => path),
  );
  const origins = new Map<string, string | undefined>();
  const renamed = changes.filter(({ change }) => change === 'renamed');
  for (const origin of before.keys()) {
    if (removed.has(origin)) continue;
    // A file goes where the deepest of its directories that were renamed went.
    const [nearest] = renamed
      .filter(({ from = '' }) => origin === from || origin.startsWith(`${from}/`))
      .toSorted((a, b) => (b.from ?? '').length - (a.from ?? '').length);
    const isOver = renamed.some(({ path, isReplaced }) => isReplaced === true && path === origin);
    if (nearest === undefined && isOver) continue;
    const from = nearest?.from ?? '';
    origins.set(`${nearest?.path ?? ''}${origin.slice(from.length)}`, origin);
  }
  for (const { change, path } of changes) {
    if (change !== 'added') continue;
    expect([path, origins.has(path)]).toEqual([path, false]);
    origins.set(path, undefined);
  }
  return origins;
}

const SEEN: ReadonlySet<string> = new Set([
  ...['kind', 'content', 'size', 'modified', 'device', 'target'],
]);

/** Whether whoever made the listings sees such a thing at all: ntfs-3g shows no modes that WSL wrote. */
function isSeen(aspect: string, one: ListedFile | undefined, other: ListedFile): boolean {
  if (aspect !== 'mode' && aspect !== 'owner') return SEEN.has(aspect);
  return one?.[aspect] !== undefined || other[aspect] !== undefined;
}

function differences(one: ListedFile, other: ListedFile): string[] {
  const found: string[] = [];
  const isDirectory = one.kind === 'directory';
  if (one.kind !== other.kind) found.push('kind');
  else if (!isDirectory) {
    if (one.sha256 !== other.sha256) found.push('content');
    if (one.kind === 'file' && one.size !== other.size) found.push('size');
    if (one.modified !== other.modified) found.push('modified');
  }
  if (one.mode !== other.mode) found.push('mode');
  if (one.owner !== other.owner) found.push('owner');
  if (one.device !== other.device) found.push('device');
  if (one.kind === other.kind && one.target !== other.target) found.push('target');
  return found;
}

function byUnits(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
