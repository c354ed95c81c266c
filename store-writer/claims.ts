/**
 * A capture announces itself with a claim before it stores anything, and takes the claim back when
 * it has published. What a dead capture left behind can so be told from what a living one has not
 * published yet.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';
import { isRestoreError, RestoreError } from '../core/index.ts';
import {
  type Backend,
  CLAIMS_PREFIX,
  type NativeRepository,
  PACKS_PREFIX,
  POINTS_PREFIX,
  packObject,
  pointObject,
  readPackSet,
} from '../store-reader/index.ts';

const ClaimSchema = z.object({
  pointId: z.string().regex(/^[0-9a-f]{32}$/),
  captureTag: z.string().regex(/^[0-9a-f]{8}$/),
  host: z.string(),
  /** `/etc/machine-id`: hosts may share a name. */
  installation: z.string(),
  /** Process ids mean something within this boot and namespace alone. */
  boot: z.string(),
  namespace: z.string(),
  processId: z.int(),
  /** Clock ticks after boot at which the process started: tells it from a later one of its number. */
  startedAt: z.string(),
});
export type Claim = z.infer<typeof ClaimSchema>;

export async function putClaim(
  backend: Backend,
  pointId: string,
  captureTag: string,
): Promise<string> {
  const claim: Claim = { pointId, captureTag, ...self() };
  const name = `${CLAIMS_PREFIX}/${pointId}`;
  await backend.put(name, Buffer.from(JSON.stringify(claim)));
  return name;
}

/**
 * Restore points that are stored, named by no commit, and of no capture under way or killed: their
 * commits have been damaged or lost.
 */
export async function listLostPoints(repository: NativeRepository): Promise<string[]> {
  const { backend } = repository;
  const stored = new Set<string>();
  for await (const name of backend.list(POINTS_PREFIX)) {
    stored.add(name.slice(name.lastIndexOf('/') + 1));
  }
  // In this order: a capture takes its claim back only after its commit is there to be read.
  for await (const name of backend.list(CLAIMS_PREFIX)) {
    stored.delete(name.slice(name.lastIndexOf('/') + 1));
  }
  const { points } = await repository.refresh();
  for (const { id } of points) stored.delete(id);
  return [...stored].sort();
}

/** Packs in the repository right now, by id. */
export async function listPacks(backend: Backend): Promise<Set<string>> {
  const packs = new Set<string>();
  for await (const name of backend.list(PACKS_PREFIX)) {
    packs.add(name.slice(name.lastIndexOf('/') + 1));
  }
  return packs;
}

/** Deletes the packs of one capture that has not published, and must not have. */
export async function deletePacksOf(backend: Backend, captureTag: string): Promise<number> {
  let deleted = 0;
  for (const pack of await listPacks(backend)) {
    if (tagOf(pack) !== captureTag) continue;
    await backend.delete(packObject(pack));
    deleted += 1;
  }
  return deleted;
}

/**
 * @throws RestoreError `BUSY` when packs of a capture that is about to publish are gone: some other
 *   machine, taken for this one, held the capture for dead.
 */
export async function checkPacksOf(
  backend: Backend,
  captureTag: string,
  needed: Iterable<string>,
): Promise<void> {
  const present = await listPacks(backend);
  for (const pack of needed) {
    if (tagOf(pack) !== captureTag || present.has(pack)) continue;
    throw new RestoreError('BUSY', 'another machine removed packs of this capture', {
      where: { object: packObject(pack) },
      hint: 'Give machines that share a repository different host names; then capture again.',
    });
  }
}

/**
 * Removes what captures left that died on this machine: their packs, unless any restore point needs
 * one. Where that cannot be told for certain, everything stays.
 *
 * @returns the number of packs removed.
 */
export async function cleanUpAfterTheDead(repository: NativeRepository): Promise<number> {
  const { backend } = repository;
  await backend.tidy();
  let deleted = 0;
  for await (const name of backend.list(CLAIMS_PREFIX)) {
    const claim = await readClaim(backend, name);
    if (claim === undefined || !isDead(claim)) continue;
    // It may have published in its last moment: only commits read after its death count.
    const catalog = await repository.refresh();
    const published = catalog.points.some(({ id }) => id === claim.pointId);
    if (!published) {
      if (catalog.damage.length > 0 || !(await isUnneeded(repository, claim))) continue;
      deleted += await deletePacksOf(backend, claim.captureTag);
      await backend.delete(pointObject(claim.pointId));
    }
    await backend.delete(name);
  }
  return deleted;
}

async function isUnneeded(repository: NativeRepository, claim: Claim): Promise<boolean> {
  try {
    for (const name of repository.catalog.points) {
      const packs = await readPackSet(repository.blocks, await repository.point(name));
      for (const pack of packs) if (tagOf(pack) === claim.captureTag) return false;
    }
    return true;
  } catch (error) {
    if (isRestoreError(error)) return false;
    throw error;
  }
}

async function readClaim(backend: Backend, name: string): Promise<Claim | undefined> {
  try {
    const text = Buffer.from(await backend.get(name)).toString();
    return ClaimSchema.safeParse(JSON.parse(text)).data;
  } catch {
    // Gone meanwhile, or unreadable: either way not ours to act on.
    return undefined;
  }
}

/** Whose pack it is: the tag of the capture that made it. */
function tagOf(pack: string): string {
  return pack.slice(12, 20);
}

function self(): Omit<Claim, 'pointId' | 'captureTag'> {
  return {
    host: hostname(),
    installation: readOr('/etc/machine-id', ''),
    boot: readOr('/proc/sys/kernel/random/boot_id', ''),
    namespace: namespaceOf(),
    processId: process.pid,
    startedAt: startOf(process.pid),
  };
}

function isDead(claim: Claim): boolean {
  const here = self();
  if (claim.host !== here.host || claim.installation !== here.installation) return false;
  if (here.boot === '') return false;
  if (claim.boot !== here.boot) return true;
  if (claim.namespace !== here.namespace) return false;
  return startOf(claim.processId) !== claim.startedAt;
}

/** Field 22 of `/proc/PID/stat` (proc(5)); empty when there is no such process. */
function startOf(processId: number): string {
  const stat = readOr(`/proc/${processId}/stat`, '');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function namespaceOf(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

function readOr(file: string, fallback: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return fallback;
  }
}
