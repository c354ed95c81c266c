import { asRestoreError, type Ranges, RestoreError, showName } from '../../core/index.ts';
import type { Machine, MachineAddress } from '../machine.ts';
import { joinPath, type OpenVolume, type VolumeHandle } from '../place.ts';
import type { Tree } from '../tree.ts';
import { compareByListing } from './by-listing.ts';
import { compareByRecords } from './by-records.ts';
import type { ChangedVolumes } from './changed-volumes.ts';
import type { CompareMethod, FileChange, ProblemSink } from './model.ts';
import { RecordSide } from './record-side.ts';

export interface MachineComparison {
  readonly before: Machine;
  readonly after: Machine;
  /** Disk and volume, or neither for all that the machine shows; and the path to compare at and below. */
  readonly address: MachineAddress;
  readonly changed: ChangedVolumes;
  readonly onProblem: ProblemSink;
  /** Something worth knowing about how they were compared. */
  readonly onRemark: (message: string) => void;
  readonly signal?: AbortSignal;
}

/** A change, and on which volume. Paths are those of the machine. */
export interface MachineChange extends FileChange {
  readonly volume: string;
}

/** How each volume was compared. */
export interface ComparedVolume {
  readonly volume: string;
  readonly at: string;
  readonly method: CompareMethod;
}

export interface MachineDifference {
  /** By path, code unit by code unit. */
  readonly changes: readonly MachineChange[];
  readonly volumes: readonly ComparedVolume[];
}

/**
 * What differs between the files of a machine at two points in time.
 *
 * @throws RestoreError as `Machine.resolve`, for a path that neither has.
 */
export async function compareMachines(comparison: MachineComparison): Promise<MachineDifference> {
  const { before, after, address } = comparison;
  const scope = await scopeOf(comparison);
  const whole = { ...address, path: '/' };
  const one = await mountsOf((await before.resolve(whole)).tree);
  const other = await mountsOf((await after.resolve(whole)).tree);
  const changes: MachineChange[] = [];
  const volumes: ComparedVolume[] = [];
  const places = [...new Set([...one.keys(), ...other.keys()])].sort();
  for (const at of places) {
    if (!isWithin(at, scope) && !isWithin(scope, at)) continue;
    const pair = { before: one.get(at), after: other.get(at) };
    const isShown = (path: string): boolean =>
      (isWithin(path, scope) || isWithin(scope, path)) &&
      !places.some((place) => place !== at && isWithin(place, at) && isWithin(path, place));
    const found = await compareAt(comparison, at, pair, isShown);
    volumes.push(...found.volumes);
    for (const change of found.changes) if (isToldIn(change, scope)) changes.push(change);
  }
  changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  return { changes, volumes };
}

