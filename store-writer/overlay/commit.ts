import { type BlockSource, RestoreError } from '../../core/index.ts';
import {
  type Credential,
  type DiskRecord,
  NativeRepository,
  type PointRecord,
} from '../../store-reader/index.ts';
import { type CaptureOptions, type CaptureResult, capture } from '../capture.ts';
import { startInlineEncoder } from '../encode-worker.ts';
import { PROVENANCE_TAGS } from '../provenance.ts';
import type { Overlay } from './overlay.ts';

export interface CommitOptions
  extends Pick<CaptureOptions, 'cacheFolder' | 'onStart' | 'onWarning' | 'signal'> {
  readonly credential?: Credential;
  /** Time of the new point; now by default. */
  readonly takenAt?: Date;
  /** The machine that the new point is of; that of the overlay's point by default. */
  readonly machine?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly archived?: boolean;
}

/**
 * Makes a new restore point of a point and overlays over its disks. Only the blocks that were written
 * are read and stored; disks without an overlay are as they were. The overlays stay as they are, and
 * must not be written to meanwhile.
 *
 * @param overlays one, or several over different disks of the same point.
 * @throws RestoreError `INVALID` when they are not of one point of this repository, `NOT_FOUND` when
 *   the point is gone, and what `capture` throws.
 */
export async function commitOverlay(
  location: string,
  overlays: Overlay | readonly Overlay[],
  options: CommitOptions,
): Promise<CaptureResult> {
  const all = Array.isArray(overlays) ? (overlays as readonly Overlay[]) : [overlays as Overlay];
  const { credential } = options;
  const repository = await NativeRepository.open(
    location,
    credential === undefined ? {} : { credential },
  );
  try {
    const point = await pointOf(repository, all);
    for (const overlay of all) await overlay.flush();
    const disks = point.disks.map((disk) => diskOf(repository, point, disk, all));
    return await capture(location, planOf(point, all, disks, options), {
      ...(credential === undefined ? {} : { credential }),
      ...pick(options),
      cacheFolder: options.cacheFolder,
      threads: 1,
      // The overlay is open in this process alone, so the bytes are read here.
      startEncoder: (data) => startInlineEncoder(data, async (number) => shared(disks[number])),
    });
  } finally {
    await repository.close();
  }
}

interface CommittedDisk {
  readonly name: string;
  readonly format: string;
  readonly source: BlockSource;
  readonly changed: { readonly offset: number; readonly length: number }[];
}

async function pointOf(
  repository: NativeRepository,
  overlays: readonly Overlay[],
): Promise<PointRecord> {
  const [first] = overlays;
  if (first === undefined) throw new RestoreError('INVALID', 'there is no overlay to commit');
  const { pointId, repositoryId } = first.record;
  const disks = new Set(overlays.map(({ record }) => record.diskId));
  const together =
    disks.size === overlays.length && overlays.every(({ record }) => record.pointId === pointId);
  if (!together) throw mixed('one overlay for each disk of one restore point', pointId);
  if (overlays.some(({ record }) => record.repositoryId !== repository.record.id)) {
    throw mixed(`overlays of repository ${repository.record.id}`, repositoryId);
  }
  const name = repository.catalog.points.find(({ id }) => id === pointId);
  if (name !== undefined) return await repository.point(name);
  throw new RestoreError('NOT_FOUND', 'the restore point of the overlay is not there any more', {
    where: { object: repository.backend.location, expected: pointId },
    hint: 'Export the overlay to a file, if its disk can still be read.',
  });
}

function diskOf(
  repository: NativeRepository,
  point: PointRecord,
  disk: DiskRecord,
  overlays: readonly Overlay[],
): CommittedDisk {
  const { id, name, sourceFormat: format } = disk;
  const overlay = overlays.find(({ record }) => record.diskId === id);
  if (overlay === undefined) {
    return { name, format, source: repository.openDisk(point, disk), changed: [] };
  }
  return { name, format, source: overlay, changed: overlay.changedRanges() };
}

function planOf(
  point: PointRecord,
  overlays: readonly Overlay[],
  disks: readonly CommittedDisk[],
  { takenAt, machine, tags, archived }: CommitOptions,
): Parameters<typeof capture>[1] {
  return {
    machine: machine ?? point.machine,
    takenAt: takenAt ?? new Date(),
    // A guest wrote to it and was not asked to stop: no better than pulling its plug.
    consistency: 'crash',
    archived: archived ?? false,
    tags: {
      ...tags,
      [PROVENANCE_TAGS.point]: point.id,
      [PROVENANCE_TAGS.overlay]: overlays.map(({ record }) => record.id).join(' '),
    },
    ...(point.configuration === undefined ? {} : { configuration: point.configuration }),
    disks,
    basePointId: point.id,
  };
}

/** A source that its user may close without closing the overlay. */
function shared(disk: CommittedDisk | undefined): BlockSource {
  const { source } = disk as CommittedDisk;
  return {
    size: source.size,
    sectorSize: source.sectorSize,
    readInto: (target, offset, signal) => source.readInto(target, offset, signal),
    peek: (offset, length) => source.peek(offset, length),
    close: async () => undefined,
  };
}

function pick({ onStart, onWarning, signal }: CommitOptions): Partial<CaptureOptions> {
  return {
    ...(onStart === undefined ? {} : { onStart }),
    ...(onWarning === undefined ? {} : { onWarning }),
    ...(signal === undefined ? {} : { signal }),
  };
}

function mixed(expected: string, found: string): RestoreError {
  return new RestoreError('INVALID', 'these overlays do not make one restore point', {
    where: { expected, found },
  });
}
