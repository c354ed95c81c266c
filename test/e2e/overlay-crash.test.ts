/**
 * Power cuts and kills: what an overlay acknowledged as flushed is there afterwards, and every sector
 * is one that was written to it.
 *
 * REHYDRATE_TEST_SEED replays a run.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, isRestoreError } from '../../core/index.ts';
import { createOverlay, Overlay, openOverlay, prepareOverlay } from '../../store-writer/index.ts';
import { randomBytes, seededRandom } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { chooseSeed } from './command/harness.ts';
import { History } from './overlay/history.ts';
import {
  type Fate,
  type FolderOptions,
  PowerCutFolder,
  PowerCuts,
} from './overlay/power-cut-folder.ts';
import { BATCH_MAX, bytesOf, DISK_BYTES, numberedWrite } from './overlay/writes.ts';

const SEED = chooseSeed();
const WORKER = path.join(import.meta.dirname, 'overlay', 'writing-worker.ts');
const CHILD_TIMEOUT_MS = 30_000;
const SECTOR = 512;
const SECTORS = 1_000;
const LANES = 4;
const META = {
  repositoryId: 'aa'.repeat(16),
  machine: 'm',
  pointId: 'bb'.repeat(16),
  diskId: 'disk0',
};
const LIMITS = { sizeLimitBytes: 2 ** 40, freeSpaceFloorBytes: 0 };
const FATES: readonly Fate[] = ['all lost', 'all kept', 'any', 'any', 'any'];
/** So short that most scenarios sum up their maps several times. */
const SNAPSHOT_AFTER_BYTES = 4_096;

interface Scenario {
  readonly base: Uint8Array;
  readonly folder: PowerCutFolder;
  readonly history: History;
  /** Where in the log the overlay was made: before, there is none. */
  readonly madeAt: number;
}

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

describe(`power cuts, seed ${SEED}`, () => {
  it.each(Array.from({ length: 4 }, (_, number) => number))(
    'at any operation of scenario %i lose nothing that was flushed',
    async (number) => {
      const seed = SEED + number;
      const scenario = await play(seed, { pause: pauses(seed) });
      const { cuts, complaints } = await cutEverywhere(
        scenario,
        seed,
        path.join(scratch.path, 'cut'),
      );
      expect(complaints.slice(0, 5)).toEqual([]);
      expect(cuts).toBeGreaterThan(1_000);
      // Besides one at opening, each new snapshot is created and renamed.
      const names = scenario.folder.log
        .slice(scenario.madeAt)
        .filter(({ type }) => type === 'name');
      expect(names.length, 'names given, by snapshots').toBeGreaterThan(2);
    },
  );

  it.each(['data', 'map'])(
    'would be noticed if the storage of the %s lied about being done',
    async (name) => {
      let complained = 0;
      for (let number = 0; number < 3 && complained === 0; number += 1) {
        const seed = SEED + 100 + number;
        const scenario = await play(seed, { lyingSyncs: [name], pause: pauses(seed) });
        complained += (await cutEverywhere(scenario, seed)).complaints.length;
      }
      expect(complained).toBeGreaterThan(0);
    },
  );
});

describe('an overlay in the making', () => {
  it('is none, or an untouched one, wherever the power is cut', async () => {
    const { base, folder, madeAt } = await play(SEED, {});
    const random = seededRandom(SEED);
    const power = new PowerCuts(folder.log);
    const tally = { none: 0, untouched: 0 };
    for (let position = 0; position <= madeAt; position += 1) {
      power.advance(position);
      for (const fate of [...FATES, ...FATES]) {
        const left = power.cut(fate, random);
        try {
          const overlay = await Overlay.open(left, new BytesSource(base), () => undefined);
          expect(overlay.changedRanges()).toEqual([]);
          tally.untouched += 1;
        } catch (error) {
          expect(error).toSatisfy((e) => isRestoreError(e, 'NOT_FOUND'));
          tally.none += 1;
        }
      }
    }
    expect(tally.none).toBeGreaterThan(10);
    expect(tally.untouched).toBeGreaterThan(10);
  });
});

