import {
  type BlockSource,
  BytesSource,
  RestoreError,
  type SparseSource,
} from '../../../core/index.ts';
import { type ContentRun, contentOf, type MissingRun } from '../content.ts';
import type { Attribute } from './attribute.ts';
import type { Geometry } from './boot-sector.ts';
import { CompressedContent } from './compressed-content.ts';
import { corrupt } from './damage.ts';
import { HOLE, type Run } from './run-list.ts';

/** 16 clusters of 4 KiB; with larger clusters NTFS does not compress. */
const UNIT_BYTES_MAX = 64 * 1024;

/** A part of an attribute that lies in a record which cannot be read. */
export interface LostPart {
  readonly lowestCluster: number;
  readonly error: RestoreError;
}

/** All records of one attribute, in the order of its clusters. */
export interface Stream {
  readonly parts: readonly Attribute[];
  readonly lost: readonly LostPart[];
}

/** Clusters that are known to exist, but not where. */
interface LostRun {
  readonly first: number;
  readonly count: number;
  readonly error: RestoreError;
}

/** The stream's first record, which alone tells sizes and flags. */
export function headOf({ parts, lost }: Stream): Attribute {
  const [head] = parts;
  if (head !== undefined && head.lowestCluster === 0) return head;
  throw (
    lost[0]?.error ??
    corrupt('the beginning of a stream is missing', {
      structure: 'attribute',
      expected: 'cluster 0',
      found: head?.lowestCluster ?? 'nothing',
    })
  );
}

/**
 * The content of a stream.
 *
 * @param source where its clusters are read from.
 * @throws RestoreError `CORRUPT`; `UNSUPPORTED` when it is encrypted.
 */
export function openStream(source: BlockSource, geometry: Geometry, stream: Stream): SparseSource {
  const head = headOf(stream);
  if (head.isEncrypted) {
    throw new RestoreError('UNSUPPORTED', 'the stream is encrypted (EFS)', {
      hint: "Export the disk and read it on Windows with the owner's certificate.",
    });
  }
  if (head.isResident) {
    const value = head.value().slice();
    const whole = { offset: 0, length: value.byteLength, at: 0 };
    return contentOf(new BytesSource(value, source.sectorSize), value.byteLength, [whole]);
  }
  const runs = gatherRuns(geometry, stream);
  const { size } = head;
  const initialized = Math.min(head.initialized, size);
  if (head.isCompressed) {
    const { clusterBytes } = geometry;
    const { unitClusters } = head;
    if (unitClusters * clusterBytes > UNIT_BYTES_MAX) {
      throw head.damaged(`compression units of up to ${UNIT_BYTES_MAX} bytes`, unitClusters);
    }
    const clusters = expectWhole(runs);
    return new CompressedContent(source, clusters, {
      size,
      initialized,
      clusterBytes,
      unitClusters,
    });
  }
  return contentOf(source, size, plainRuns(source, runs, geometry.clusterBytes, initialized));
}

function plainRuns(
  source: BlockSource,
  runs: readonly (Run | LostRun)[],
  clusterBytes: number,
  initialized: number,
): (ContentRun | MissingRun)[] {
  const pieces: (ContentRun | MissingRun)[] = [];
  for (const run of runs) {
    const offset = run.first * clusterBytes;
    const length = Math.min(run.count * clusterBytes, initialized - offset);
    if (length <= 0) break;
    if ('error' in run) pieces.push({ offset, length, missing: run.error });
    else if (run.at !== HOLE)
      pieces.push(...insideOf(source, offset, length, run.at * clusterBytes));
  }
  return pieces;
}

/** A volume may be cut short, as copies of failing disks are: the rest of it stays readable. */
function insideOf(
  source: BlockSource,
  offset: number,
  length: number,
  at: number,
): (ContentRun | MissingRun)[] {
  const present = Math.max(0, Math.min(length, source.size - at));
  if (present === length) return [{ offset, length, at }];
  const missing = corrupt('the volume ends before a part of a file', {
    structure: 'mapping pairs',
    offset: at + present,
    expected: `${length - present} bytes more`,
    found: `a volume of ${source.size} bytes`,
  });
  const lost = { offset: offset + present, length: length - present, missing };
  return present === 0 ? [lost] : [{ offset, length: present, at }, lost];
}

/**
 * The runs of all parts, gaps between them as lost runs.
 *
 * @throws RestoreError `CORRUPT` when parts overlap, or something lacks without a reason.
 */
function gatherRuns(geometry: Geometry, stream: Stream): (Run | LostRun)[] {
  const { clusterCount, clusterBytes } = geometry;
  const head = headOf(stream);
  const runs: (Run | LostRun)[] = [];
  let next = 0;
  const fill = (first: number): void => {
    if (first === next) return;
    const reason = stream.lost.find(({ lowestCluster }) => lowestCluster === next);
    if (first < next || reason === undefined) {
      throw corrupt('the parts of a stream do not fit together', {
        structure: 'mapping pairs',
        expected: `cluster ${next}`,
        found: first,
      });
    }
    runs.push({ first: next, count: first - next, error: reason.error });
    next = first;
  };
  for (const part of stream.parts) {
    fill(part.lowestCluster);
    for (const run of part.runs(clusterCount)) {
      runs.push(run);
      next = run.first + run.count;
    }
  }
  const needed = Math.ceil(Math.min(head.size, head.initialized) / clusterBytes);
  if (needed > next) fill(needed);
  return runs;
}

/** Compressed content is not read in parts. */
function expectWhole(runs: readonly (Run | LostRun)[]): readonly Run[] {
  return runs.map((run) => {
    if ('error' in run) throw run.error;
    return run;
  });
}
