import { type Extent, isRestoreError, type Ranges } from '../../../../core/index.ts';
import type { Attribute } from '../attribute.ts';
import type { Geometry } from '../boot-sector.ts';
import type { FileRecord } from '../file-record.ts';
import { HOLE } from '../run-list.ts';

/**
 * All that attributes occupy outside their records: content, indexes, lists.
 *
 * @throws RestoreError `CORRUPT` when a map is damaged.
 */
export function clustersOf(
  attributes: readonly Attribute[],
  { clusterBytes, clusterCount }: Geometry,
): Extent[] {
  return attributes
    .filter(({ isResident }) => !isResident)
    .flatMap((attribute) => attribute.runs(clusterCount))
    .filter(({ at }) => at !== HOLE)
    .map(({ at, count }) => ({ offset: at * clusterBytes, length: count * clusterBytes }));
}

/** Whether something of the record lies in `ranges`. Of a damaged one, nothing does. */
export function isTouchedBy(record: FileRecord, geometry: Geometry, ranges: Ranges): boolean {
  try {
    return clustersOf(record.attributes(), geometry).some(({ offset, length }) =>
      ranges.touches(offset, length),
    );
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    return false;
  }
}
