import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, isRestoreError } from '../../core/index.ts';
import { NativeRepository, resolveDisk } from '../../store-reader/index.ts';
import { randomBytes } from '../../test/fixtures/random.ts';
import { Scratch, TestRepository } from '../../test/fixtures/repository.ts';
import { verifyRepository } from '../index.ts';
import { commitOverlay } from './commit.ts';
import type { Overlay } from './overlay.ts';
import { createOverlay } from './overlays.ts';

const BLOCK = 65_536;
const DISK_BYTES = 600 * BLOCK;

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

async function overlayOn(
  repository: NativeRepository,
  address: string,
  folder: string,
): Promise<Overlay> {
  const { point, disk } = await resolveDisk(repository, address);
  return await createOverlay({
    folder,
    base: repository.openDisk(point, disk),
    meta: {
      repositoryId: repository.record.id,
      machine: point.machine,
      pointId: point.id,
      diskId: disk.id,
    },
    sizeLimitBytes: DISK_BYTES,
    freeSpaceFloorBytes: 0,
  });
}

async function readDisk(location: string, address: string): Promise<Buffer> {
  const repository = await NativeRepository.open(location);
  const { point, disk } = await resolveDisk(repository, address);
  const content = Buffer.alloc(disk.sizeBytes);
  await repository.openDisk(point, disk).readInto(content, 0);
  await repository.close();
  return content;
}

describe('committing an overlay', () => {
  it('makes a point of an older point, reading the written blocks alone', async () => {
    const stored = await TestRepository.create(scratch);
    const old = randomBytes(DISK_BYTES, 1);
    const second = randomBytes(10 * BLOCK, 2);
    const older = await stored.capture('db', [new BytesSource(old), new BytesSource(second)]);
    const newer = old.slice();
    newer.set(randomBytes(50 * BLOCK, 3), 100 * BLOCK);
    const newest = await stored.capture('db', [new BytesSource(newer), new BytesSource(second)]);
    const repository = await NativeRepository.open(stored.location);
    const overlay = await overlayOn(repository, `db@${older.point.id}/disk0`, scratch.file('o'));
    const expected = Buffer.from(old);
    const written = randomBytes(4096, 4);
    await overlay.writeFrom(written, 17 * BLOCK + 8192);
    expected.set(written, 17 * BLOCK + 8192);
    await overlay.discard(300 * BLOCK, 2 * BLOCK);
    expected.fill(0, 300 * BLOCK, 302 * BLOCK);

    const { point, statistics } = await commitOverlay(stored.location, overlay, {
      cacheFolder: stored.cache,
      takenAt: new Date('2026-06-01T00:00:00Z'),
      tags: { why: 'repair' },
    });
    await overlay.close();
    await repository.close();
    expect(statistics.newBytes).toBe(BLOCK);
    // Discarded blocks are known to be zeros, and not read.
    expect(statistics.readBytes).toBe(BLOCK);
    expect(point.tags).toEqual({
      why: 'repair',
      'rehydrate.from-point': older.point.id,
      'rehydrate.overlay': overlay.record.id,
    });
    expect((await readDisk(stored.location, 'db@latest/disk0')).equals(expected)).toBe(true);
    expect((await readDisk(stored.location, 'db@latest/disk1')).equals(second)).toBe(true);
    const before = await readDisk(stored.location, `db@${older.point.id}/disk0`);
    expect(before.equals(old)).toBe(true);
    const between = await readDisk(stored.location, `db@${newest.point.id}/disk0`);
    expect(between.equals(newer)).toBe(true);
    const checked = await NativeRepository.open(stored.location, { checkIds: true });
    expect(await verifyRepository(checked, { scope: 'all' })).toMatchObject({ clean: true });
    await checked.close();
  });

  it('does not become what later lists of changes are taken against', async () => {
    const stored = await TestRepository.create(scratch);
    const content = randomBytes(DISK_BYTES, 1);
    await stored.capture('db', [new BytesSource(content)]);
    const repository = await NativeRepository.open(stored.location);
    const overlay = await overlayOn(repository, 'db@latest/disk0', scratch.file('o'));
    await overlay.writeFrom(randomBytes(BLOCK, 2), 40 * BLOCK);
    await commitOverlay(stored.location, overlay, { cacheFolder: stored.cache });
    await overlay.close();
    await repository.close();
    // The machine itself went on, and its tracking knows nothing of the overlay.
    content.set(randomBytes(BLOCK, 3), 7 * BLOCK);
    const changed = [{ offset: 7 * BLOCK, length: BLOCK }];
    const takenAt = new Date('2036-01-01T00:00:00Z');
    await stored.capture('db', [new BytesSource(content)], { changed, takenAt });
    expect((await readDisk(stored.location, 'db@latest/disk0')).equals(content)).toBe(true);
  });

  it('refuses another repository, and two overlays of one disk', async () => {
    const stored = await TestRepository.create(scratch);
    await stored.capture('db', [new BytesSource(randomBytes(BLOCK, 1))]);
    const elsewhere = new Scratch();
    const other = await TestRepository.create(elsewhere);
    await other.capture('db', [new BytesSource(randomBytes(BLOCK, 1))]);
    const repository = await NativeRepository.open(stored.location);
    const one = await overlayOn(repository, 'db@latest/disk0', scratch.file('one'));
    const two = await overlayOn(repository, 'db@latest/disk0', scratch.file('two'));
    const options = { cacheFolder: stored.cache };
    for (const attempt of [
      () => commitOverlay(other.location, one, options),
      () => commitOverlay(stored.location, [one, two], options),
      () => commitOverlay(stored.location, [], options),
    ]) {
      await expect(attempt()).rejects.toSatisfy((e) => isRestoreError(e, 'INVALID'));
    }
    await one.close();
    await two.close();
    await repository.close();
    elsewhere[Symbol.dispose]();
  });
});
