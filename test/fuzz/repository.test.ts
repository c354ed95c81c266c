/**
 * Every object of a small repository, damaged at random. Whatever is opened, listed and read then is
 * either the right bytes or a RestoreError: never other bytes, never another exception, never long.
 *
 * campaign.ts says how a run is replayed and made longer.
 */
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, isRestoreError, readBytes } from '../../core/index.ts';
import { type Credential, NativeRepository, resolveDisk } from '../../store-reader/index.ts';
import { type InitOptions, verifyRepository } from '../../store-writer/index.ts';
import { randomBytes } from '../fixtures/random.ts';
import { Scratch, TestRepository } from '../fixtures/repository.ts';
import { FUZZ_TIMEOUT_MS, roundsOf, runCampaign, SEED } from './campaign.ts';

const ROUNDS = roundsOf(80);
const BLOCK = 16_384;
const KEY_FILE: Credential = { kind: 'key-file', content: randomBytes(32, 5) };

/** Points by address, with the bytes they must show. */
type Truth = ReadonlyMap<string, Uint8Array>;

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

const KINDS: Record<string, InitOptions> = {
  'plain, zstd': { blockSize: BLOCK },
  'plain, raw': { blockSize: BLOCK, codec: 'raw' },
  'encrypted, lz4': { blockSize: BLOCK, codec: 'lz4', credentials: [KEY_FILE] },
};

describe(`a damaged repository (seed ${SEED})`, () => {
  for (const [number, [kind, init]] of Object.entries(KINDS).entries()) {
    it(`shows the right bytes or an error: ${kind}`, { timeout: FUZZ_TIMEOUT_MS }, async () => {
      const made = await TestRepository.create(scratch, init);
      const truth = await fill(made);
      const sound = contents(made.location);
      const tally = { right: 0, refused: 0 };
      const campaign = { parser: 'repository', rounds: ROUNDS, salt: number, name: () => kind };
      await runCampaign(campaign, async (_, random) => {
        const what = mutate(made.location, random);
        try {
          await judge(made, truth, tally);
        } catch (cause) {
          throw new Error(what, { cause });
        } finally {
          for (const [file, bytes] of sound) writeFileSync(file, bytes);
        }
      });
      // Both must happen, or this has tested nothing.
      expect(tally.right).toBeGreaterThan(ROUNDS / 4);
      expect(tally.refused).toBeGreaterThan(ROUNDS / 4);
      const afterwards = { right: 0, refused: 0 };
      await judge(made, truth, afterwards);
      expect(afterwards.refused).toBe(0);
    });
  }
});

/** Three points of one machine and one of another; a map of two levels, text, noise and zeros. */
async function fill(made: TestRepository): Promise<Truth> {
  const truth = new Map<string, Uint8Array>();
  const capture = async (machine: string, content: Uint8Array): Promise<void> => {
    const { point } = await made.capture(machine, [new BytesSource(content)]);
    truth.set(`${machine}@${point.takenAt}`, content);
  };
  let state = new Uint8Array(BLOCK * 260 + 512);
  for (let block = 0; block < 12; block += 1) {
    state.set(randomBytes(BLOCK, block), block * 22 * BLOCK);
    state.set(Buffer.alloc(BLOCK, `block ${block}\n`), (block * 22 + 1) * BLOCK);
  }
  state.set(randomBytes(512, 99), BLOCK * 260);
  for (let step = 0; step < 3; step += 1) {
    await capture('m', state);
    state = state.slice();
    state.set(randomBytes(300, 200 + step), step * 70 * BLOCK + 5);
  }
  await capture('other', state.slice(0, BLOCK * 5));
  return truth;
}

/** Opens, lists, and reads every byte of every point that opens. */
async function judge(
  made: TestRepository,
  truth: Truth,
  tally: { right: number; refused: number },
): Promise<void> {
  const refusedBefore = tally.refused;
  const options = made.credential === undefined ? {} : { credential: made.credential };
  const repository = await orRefusal(() => NativeRepository.open(made.location, options), tally);
  if (repository === undefined) return;
  try {
    for (const { machine, takenAt } of repository.catalog.points) {
      // A point that was never captured would be as wrong as wrong bytes.
      expect(truth.has(`${machine}@${takenAt}`)).toBe(true);
    }
    for (const [address, content] of truth) {
      const found = await orRefusal(() => resolveDisk(repository, address), tally);
      if (found === undefined) continue;
      const disk = repository.openDisk(found.point, found.disk);
      expect(disk.size).toBe(content.length);
      await readAll(disk, content, tally);
    }
    const report = await orRefusal(() => verifyRepository(repository, { scope: 'all' }), tally);
    // What a reader cannot read, verify must find.
    if (tally.refused > refusedBefore) expect(report?.clean).not.toBe(true);
  } finally {
    await repository.close();
  }
}