describe('storage that fails to make data durable', () => {
  it.each(['data', 'map'])(
    'is not relied on again after a failed sync of the %s, until all is opened anew',
    async (failing) => {
      let fails = false;
      const options: FolderOptions = { failsToSync: (name) => fails && name === failing };
      const folder = new PowerCutFolder(new Map(), options);
      const base = randomBytes(SECTORS * SECTOR, SEED);
      const source = new BytesSource(base);
      await prepareOverlay(folder, { base: source, meta: META, ...LIMITS });
      const overlay = await Overlay.open(folder, source, () => undefined);
      const [safe, lost] = [new Uint8Array(SECTOR).fill(1), new Uint8Array(SECTOR).fill(2)];
      await overlay.writeFrom(safe, 0);
      await overlay.flush();
      await overlay.writeFrom(lost, 100 * SECTOR);
      fails = true;
      const isIo = (error: unknown): boolean => isRestoreError(error, 'IO');
      await expect(overlay.flush()).rejects.toSatisfy(isIo);
      fails = false;
      // The kernel may count the lost bytes as written now: a second try must not say all is well.
      await expect(overlay.flush()).rejects.toSatisfy(isIo);
      await expect(overlay.writeFrom(safe, 0)).rejects.toSatisfy(isIo);
      await expect(overlay.discard(0, SECTOR)).rejects.toSatisfy(isIo);
      const target = new Uint8Array(SECTOR);
      await expect(overlay.readInto(target, 100 * SECTOR)).rejects.toSatisfy(isIo);
      await overlay.readInto(target, 900 * SECTOR);
      expect(target).toEqual(base.slice(900 * SECTOR, 901 * SECTOR));
      await expect(overlay.close()).rejects.toSatisfy(isIo);
      const again = await Overlay.open(folder.afterCut(), new BytesSource(base), () => undefined);
      await again.readInto(target, 0);
      expect(target).toEqual(safe);
    },
  );
});

describe(`kill -9, seed ${SEED}`, () => {
  it('loses nothing that was flushed, in 20 rounds on one overlay', async () => {
    const folder = scratch.file('overlay');
    const random = seededRandom(SEED);
    const empty = (): BytesSource => new BytesSource(new Uint8Array(DISK_BYTES));
    const made = await createOverlay({ folder, base: empty(), meta: META, ...LIMITS });
    await made.close();
    let content = new Uint8Array(DISK_BYTES);
    let flushedWrites = 0;
    for (let round = 0; round < 20; round += 1) {
      const first = 1 + round * 1_000_000;
      const last = await writeUntilKilled(folder, first, random() * 250);
      const overlay = await openOverlay({ folder, base: empty() });
      const found = new Uint8Array(DISK_BYTES);
      await overlay.readInto(found, 0);
      await overlay.close();
      for (let number = first; number <= last; number += 1) {
        const write = numberedWrite(number);
        content.set(bytesOf(number, write), write.offset);
      }
      expectOldOrNew(found, content, last, first);
      content = found;
      flushedWrites += Math.max(0, last - first + 1);
    }
    expect(flushedWrites).toBeGreaterThan(200);
  });
});

