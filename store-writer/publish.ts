import { hash } from 'node:crypto';
import { RestoreError } from '../core/index.ts';
import {
  CHECKPOINT_INTERVAL,
  type CommitRecord,
  commitObject,
  encodeCommit,
  FORMAT_VERSION,
  type NativeRepository,
  type PointName,
  type PointRecord,
  pointObject,
  wrapObject,
} from '../store-reader/index.ts';

/** Losing the race for a commit number this often in a row means something else is wrong. */
const ATTEMPTS_MAX = 1000;

/**
 * Makes a restore point visible: the point object first, then a commit that names it. What it refers
 * to must be durable already. When another writer takes the commit number, the next one is tried.
 *
 * @returns the bytes written.
 * @throws RestoreError `EXISTS` when the machine has a point of this very time, `CORRUPT` when the
 *   chain of commits is damaged, `IO`, `NO_SPACE`.
 */
export async function publishPoint(
  repository: NativeRepository,
  point: PointRecord,
): Promise<number> {
  const { backend, keys } = repository;
  const object = pointObject(point.id);
  const stored = wrapObject(object, Buffer.from(JSON.stringify(point)), keys);
  const { id, machine, takenAt } = point;
  const name: PointName = { id, machine, takenAt, sha256: hash('sha256', stored) };
  await checkFree(repository, name);
  await backend.put(object, stored);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    await checkFree(repository, name);
    const record = nextCommit(repository, name);
    const bytes = encodeCommit(record, keys);
    if (await backend.putIfAbsent(commitObject(record.number), bytes)) {
      await repository.refresh();
      return stored.byteLength + bytes.byteLength;
    }
  }
  throw new RestoreError('BUSY', 'other writers keep publishing first', {
    hint: 'Try again; nothing has been published.',
  });
}

/** @throws RestoreError unless a point of this name could be published now. */
export async function checkFree(
  repository: NativeRepository,
  name: Pick<PointName, 'machine' | 'takenAt'>,
): Promise<void> {
  const { points, damage } = await repository.refresh();
  const [broken] = damage;
  if (broken !== undefined) {
    throw new RestoreError('CORRUPT', `the chain of commits is damaged: ${broken.message}`, {
      where: broken.where,
      hint: 'Old points can be read; put the commit back from a copy before capturing again.',
      cause: broken,
    });
  }
  const twin = points.find((p) => p.machine === name.machine && p.takenAt === name.takenAt);
  if (twin === undefined) return;
  throw new RestoreError('EXISTS', 'this machine has a restore point of that time already', {
    where: { object: `${name.machine}@${name.takenAt}` },
    hint: 'Give another --at.',
  });
}

function nextCommit({ catalog }: NativeRepository, name: PointName): CommitRecord {
  const number = catalog.lastNumber + 1;
  const isCheckpoint = number % CHECKPOINT_INTERVAL === 0;
  return {
    format: FORMAT_VERSION,
    number,
    at: new Date().toISOString(),
    ...(catalog.lastSha256 === undefined ? {} : { previous: catalog.lastSha256 }),
    add: [name],
    drop: [],
    ...(isCheckpoint ? { checkpoint: [...catalog.points, name] } : {}),
  };
}
