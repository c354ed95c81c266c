import { Ranges } from '../../core/index.ts';
import {
  changedExtents,
  type NativeDisk,
  type NativeRepository,
  type PointRecord,
} from '../../store-reader/index.ts';

/** A disk of a point, to be read. */
interface PointDisk {
  readonly id: string;
  readonly source: NativeDisk;
}

export function disksOf(repository: NativeRepository, point: PointRecord): PointDisk[] {
  return point.disks.map((disk) => ({ id: disk.id, source: repository.openDisk(point, disk) }));
}

/** By what their records say: a disk's root names all of its content. */
export function haveSameDisks(one: PointRecord, other: PointRecord): boolean {
  const roots = ({ disks }: PointRecord): string =>
    JSON.stringify(
      disks.map(({ id, sizeBytes, sectorSize, root }) => [id, sizeBytes, sectorSize, root?.id]),
    );
  return roots(one) === roots(other);
}

/**
 * Where each disk of `after` may differ from that of `before`, by block maps alone. One that was not
 * there differs everywhere.
 *
 * @throws RestoreError `CORRUPT`, `IO`.
 */
export async function changedDisks(
  repository: NativeRepository,
  before: PointRecord,
  after: PointRecord,
): Promise<Map<string, Ranges>> {
  const former = new Map(disksOf(repository, before).map(({ id, source }) => [id, source]));
  const changed = new Map<string, Ranges>();
  for (const { id, source } of disksOf(repository, after)) {
    const other = former.get(id);
    const extents = [];
    if (other === undefined) extents.push({ offset: 0, length: source.size });
    else for await (const extent of changedExtents(other, source)) extents.push(extent);
    changed.set(id, Ranges.of(extents));
  }
  return changed;
}
