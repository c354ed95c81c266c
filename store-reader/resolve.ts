import { type Address, nearest, parseAddress, RestoreError } from '../core/index.ts';
import type { Catalog } from './native/catalog.ts';
import type { DiskRecord, PointName, PointRecord } from './native/records.ts';
import type { NativeRepository } from './native/repository.ts';

/** What an address turned out to mean. */
export interface Resolved {
  readonly name: PointName;
  readonly point: PointRecord;
  /** The disk it names, or the only one there is. */
  readonly disk: DiskRecord | undefined;
  readonly address: Address;
}

/**
 * The restore point (and disk) that an address names.
 *
 * @throws RestoreError `INVALID` for a malformed or ambiguous address, `NOT_FOUND` with the nearest
 *   names for an unknown machine, point or disk; `CORRUPT` where the chain of commits is damaged, so
 *   that what is missing may only be hidden: then a point needs its full time or its id.
 */
export async function resolveAddress(
  repository: NativeRepository,
  text: string,
): Promise<Resolved> {
  const address = parseAddress(text);
  const name = findPoint(repository.catalog, address);
  const point = await repository.point(name);
  return { name, point, disk: findDisk(point, address), address };
}

/**
 * The same, where a disk must be named.
 *
 * @throws RestoreError also `INVALID` when the point has several disks and the address names none.
 */
export async function resolveDisk(
  repository: NativeRepository,
  text: string,
): Promise<Resolved & { readonly disk: DiskRecord }> {
  const resolved = await resolveAddress(repository, text);
  const { disk, point } = resolved;
  if (disk !== undefined) return { ...resolved, disk };
  throw new RestoreError('INVALID', 'the address does not say which disk', {
    where: { found: text, expected: point.disks.map(({ id }) => id).join(', ') || 'any disk' },
    hint: `Name one, for example ${text.replace(/\/$/, '')}/${point.disks[0]?.id ?? 'disk0'}.`,
  });
}

/**
 * The points of a machine, oldest first.
 *
 * @throws RestoreError `NOT_FOUND` with the nearest names, `CORRUPT` where damage may hide them.
 */
export function pointsOf(catalog: Catalog, machine: string): PointName[] {
  const { points } = catalog;
  const own = points.filter((point) => point.machine === machine);
  if (own.length > 0) return own;
  throwIfHidden(catalog, `machine ${machine}`);
  throw notFound(
    'machine',
    machine,
    points.map((point) => point.machine),
  );
}

function findPoint(catalog: Catalog, address: Address): PointName {
  const own = pointsOf(catalog, address.machine);
  const wanted = address.point ?? 'latest';
  const exact = own.filter((point) => isFully(point, wanted));
  // A hidden point may be newer than the newest known, or begin as another does.
  if (exact.length === 0) throwIfHidden(catalog, `restore point ${wanted}`);
  if (wanted === 'latest') return own.at(-1) as PointName;
  const matches = exact.length > 0 ? exact : own.filter((point) => matchesPrefix(point, wanted));
  const [match] = matches;
  if (match !== undefined && matches.length === 1) return match;
  if (match === undefined) {
    throw notFound('restore point', wanted, own.map((point) => point.takenAt).toReversed());
  }
  const listed = matches.map((point) => `${point.takenAt} (${point.id.slice(0, 8)})`);
  throw new RestoreError('INVALID', 'more than one restore point begins so', {
    where: { found: wanted, expected: `one of ${listed.slice(0, 8).join(', ')}` },
    hint: 'Give more of the time, or the id.',
  });
}

function matchesPrefix(point: PointName, wanted: string): boolean {
  if (point.takenAt.startsWith(wanted.toUpperCase())) return true;
  return /^[0-9a-f]{4,32}$/i.test(wanted) && point.id.startsWith(wanted.toLowerCase());
}

function isFully(point: PointName, wanted: string): boolean {
  return sameTime(point.takenAt, wanted) || point.id === wanted.toLowerCase();
}

/** Damage never reads as absence. */
function throwIfHidden({ damage }: Catalog, wanted: string): void {
  const [cause] = damage;
  if (cause === undefined) return;
  throw new RestoreError('CORRUPT', `the list of restore points is damaged: ${cause.message}`, {
    where: { ...cause.where, expected: wanted },
    hint: 'Points that `rehydrate ls` still lists open by their full time or id; `rehydrate verify` names the others.',
    cause,
  });
}

function sameTime(takenAt: string, wanted: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}T/i.test(wanted)) return false;
  return Date.parse(takenAt) === Date.parse(wanted);
}

function findDisk(point: PointRecord, { disk }: Address): DiskRecord | undefined {
  if (disk === undefined) return point.disks.length === 1 ? point.disks[0] : undefined;
  const found = point.disks.find(({ id }) => id === disk);
  if (found !== undefined) return found;
  throw notFound(
    'disk',
    disk,
    point.disks.map(({ id }) => id),
  );
}

function notFound(kind: string, wanted: string, names: readonly string[]): RestoreError {
  const near = nearest(wanted, names);
  const shown = near.length > 0 ? near : [...new Set(names)].slice(0, 3);
  const hint =
    shown.length === 0
      ? 'The repository holds no restore points yet; make one with `rehydrate capture`.'
      : `Did you mean ${shown.join(' or ')}? \`rehydrate ls\` lists what there is.`;
  return new RestoreError('NOT_FOUND', `no ${kind} named ${wanted}`, { hint });
}
