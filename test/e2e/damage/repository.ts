/** A small repository with known content, and a way to read all of it block by block. */
import { cpSync } from 'node:fs';
import {
  BytesSource,
  type Extent,
  isRestoreError,
  type RestoreError,
} from '../../../core/index.ts';
import { type Credential, NativeRepository, type PointName } from '../../../store-reader/index.ts';
import type { InitOptions } from '../../../store-writer/index.ts';
import { randomBytes } from '../../fixtures/random.ts';
import { type Scratch, TestRepository } from '../../fixtures/repository.ts';

export const BLOCK_BYTES: number = 16 * 1024;
/** Three leaf pages of 256 blocks, the last of them short, and an odd tail. */
const WEB_BYTES = 560 * BLOCK_BYTES + 1536;
const DATABASE_BYTES = 90 * BLOCK_BYTES;

/** A repository of two machines, four points and six disk states. */
export interface KnownRepository {
  readonly location: string;
  readonly credential: Credential | undefined;
  /** Content by `pointId/disk`. */
  readonly content: ReadonlyMap<string, Uint8Array>;
  /** Oldest first. */
  readonly points: readonly PointName[];
}

export async function makeKnownRepository(
  scratch: Scratch,
  options: InitOptions,
): Promise<KnownRepository> {
  const repository = await TestRepository.create(scratch, { ...options, blockSize: BLOCK_BYTES });
  const content = new Map<string, Uint8Array>();
  const capture = async (machine: string, disks: readonly Uint8Array[]): Promise<void> => {
    const sources = disks.map((data) => new BytesSource(data));
    const { point } = await repository.capture(machine, sources);
    disks.forEach((data, number) => {
      content.set(`${point.id}/disk${number}`, data);
    });
  };
  const first = mixedDisk(WEB_BYTES, 1);
  const second = changed(first, 2);
  // The database machine shares a stretch of blocks with the web server.
  const shared = mixedDisk(DATABASE_BYTES, 3);
  shared.set(first.subarray(0, 30 * BLOCK_BYTES), 10 * BLOCK_BYTES);
  await capture('web01', [first]);
  await capture('web01', [second]);
  await capture('db01', [shared, mixedDisk(DATABASE_BYTES, 4)]);
  await capture('web01', [changed(second, 5)]);
  const { location, credential } = repository;
  const open = await openKnown(location, credential);
  const { points } = open.catalog;
  await open.close();
  return { location, credential, content, points };
}

export function copyRepository(known: KnownRepository, to: string): string {
  cpSync(known.location, to, { recursive: true });
  return to;
}

export async function openKnown(
  location: string,
  credential: Credential | undefined,
): Promise<NativeRepository> {
  // As a door opens it: ids are not proved on every read, and nothing is cached from before.
  return await NativeRepository.open(location, {
    ...(credential === undefined ? {} : { credential }),
    cacheBytes: 1,
  });
}

/** What reading shows of one disk, or of a point that cannot be read at all (`disk` undefined). */
export interface Unreadable {
  readonly pointId: string;
  readonly disk: string | undefined;
  readonly ranges: readonly Extent[];
}

/**
 * Reads every block of every disk of every point that can be found, one by one.
 *
 * @returns what could not be read.
 * @throws Error at the first wrong byte, and when anything but damage is reported.
 */
export async function readEverything(
  location: string,
  known: KnownRepository,
): Promise<Unreadable[]> {
  const repository = await openKnown(location, known.credential);
  try {
    const unreadable: Unreadable[] = [];
    for (const name of repository.catalog.points) {
      unreadable.push(...(await readPoint(repository, name, known)));
    }
    return unreadable;
  } finally {
    await repository.close();
  }
}

async function readPoint(
  repository: NativeRepository,
  name: PointName,
  known: KnownRepository,
): Promise<Unreadable[]> {
  const point = await repository.point(name).catch((error: unknown) => damageIn(error));
  if (!('disks' in point)) return [{ pointId: name.id, disk: undefined, ranges: [] }];
  const unreadable: Unreadable[] = [];
  for (const disk of point.disks) {
    const expected = known.content.get(`${name.id}/${disk.id}`);
    if (expected?.byteLength !== disk.sizeBytes) throw new Error(`${disk.id} has another size`);
    const source = repository.openDisk(point, disk);
    const ranges: { offset: number; length: number }[] = [];
    for (let offset = 0; offset < source.size; offset += BLOCK_BYTES) {
      const data = Buffer.alloc(Math.min(BLOCK_BYTES, source.size - offset), 0xee);
      try {
        await source.readInto(data, offset);
      } catch (error) {
        damageIn(error);
        addRange(ranges, offset, data.length);
        continue;
      }
      if (data.equals(expected.subarray(offset, offset + data.length))) continue;
      throw new Error(`WRONG BYTES at ${offset} of ${disk.id} of point ${name.id}`);
    }
    if (ranges.length > 0) unreadable.push({ pointId: name.id, disk: disk.id, ranges });
  }
  return unreadable;
}

function damageIn(error: unknown): RestoreError {
  if (isRestoreError(error, 'CORRUPT')) return error;
  throw new Error('damage is not reported as damage', { cause: error });
}

function addRange(
  ranges: { offset: number; length: number }[],
  offset: number,
  length: number,
): void {
  const last = ranges.at(-1);
  if (last !== undefined && last.offset + last.length === offset) last.length += length;
  else ranges.push({ offset, length });
}

/** Noise, text and zeros in turns; noise and text each with some twins. */
function mixedDisk(sizeBytes: number, seed: number): Uint8Array {
  const noise = randomBytes(sizeBytes, seed);
  const content = new Uint8Array(sizeBytes);
  for (let at = 0; at < sizeBytes; at += BLOCK_BYTES) {
    const turn = (at / BLOCK_BYTES) % 5;
    const part = noise.subarray(at, Math.min(sizeBytes, at + BLOCK_BYTES));
    if (turn === 4) continue;
    if (turn === 3) content.set(Buffer.alloc(part.length, `line ${seed} of the log\n`), at);
    else if (turn === 2) content.set(Buffer.alloc(part.length, `row ${at} of ${seed}\n`), at);
    else content.set(part, at);
  }
  return content;
}

function changed(content: Uint8Array, seed: number): Uint8Array {
  const next = content.slice();
  for (let part = 0; part < 6; part += 1) {
    const at = (part * 97 + seed * 13) * BLOCK_BYTES;
    if (at + 3 * BLOCK_BYTES > next.length) continue;
    next.set(randomBytes(2 * BLOCK_BYTES, seed * 100 + part), at);
    next.fill(0, at + 2 * BLOCK_BYTES, at + 3 * BLOCK_BYTES);
  }
  return next;
}