/** @returns the number of the last write that was flushed; the one before `first` when none was. */
async function writeUntilKilled(folder: string, first: number, afterMs: number): Promise<number> {
  const child = spawn(process.execPath, [WORKER, folder, `${first}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    if (text === '') setTimeout(() => child.kill('SIGKILL'), afterMs);
    text += part;
  });
  const guard = setTimeout(() => child.kill('SIGKILL'), CHILD_TIMEOUT_MS);
  await once(child, 'close');
  clearTimeout(guard);
  expect(child.signalCode).toBe('SIGKILL');
  return Number(text.trim().split('\n').at(-1) || first - 1);
}

/** Every sector as after write `last`, or as one of the writes that may have come after it made it. */
function expectOldOrNew(found: Uint8Array, content: Uint8Array, last: number, first: number): void {
  const later = Array.from({ length: 2 * BATCH_MAX }, (_, index) => {
    const number = Math.max(first, last + 1) + index;
    const write = numberedWrite(number);
    return { ...write, bytes: bytesOf(number, write) };
  });
  for (let at = 0; at < found.length; at += SECTOR) {
    const sector = found.subarray(at, at + SECTOR);
    if (Buffer.compare(sector, content.subarray(at, at + SECTOR)) === 0) continue;
    const isLater = later.some(({ offset, length, bytes }) => {
      if (at < offset || at >= offset + length) return false;
      return Buffer.compare(sector, bytes.subarray(at - offset, at - offset + SECTOR)) === 0;
    });
    if (!isLater) expect.fail(`the sector at ${at} is neither old nor new`);
  }
}

/** Random writes, discards and flushes, several at a time, in lanes that do not overlap. */
async function play(seed: number, options: FolderOptions): Promise<Scenario> {
  const random = seededRandom(seed);
  const base = randomBytes(SECTORS * SECTOR, seed);
  base.fill(0, 0, 50 * SECTOR);
  const folder = new PowerCutFolder(new Map(), options);
  const { log } = folder;
  const source = new BytesSource(base);
  await prepareOverlay(folder, { base: source, meta: META, ...LIMITS });
  const madeAt = log.length;
  const overlay = await Overlay.open(folder, source, () => undefined, SNAPSHOT_AFTER_BYTES);
  const history = new History(base);
  const lane = async (first: number, count: number): Promise<void> => {
    for (let step = 0; step < 40; step += 1) {
      const at = first + Math.floor(random() * count);
      const most = Math.min(first + count - at, random() < 0.7 ? 8 : 80);
      const isDiscard = random() < 0.25;
      const version = history.begin(at, 1 + Math.floor(random() * most), isDiscard, log.length);
      const data = history.bytesOf(version);
      if (isDiscard) await overlay.discard(at * SECTOR, data.byteLength);
      else await overlay.writeFrom(data, at * SECTOR);
      version.resolvedAt = log.length;
      if (random() < 0.5) {
        const startedAt = log.length;
        await overlay.flush();
        history.flushed(startedAt, log.length);
      }
    }
  };
  const each = SECTORS / LANES;
  await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number * each, each)));
  return { base, folder, history, madeAt };
}

/** Cuts the power after each operation, several ways; now and then the folder is a real one. */
async function cutEverywhere(
  { base, folder, history, madeAt }: Scenario,
  seed: number,
  real?: string,
): Promise<{ cuts: number; complaints: string[] }> {
  const random = seededRandom(seed);
  const power = new PowerCuts(folder.log);
  const complaints: string[] = [];
  let cuts = 0;
  for (let position = madeAt; position <= folder.log.length; position += 1) {
    power.advance(position);
    for (const fate of FATES) {
      cuts += 1;
      const left = power.cut(fate, random);
      const place = real !== undefined && cuts % 97 === 0 ? `${real}${cuts}` : undefined;
      const complaint = await examine(left, base, history, position, place).catch(
        (error: unknown) => String(error),
      );
      if (complaint !== undefined) complaints.push(`${position} (${fate}): ${complaint}`);
    }
  }
  return { cuts, complaints };
}

/** What is wrong with what a cut left, if anything; and whether one can go on from there. */
async function examine(
  left: PowerCutFolder,
  base: Uint8Array,
  history: History,
  position: number,
  place: string | undefined,
): Promise<string | undefined> {
  const open = async (folder: PowerCutFolder): Promise<Overlay> => {
    const source = new BytesSource(base);
    if (place === undefined) return await Overlay.open(folder, source, () => undefined);
    mkdirSync(place, { recursive: true });
    for (const { name, bytes } of folder.files()) writeFileSync(path.join(place, name), bytes);
    return await openOverlay({ folder: place, base: source });
  };
  const overlay = await open(left);
  const content = new Uint8Array(base.byteLength);
  await overlay.readInto(content, 0);
  const complaint = history.complaint(content, position);
  if (place !== undefined) await overlay.close();
  if (complaint !== undefined || place !== undefined) return complaint;
  // Onwards: a write, a flush, and a second cut that loses all that was not made durable.
  const sector = position % SECTORS;
  const data = new Uint8Array(SECTOR).fill(0x77);
  await overlay.writeFrom(data, sector * SECTOR);
  await overlay.flush();
  content.set(data, sector * SECTOR);
  const again = await Overlay.open(left.afterCut(), new BytesSource(base), () => undefined);
  const found = new Uint8Array(base.byteLength);
  await again.readInto(found, 0);
  return Buffer.compare(found, content) === 0 ? undefined : 'a second cut lost what was there';
}

function pauses(seed: number): () => Promise<void> {
  const random = seededRandom(seed);
  return async () => {
    for (let turns = Math.floor(random() * 4); turns > 0; turns -= 1) {
      await new Promise(setImmediate);
    }
  };
}
