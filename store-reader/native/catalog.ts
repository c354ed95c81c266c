import { hash } from 'node:crypto';
import { asRestoreError, RestoreError } from '../../core/index.ts';
import type { Backend } from '../backends/backend.ts';
import { unwrapObject, wrapObject } from './envelope.ts';
import { COMMITS_PREFIX, commitObject } from './format.ts';
import type { KeyRing } from './keys.ts';
import { type CommitRecord, type PointName, parseRecord } from './records.ts';

/** Every commit whose number divides by this carries the full list of points. */
export const CHECKPOINT_INTERVAL = 64;

/** Which restore points there are, by the chain of commits. */
export interface Catalog {
  /** Oldest first. */
  readonly points: readonly PointName[];
  /** The newest commit; 0 in a repository that has none. */
  readonly lastNumber: number;
  /** SHA-256 of the newest commit as stored. */
  readonly lastSha256: string | undefined;
  /** Commits that are damaged or missing. What only they name is not in `points`. */
  readonly damage: readonly RestoreError[];
}

interface Loaded {
  readonly number: number;
  readonly record?: CommitRecord;
  readonly sha256?: string;
  readonly error?: RestoreError;
}

/**
 * Reads commits from the newest back to the last checkpoint, checks the chain, and applies them.
 * Damage is reported beside what could be read, so that one bad commit hides no other.
 *
 * @throws RestoreError `IO`, `DENIED` when the storage cannot be listed.
 */
export async function loadCatalog(backend: Backend, keys: KeyRing | undefined): Promise<Catalog> {
  const numbers = await commitNumbers(backend);
  const lastNumber = numbers.at(-1) ?? 0;
  const newestFirst: Loaded[] = [];
  for (let index = numbers.length - 1; index >= 0; index -= 1) {
    const number = numbers[index] as number;
    const commit = await loadCommit(backend, keys, number);
    newestFirst.push(commit);
    if (commit.record?.checkpoint !== undefined) break;
    const before = numbers[index - 1] ?? 0;
    // One entry for the whole gap: a stray file of an absurd number must not cost as much.
    if (number - before > 1) newestFirst.push(gap(before + 1, number - 1));
  }
  return {
    points: apply(newestFirst.toReversed()),
    lastNumber,
    lastSha256: newestFirst[0]?.sha256,
    damage: [
      ...newestFirst.flatMap(({ error }) => error ?? []),
      ...brokenLinks(newestFirst.toReversed()),
    ],
  };
}

/** The stored form of a commit. */
export function encodeCommit(record: CommitRecord, keys: KeyRing | undefined): Uint8Array {
  return wrapObject(commitObject(record.number), Buffer.from(JSON.stringify(record)), keys);
}

async function commitNumbers(backend: Backend): Promise<number[]> {
  const numbers: number[] = [];
  for await (const name of backend.list(COMMITS_PREFIX)) {
    const number = Number(name.slice(COMMITS_PREFIX.length + 1));
    if (Number.isSafeInteger(number) && number > 0 && commitObject(number) === name) {
      numbers.push(number);
    }
  }
  return numbers.sort((a, b) => a - b);
}

async function loadCommit(
  backend: Backend,
  keys: KeyRing | undefined,
  number: number,
): Promise<Loaded> {
  const object = commitObject(number);
  let sha256: string | undefined;
  try {
    const stored = await backend.get(object);
    sha256 = hash('sha256', stored);
    const json = Buffer.from(unwrapObject(object, stored, keys)).toString();
    const record = parseRecord('commit', json, object);
    if (record.number === number) return { number, record, sha256 };
    throw new RestoreError('CORRUPT', 'a commit has another commit’s number', {
      where: { object, expected: number, found: record.number },
    });
  } catch (error) {
    const damage = asRestoreError(error, 'cannot read a commit', { object });
    return sha256 === undefined ? { number, error: damage } : { number, sha256, error: damage };
  }
}

function gap(first: number, last: number): Loaded {
  const count = last - first + 1;
  const what = count === 1 ? 'a commit is missing' : `${count} commits are missing`;
  const error = new RestoreError('CORRUPT', `${what} from the chain`, {
    where: { object: commitObject(first), ...(count === 1 ? {} : { structure: `to ${last}` }) },
    hint: 'Put them back from a copy of the repository.',
  });
  return { number: first, error };
}

function brokenLinks(oldestFirst: readonly Loaded[]): RestoreError[] {
  return oldestFirst.flatMap((commit, index) => {
    const before = index === 0 ? undefined : oldestFirst[index - 1];
    const expected = commit.record?.previous;
    // A damaged commit is reported as such; that its neighbour's link does not fit is no news.
    if (commit.record === undefined || before?.record === undefined) return [];
    if (before.sha256 === undefined) return [];
    if (expected === before.sha256) return [];
    return new RestoreError('CORRUPT', 'the chain of commits is broken', {
      where: {
        object: commitObject(commit.number),
        structure: 'previous commit',
        expected: expected ?? 'none',
        found: before.sha256,
      },
      hint: 'A commit was exchanged or rolled back; compare with a copy of the repository.',
    });
  });
}

function apply(oldestFirst: readonly Loaded[]): PointName[] {
  const alive = new Map<string, PointName>();
  for (const { record } of oldestFirst) {
    if (record === undefined) continue;
    if (record.checkpoint !== undefined) {
      alive.clear();
      for (const point of record.checkpoint) alive.set(point.id, point);
      continue;
    }
    for (const point of record.add) alive.set(point.id, point);
    for (const id of record.drop) alive.delete(id);
  }
  return [...alive.values()].sort((a, b) => Date.parse(a.takenAt) - Date.parse(b.takenAt));
}