/** The path to compare below, links followed; where it is gone, as it was before. */
async function scopeOf({ before, after, address }: MachineComparison): Promise<string> {
  if (address.path === undefined || address.path === '/') return '/';
  const asked = `/${address.path.split('/').filter(Boolean).join('/')}`;
  let failure: unknown;
  for (const machine of [after, before]) {
    try {
      const { tree, place } = await machine.resolve(address, { follow: true });
      const isOnVolume = address.disk !== undefined;
      const hasLeft = isOnVolume && place.path !== asked && tree === (await machine.tree());
      if (!hasLeft) return place.path;
      throw new RestoreError('INVALID', 'the path leads out of the volume by a link', {
        where: { found: showName(place.path) },
        hint: 'Compare that path of the machine instead: leave out the volume.',
      });
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

async function mountsOf(tree: Tree): Promise<Map<string, VolumeHandle>> {
  const mounts = new Map(tree.mounts);
  const { volume } = await tree.root();
  if (volume.id !== '') mounts.set('/', { id: volume.id, open: async () => volume });
  return mounts;
}

interface HandlePair {
  readonly before: VolumeHandle | undefined;
  readonly after: VolumeHandle | undefined;
}

async function compareAt(
  comparison: MachineComparison,
  at: string,
  pair: HandlePair,
  isShown: (path: string) => boolean,
): Promise<MachineDifference> {
  const { onProblem } = comparison;
  try {
    const one = await pair.before?.open();
    const other = await pair.after?.open();
    if (one === undefined || other === undefined) return await loneVolume(at, one, other);
    const pathOf = (own: string): string =>
      own === '/' ? at : at === '/' ? own : joinPath(at, own.slice(1));
    const wants = (own: string): boolean => isShown(pathOf(own));
    const found = await compareVolumes(comparison, at, { before: one, after: other, wants });
    const changes = found.changes.flatMap((change) => {
      const isHidden = !wants(change.path) && (change.from === undefined || !wants(change.from));
      if (isHidden) return [];
      const from = change.from === undefined ? {} : { from: pathOf(change.from) };
      return [{ ...change, path: pathOf(change.path), ...from, volume: other.id }];
    });
    return { changes, volumes: [{ volume: other.id, at, method: found.method }] };
  } catch (cause) {
    const error = asRestoreError(cause, 'cannot compare a volume');
    if (error.code === 'CANCELLED') throw error;
    onProblem(error, at);
    return { changes: [], volumes: [] };
  }
}

/** A volume that came or went is one change, not one for each file. */
async function loneVolume(
  at: string,
  one: OpenVolume | undefined,
  other: OpenVolume | undefined,
): Promise<MachineDifference> {
  const volume = other ?? one;
  if (volume === undefined) return { changes: [], volumes: [] };
  const { fileSystem, id } = volume;
  const attributes = await fileSystem.stat(fileSystem.root);
  const change: MachineChange =
    other === undefined
      ? { change: 'removed', path: at, aspects: [], before: attributes, volume: id }
      : { change: 'added', path: at, aspects: [], after: attributes, volume: id };
  return { changes: [change], volumes: [] };
}

interface OpenPair {
  readonly before: OpenVolume;
  readonly after: OpenVolume;
  readonly wants: (path: string) => boolean;
}

async function compareVolumes(
  { changed, onProblem, onRemark, signal }: MachineComparison,
  at: string,
  { before, after, wants }: OpenPair,
): Promise<{ readonly changes: readonly FileChange[]; readonly method: CompareMethod }> {
  const ranges = before.id === after.id ? await changed.of(after.id) : undefined;
  const tell: ProblemSink = (error, path) => onProblem(error, joinPath(at, path));
  const more = { onProblem: tell, ...(signal === undefined ? {} : { signal }) };
  const sides = recordSides(before, after);
  if (ranges !== undefined && sides !== undefined) {
    const changes = await compareByRecords({ ...sides, changed: ranges, ...more });
    return { changes, method: 'records' };
  }
  onRemark(whyListed(after, ranges));
  const fileSystems = { before: before.fileSystem, after: after.fileSystem };
  const replayed = replayedOn(before, after);
  const known = ranges?.and(replayed);
  const changes = await compareByListing({ ...fileSystems, changed: known, wants, ...more });
  return { changes, method: 'listing' };
}

function recordSides(
  { fileSystem: one }: OpenVolume,
  { fileSystem: other }: OpenVolume,
): { readonly before: RecordSide; readonly after: RecordSide } | undefined {
  if (one.records === undefined || other.records === undefined) return undefined;
  if (one.records.geometry !== other.records.geometry) return undefined;
  return {
    before: new RecordSide(one, one.records),
    after: new RecordSide(other, other.records),
  };
}

function* replayedOn(
  ...volumes: readonly OpenVolume[]
): Iterable<{ offset: number; length: number }> {
  for (const { fileSystem } of volumes) yield* fileSystem.records?.replayed ?? [];
}

function whyListed({ id, fileSystem }: OpenVolume, ranges: Ranges | undefined): string {
  const name = showName(id);
  if (ranges === undefined) {
    return `volume ${name} lies elsewhere than before: both were listed, and files of the same size and times count as the same`;
  }
  return `volume ${name} (${fileSystem.type}) was compared by listing both`;
}

/** A file that was renamed out of the scope, or into it, counts. */
function isToldIn({ path, from }: FileChange, scope: string): boolean {
  return isWithin(path, scope) || (from !== undefined && isWithin(from, scope));
}

function isWithin(path: string, folder: string): boolean {
  return folder === '/' || path === folder || path.startsWith(`${folder}/`);
}
