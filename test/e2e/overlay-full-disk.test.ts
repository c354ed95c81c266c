/** An overlay on a file system that fills up: writes fail and show nothing, all else goes on. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, isRestoreError } from '../../core/index.ts';
import { createOverlay, openOverlay } from '../../store-writer/index.ts';
import { randomBytes, seededRandom } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool } from '../fixtures/tools/index.ts';
import { chooseSeed } from './command/harness.ts';

const SEED = chooseSeed();
const MIB = 1024 * 1024;
const PAGE = 4096;
const DISK_BYTES = 32 * MIB;
const META = {
  repositoryId: 'aa'.repeat(16),
  machine: 'm',
  pointId: 'bb'.repeat(16),
  diskId: 'disk0',
};

/** Small file systems of 12 MiB: one in memory, and ext4, which counts what it has not allocated yet. */
const KINDS = {
  tmpfs: (folder: string): boolean => mount(['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', folder]),
  ext4: (folder: string): boolean => {
    const image = `${folder}.img`;
    writeFileSync(image, '');
    truncateSync(image, 12 * MIB);
    const made = spawnSync(findTool('mkfs.ext4') ?? '', ['-q', '-F', '-m', '0', image]);
    return made.status === 0 && mount(['-o', 'loop', image, folder]);
  },
} as const;

function mount(args: readonly string[]): boolean {
  return spawnSync('mount', args).status === 0;
}

/** Takes all space that is left, and a little more. */
function fillUp(folder: string, filler: string): void {
  const { bavail, bsize } = statfsSync(folder);
  const count = Math.ceil((bavail * bsize) / PAGE) + 9;
  spawnSync('dd', ['if=/dev/zero', `of=${filler}`, `bs=${PAGE}`, `count=${count}`]);
}

describe.each(Object.entries(KINDS))(`an overlay on a full %s, seed ${SEED}`, (kind, make) => {
  let scratch: Scratch;
  let folder: string;
  let isMounted = false;
  beforeEach((context) => {
    scratch = new Scratch();
    folder = scratch.file(kind);
    mkdirSync(folder);
    isMounted = make(folder);
    context.skip(!isMounted, `mounting ${kind} is not allowed here`);
  });
  afterEach(() => {
    if (isMounted) spawnSync('umount', ['--lazy', folder]);
    scratch[Symbol.dispose]();
  });

  it('shows nothing of writes that failed, and loses nothing of the others', async () => {
    const place = path.join(folder, 'overlay');
    const model = randomBytes(DISK_BYTES, SEED);
    const original = model.slice();
    let overlay = await createOverlay({
      folder: place,
      base: new BytesSource(original),
      meta: META,
      sizeLimitBytes: DISK_BYTES,
      freeSpaceFloorBytes: 0,
    });
    const random = seededRandom(SEED);
    // Somebody else takes all there is, in between two looks at the free space: now the file system
    // itself refuses, in the middle of writes over pages old and new.
    const filler = path.join(folder, 'filler');
    for (let page = 0; page < 64; page += 3) {
      const data = randomBytes(PAGE, page);
      await overlay.writeFrom(data, page * PAGE);
      model.set(data, page * PAGE);
    }
    fillUp(folder, filler);
    let refusedByTheSystem = 0;
    for (let page = 0; page < 60; page += 2) {
      const data = randomBytes(5 * PAGE, 1_000 + page);
      try {
        await overlay.writeFrom(data, page * PAGE + 512);
        model.set(data, page * PAGE + 512);
      } catch (error) {
        expect(error).toSatisfy((e) => isRestoreError(e, 'NO_SPACE'));
        if (/ENOSPC/.test(String(error))) refusedByTheSystem += 1;
      }
    }
    expect(refusedByTheSystem).toBeGreaterThan(0);
    rmSync(filler, { force: true });
    const tally = { written: 0, refused: 0 };
    for (let round = 0; round < 1_500; round += 1) {
      const count = random() < 0.7 ? 1 : 1 + Math.floor(random() * 40);
      const page = Math.floor(random() * (DISK_BYTES / PAGE - count));
      const offset = page * PAGE + (random() < 0.3 ? 512 : 0);
      const data = randomBytes(count * PAGE, round);
      try {
        await overlay.writeFrom(data, offset);
        model.set(data, offset);
        tally.written += 1;
      } catch (error) {
        expect(error).toSatisfy((e) => isRestoreError(e, 'NO_SPACE'));
        tally.refused += 1;
      }
      if (random() < 0.05) await overlay.flush();
    }
    // Another writer takes the last of it: discards and flushes must still do.
    fillUp(folder, filler);
    for (let round = 0; round < 200; round += 1) {
      const offset = Math.floor((random() * DISK_BYTES) / PAGE) * PAGE;
      await overlay.discard(offset, PAGE);
      model.fill(0, offset, offset + PAGE);
      await overlay.flush();
    }
    rmSync(filler, { force: true });
    expect(tally.refused).toBeGreaterThan(50);
    expect(tally.written).toBeGreaterThan(50);
    for (let turn = 0; turn < 2; turn += 1) {
      const found = new Uint8Array(DISK_BYTES);
      await overlay.readInto(found, 0);
      expect(Buffer.compare(found, model)).toBe(0);
      await overlay.close();
      if (turn === 0)
        overlay = await openOverlay({ folder: place, base: new BytesSource(original) });
    }
  });
});