async function readAll(
  disk: ReturnType<NativeRepository['openDisk']>,
  content: Uint8Array,
  tally: { right: number; refused: number },
): Promise<void> {
  const stride = BLOCK * 4;
  for (let at = 0; at < content.length; at += stride) {
    const length = Math.min(stride, content.length - at);
    const expected = content.subarray(at, at + length);
    const bytes = await orRefusal(() => readBytes(disk, at, length), tally);
    if (bytes !== undefined && Buffer.compare(bytes, expected) !== 0) {
      throw new Error(`WRONG BYTES at ${at}`);
    }
    if (bytes !== undefined) tally.right += 1;
    const view = disk.peek(at, Math.min(BLOCK, length));
    if (view !== undefined && Buffer.compare(view, expected.subarray(0, view.length)) !== 0) {
      throw new Error(`WRONG BYTES from peek at ${at}`);
    }
  }
}

/** What `work` gives; `undefined` when it refuses as it should; anything else thrown is a failure. */
async function orRefusal<T>(
  work: () => Promise<T>,
  tally: { refused: number },
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!isRestoreError(error)) throw error;
    tally.refused += 1;
    return undefined;
  }
}

type Change = (file: string, files: readonly string[], random: () => number) => string;

const CHANGES: readonly Change[] = [
  (file, _files, random) =>
    rewrite(file, 'bits flipped', (bytes) => {
      for (let flips = 1 + Math.floor(random() * 3); flips > 0; flips -= 1) {
        const at = Math.floor(random() * bytes.length);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
      }
      return bytes;
    }),
  (file, _files, random) =>
    rewrite(file, 'bytes replaced', (bytes) => {
      const at = Math.floor(random() * bytes.length);
      const noise = randomBytes(1 + Math.floor(random() * 64), Math.floor(random() * 2 ** 31));
      bytes.set(noise.subarray(0, bytes.length - at), at);
      return bytes;
    }),
  (file, _files, random) =>
    rewrite(file, 'zeros over a part', (bytes) => {
      const at = Math.floor(random() * bytes.length);
      return bytes.fill(0, at, Math.min(bytes.length, at + 1 + Math.floor(random() * 5000)));
    }),
  (file, _files, random) =>
    rewrite(file, 'a number of the extremes', (bytes) => {
      const at = Math.floor(random() * Math.max(1, bytes.length - 4));
      const value = [0, 1, 0x7fff_ffff, 0xffff_ffff][Math.floor(random() * 4)] as number;
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, value, true);
      return bytes;
    }),
  (file, _files, random) =>
    rewrite(file, 'cut short', (bytes) => bytes.subarray(0, Math.floor(random() * bytes.length))),
  (file, _files, random) =>
    rewrite(file, 'made longer', (bytes) =>
      Buffer.concat([bytes, randomBytes(1 + Math.floor(random() * 100), 1)]),
    ),
  (file, files, random) => {
    const other = files[Math.floor(random() * files.length)] as string;
    copyFileSync(other, file);
    return `replaced with ${other}`;
  },
  (file, files, random) => {
    const other = files[Math.floor(random() * files.length)] as string;
    const [mine, theirs] = [readFileSync(file), readFileSync(other)];
    writeFileSync(file, theirs);
    writeFileSync(other, mine);
    return `exchanged with ${other}`;
  },
  (file) => {
    rmSync(file);
    return 'missing';
  },
];

/** Damages one object, all kinds of objects being hit alike. @returns what was done. */
function mutate(location: string, random: () => number): string {
  const kinds = ['repository.json', 'commits', 'points', 'packs', 'packs'];
  const kind = kinds[Math.floor(random() * kinds.length)] as string;
  const files = filesUnder(path.join(location, kind));
  const file = files[Math.floor(random() * files.length)] as string;
  const change = CHANGES[Math.floor(random() * CHANGES.length)] as Change;
  return `${path.relative(location, file)}: ${change(file, files, random)}`;
}

function contents(location: string): ReadonlyMap<string, Buffer> {
  return new Map(
    ['repository.json', 'commits', 'points', 'packs']
      .flatMap((kind) => filesUnder(path.join(location, kind)))
      .map((file) => [file, readFileSync(file)]),
  );
}

function rewrite(file: string, what: string, change: (bytes: Buffer) => Uint8Array): string {
  const bytes = readFileSync(file);
  // A shared pool's buffer would make offsets of its DataView other than they seem.
  writeFileSync(file, change(Buffer.from(new Uint8Array(bytes).buffer)));
  return what;
}

function filesUnder(place: string): string[] {
  if (place.endsWith('.json')) return [place];
  return readdirSync(place, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}
