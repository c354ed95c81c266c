import type { Ranges, RestoreError } from '../../core/index.ts';
import type { MachineDisk } from '../../parsers/index.ts';
import { aspectsOf } from '../compare/aspects.ts';
import { ChangedVolumes } from '../compare/changed-volumes.ts';
import { type Aspect, isSameFile, type ProblemSink } from '../compare/model.ts';
import { type FoundFile, type Look, lookFor, type Wanted } from './look.ts';

/** The points of one machine, as a history is read from them. `P` is whatever names a point. */
export interface HistorySource<P> {
  /** Oldest first. */
  readonly points: readonly P[];
  disksOf(point: P): Promise<readonly MachineDisk[]>;
  /** True when all disks are the same, which costs no reading. */
  haveSameDisks(one: P, other: P): Promise<boolean>;
  /** Where each disk of `other` may differ from that of `one`, by disk. */
  changed(one: P, other: P): Promise<ReadonlyMap<string, Ranges>>;
}

/** A state of a file, over one or more points that follow each other. */
export interface Version<P> {
  readonly from: P;
  readonly to: P;
  readonly points: number;
  readonly state: 'present' | 'absent' | 'unreadable';
  readonly file?: FoundFile;
  readonly error?: RestoreError;
  /** What differs from the version before; of the first one, nothing. */
  readonly aspects: readonly Aspect[];
  /** Another file than in the version before. */
  readonly isReplaced?: true;
}

/** How points were dealt with. */
export interface HistoryCounts {
  /** Nothing of their disks differs from the point before. */
  same: number;
  /** What differs is no matter to the file. */
  untouched: number;
  /** The file was looked for. */
  looked: number;
}

export interface HistoryOptions {
  readonly wanted: Wanted;
  readonly onProblem: ProblemSink;
  readonly signal?: AbortSignal;
}

/**
 * Every state of a file over the points of a machine. A point is looked into only when something that
 * the answer rested on has changed: the tables, records and directories on the way, and where the
 * content lies. A version's file may be read until the next version is asked for.
 *
 * A directory's content is the names in it.
 */
export async function* historyOf<P>(
  source: HistorySource<P>,
  { wanted, onProblem, signal }: HistoryOptions,
  counts: HistoryCounts,
): AsyncGenerator<Version<P>> {
  let held: { look: Look; at: P; last: P; version: Version<P> } | undefined;
  try {
    for (const point of source.points) {
      signal?.throwIfAborted();
      if (held !== undefined && (await isUntouched(source, held.look, held.last, point, counts))) {
        held.last = point;
        held.version = { ...held.version, to: point, points: held.version.points + 1 };
        continue;
      }
      counts.looked += 1;
      const disks = await source.disksOf(point);
      const look = await lookFor(disks, wanted);
      if (held === undefined) {
        held = { look, at: point, last: point, version: versionOf(look, point, []) };
        continue;
      }
      const changed = await source.changed(held.at, point);
      const difference = await compare(held.look, look, { changed, disks, onProblem });
      if (difference.isSame) {
        const { version } = held;
        await held.look.machine.close();
        const next = { ...version, to: point, points: version.points + 1 };
        held = { look, at: point, last: point, version: renewed(next, look) };
        continue;
      }
      yield held.version;
      await held.look.machine.close();
      const version = versionOf(look, point, difference.aspects, difference.isReplaced);
      held = { look, at: point, last: point, version };
    }
    if (held !== undefined) yield held.version;
  } finally {
    await held?.look.machine.close();
  }
}

async function isUntouched<P>(
  source: HistorySource<P>,
  { trace }: Look,
  last: P,
  point: P,
  counts: HistoryCounts,
): Promise<boolean> {
  if (await source.haveSameDisks(last, point)) {
    counts.same += 1;
    return true;
  }
  if (trace.isTouchedBy(await source.changed(last, point))) return false;
  counts.untouched += 1;
  return true;
}

function versionOf<P>(
  { file, error }: Look,
  point: P,
  aspects: readonly Aspect[],
  isReplaced = false,
): Version<P> {
  return {
    ...{ from: point, to: point, points: 1, aspects },
    state: error !== undefined ? 'unreadable' : file === undefined ? 'absent' : 'present',
    ...(file === undefined ? {} : { file }),
    ...(error === undefined ? {} : { error }),
    ...(isReplaced ? { isReplaced } : {}),
  };
}

/** The same state, of which the newer point's file can be read. */
function renewed<P>(version: Version<P>, { file }: Look): Version<P> {
  return file === undefined ? version : { ...version, file };
}

interface CompareContext {
  readonly changed: ReadonlyMap<string, Ranges>;
  readonly disks: readonly MachineDisk[];
  readonly onProblem: ProblemSink;
}

interface Difference {
  readonly isSame: boolean;
  readonly aspects: readonly Aspect[];
  readonly isReplaced: boolean;
}

async function compare(before: Look, after: Look, context: CompareContext): Promise<Difference> {
  const one = before.file;
  const other = after.file;
  if (one === undefined || other === undefined) {
    const isSame = one === other && before.error?.message === after.error?.message;
    return { isSame, aspects: [], isReplaced: false };
  }
  const isReplaced = !isSameFile(one.attributes, other.attributes);
  const aspects = await aspectsOf(one, other, {
    ...{ changed: await changedOn(before, after, context), contents: true },
    ...{ path: other.path, onProblem: context.onProblem },
  });
  if (!haveSameEntries(one, other)) aspects.unshift('content');
  const hasMoved = one.path !== other.path;
  return { isSame: aspects.length === 0 && !isReplaced && !hasMoved, aspects, isReplaced };
}

/** Where the volume of both may differ; `undefined` when they are on two, or one that was moved. */
async function changedOn(
  before: Look,
  after: Look,
  { changed, disks }: CompareContext,
): Promise<Ranges | undefined> {
  const id = after.file?.volume.id;
  if (id === undefined || before.file?.volume.id !== id) return undefined;
  const differing = disks.flatMap(({ id: disk, source }) => {
    const ranges = changed.get(disk);
    return ranges === undefined ? [] : [{ id: disk, source, changed: ranges }];
  });
  const volumes = await ChangedVolumes.open(
    before.machine.volumes,
    after.machine.volumes,
    differing,
  );
  const ranges = await volumes.of(id);
  const replayed = [before, after].flatMap(({ file }) => file?.fileSystem.records?.replayed ?? []);
  return ranges?.and(replayed);
}

function haveSameEntries({ entries: one }: FoundFile, { entries: other }: FoundFile): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.size === other.size && [...other].every(([name, kind]) => one.get(name) === kind);
}
