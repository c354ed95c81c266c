import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type BlockSource,
  BytesSource,
  type ErrorCode,
  isRestoreError,
  type SectorSize,
} from '../../core/index.ts';
import { blockDeviceSuite } from '../../test/conformance/block-device-suite.ts';
import { blockSourceSuite } from '../../test/conformance/block-source-suite.ts';
import { randomBytes, seededRandom } from '../../test/fixtures/random.ts';
import { Scratch } from '../../test/fixtures/repository.ts';
import { writeDisk } from '../index.ts';
import { createOverlay, deleteOverlay, listOverlays, openOverlay } from './overlays.ts';
import type { Overlay } from './overlay.ts';

const MIB = 1024 * 1024;
const PAGE = 4096;
const SEED = Number(process.env['REHYDRATE_TEST_SEED'] ?? 20_261);
const META = {
  repositoryId: 'aa'.repeat(16),
  machine: 'sql02',
  pointId: 'bb'.repeat(16),
  diskId: 'disk0',
};
const LIMITS = { sizeLimitBytes: 64 * MIB, freeSpaceFloorBytes: 0 };

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

let folders = 0;
const freshFolder = (): string => scratch.file(`overlay${(folders += 1)}`);

/** A base that gives nothing without waiting, as a cold store does. */
class ColdSource implements BlockSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #bytes: BytesSource;

  constructor(content: Uint8Array, sectorSize: SectorSize = 512) {
    this.#bytes = new BytesSource(content, sectorSize);
    this.size = content.byteLength;
    this.sectorSize = sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    await new Promise(setImmediate);
    await this.#bytes.readInto(target, offset, signal);
  }

  peek(offset: number, length: number): undefined {
    this.#bytes.peek(offset, length);
  }

  async close(): Promise<void> {}
}

/** Noise, with holes of zeros, and a last page that is short on disks of 512-byte sectors. */
function diskContent(sectorSize: SectorSize): Uint8Array {
  const bytes = randomBytes(2 * MIB + sectorSize, SEED);
  bytes.fill(0, 300_000, 900_000);
  return bytes;
}

const BASES = { 'in memory': BytesSource, 'that must be waited for': ColdSource } as const;

for (const [kind, Base] of Object.entries(BASES)) {
  for (const sectorSize of [512, 4096] as const) {
    const name = `an overlay over a disk ${kind}, sectors of ${sectorSize},`;
    const make = async (folder: string): Promise<{ overlay: Overlay; bytes: Uint8Array }> => {
      const bytes = diskContent(sectorSize);
      const base = new Base(bytes.slice(), sectorSize);
      return { overlay: await createOverlay({ folder, base, meta: META, ...LIMITS }), bytes };
    };

    blockSourceSuite(`${name} untouched`, async () => {
      const { overlay, bytes } = await make(freshFolder());
      return { source: overlay, content: bytes };
    });

    blockSourceSuite(`${name} written to and opened again`, async () => {
      const folder = freshFolder();
      const { overlay, bytes } = await make(folder);
      const original = bytes.slice();
      const random = seededRandom(SEED);
      for (let round = 0; round < 40; round += 1) {
        const offset = Math.floor((random() * overlay.size) / sectorSize) * sectorSize;
        const length = Math.min(overlay.size - offset, sectorSize * (1 + (round % 20)));
        if (round % 4 === 0) {
          await overlay.discard(offset, length);
          bytes.fill(0, offset, offset + length);
        } else {
          const data = randomBytes(length, round);
          await overlay.writeFrom(data, offset);
          bytes.set(data, offset);
        }
      }
      await overlay.close();
      const base = new Base(original, sectorSize);
      return { source: await openOverlay({ folder, base }), content: bytes };
    });

    blockDeviceSuite(name, SEED, async () => {
      const folder = freshFolder();
      const { overlay, bytes } = await make(folder);
      const original = bytes.slice();
      return {
        device: overlay,
        content: bytes,
        reopen: async () => {
          await overlay.close();
          return await openOverlay({ folder, base: new Base(original, sectorSize) });
        },
      };
    });
  }
}

const is =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isRestoreError(error, code);

/** A small overlay over zeros. */
async function small(
  folder: string,
  limits: Partial<typeof LIMITS> = {},
  sizeBytes = 4 * MIB,
): Promise<Overlay> {
  const base = new BytesSource(new Uint8Array(sizeBytes));
  return await createOverlay({ folder, base, meta: META, ...LIMITS, ...limits });
}

async function bytesAt(overlay: Overlay, offset: number, length: number): Promise<Uint8Array> {
  const target = new Uint8Array(length);
  await overlay.readInto(target, offset);
  return target;
}

describe('an overlay', () => {
  it('at its size limit refuses writes, shows nothing of them, and goes on otherwise', async () => {
    const overlay = await small(freshFolder(), { sizeLimitBytes: 10 * PAGE });
    const data = randomBytes(8 * PAGE, 1);
    await overlay.writeFrom(data, 0);
    const tooMuch = overlay.writeFrom(new Uint8Array(5 * PAGE).fill(9), 6 * PAGE);
    await expect(tooMuch).rejects.toSatisfy(is('NO_SPACE'));
    expect(await bytesAt(overlay, 0, 12 * PAGE)).toEqual(
      new Uint8Array(Buffer.concat([data, new Uint8Array(4 * PAGE)])),
    );
    await overlay.writeFrom(new Uint8Array(8 * PAGE).fill(5), 0);
    await overlay.flush();
    await overlay.discard(0, 4 * PAGE);
    expect(overlay.usedBytes).toBe(4 * PAGE);
    await overlay.writeFrom(new Uint8Array(4 * PAGE).fill(9), 20 * PAGE);
    await overlay.close();
  });

  it('keeps its size limit also while several writes are under way', async () => {
    // Long writes go through threads, side by side.
    const length = 64 * PAGE;
    const overlay = await small(freshFolder(), { sizeLimitBytes: 2.5 * length });
    const writes = Array.from({ length: 4 }, (_, index) =>
      overlay.writeFrom(new Uint8Array(length).fill(index + 1), index * length),
    );
    const outcomes = await Promise.allSettled(writes);
    expect(outcomes.map(({ status }) => status).sort()).toEqual([
      ...['fulfilled', 'fulfilled', 'rejected', 'rejected'],
    ]);
    expect(overlay.usedBytes).toBe(2 * length);
    // What was refused holds no room.
    await overlay.writeFrom(new Uint8Array(length / 2).fill(9), 3 * length);
    await overlay.close();
  });

  it('keeps the free-space floor', async () => {
    const folder = freshFolder();
    const overlay = await small(folder, { freeSpaceFloorBytes: 2 ** 50 });
    await expect(overlay.writeFrom(new Uint8Array(PAGE), 0)).rejects.toThrow(/floor/);
    await overlay.discard(0, PAGE);
    await overlay.flush();
    expect(await bytesAt(overlay, 0, PAGE)).toEqual(new Uint8Array(PAGE));
    await overlay.close();
  });

  it('gives the space of discarded pages back', async () => {
    const folder = freshFolder();
    const overlay = await small(folder);
    await overlay.writeFrom(randomBytes(2 * MIB, 1), 0);
    await overlay.flush();
    const spaceOf = (): number => statSync(path.join(folder, 'data')).blocks * 512;
    const before = spaceOf();
    await overlay.discard(0, 2 * MIB);
    await overlay.flush();
    expect(before).toBeGreaterThanOrEqual(2 * MIB);
    expect(spaceOf()).toBeLessThan(MIB / 8);
    expect(overlay.usedBytes).toBe(0);
    await overlay.close();
  });

  it('gives what was just written without a promise', async () => {
    const overlay = await small(freshFolder());
    const data = randomBytes(PAGE, 1);
    await overlay.writeFrom(data, PAGE);
    expect(overlay.peek(PAGE, PAGE)).toEqual(Buffer.from(data));
    expect(overlay.peek(0, 512)).toEqual(new Uint8Array(512));
    await overlay.close();
  });

  it('costs one page for a sector, and tells the changed ranges', async () => {
    const overlay = await small(freshFolder(), {}, 4 * MIB + 512);
    await overlay.writeFrom(new Uint8Array(512).fill(1), 3 * PAGE + 512);
    await overlay.writeFrom(new Uint8Array(512).fill(1), 4 * MIB);
    await overlay.discard(8 * PAGE, 2 * PAGE);
    expect(overlay.usedBytes).toBe(2 * PAGE);
    expect(overlay.changedRanges()).toEqual([
      { offset: 3 * PAGE, length: PAGE },
      { offset: 8 * PAGE, length: 2 * PAGE },
      { offset: 4 * MIB, length: 512 },
    ]);
    await overlay.close();
    await expect(overlay.writeFrom(new Uint8Array(512), 0)).rejects.toSatisfy(is('INVALID'));
  });

  it('is exported whole, holes as holes', async () => {
    const overlay = await small(freshFolder(), {}, 16 * MIB);
    await overlay.writeFrom(randomBytes(MIB, 2), 5 * MIB);
    await overlay.discard(5 * MIB + 65_536, 65_536);
    const file = scratch.file('merged.raw');
    await writeDisk(overlay, file, { verify: true });
    const expected = await bytesAt(overlay, 0, 16 * MIB);
    expect(Buffer.compare(readFileSync(file), expected)).toBe(0);
    expect(statSync(file).blocks * 512).toBeLessThan(2 * MIB);
    await overlay.close();
  });
});

describe('the folder of an overlay', () => {
  it('is opened once at a time, within a process and beyond it', async () => {
    const folder = freshFolder();
    const overlay = await small(folder);
    const base = (): BytesSource => new BytesSource(new Uint8Array(4 * MIB));
    await expect(openOverlay({ folder, base: base() })).rejects.toSatisfy(is('BUSY'));
    await expect(deleteOverlay(folder)).rejects.toSatisfy(is('BUSY'));
    const program = `import { openOverlay } from '${path.resolve('store-writer/index.ts')}';
      import { BytesSource } from '${path.resolve('core/index.ts')}';
      const base = new BytesSource(new Uint8Array(${4 * MIB}));
      openOverlay({ folder: process.argv[1], base }).then(() => console.log('open'), (e) => console.log(e.code));`;
    const other = (): string =>
      spawnSync(process.execPath, ['--input-type=module', '-e', program, folder], {
        encoding: 'utf8',
        timeout: 15_000,
      }).stdout.trim();
    expect(other()).toBe('BUSY');
    await overlay.close();
    expect(other()).toBe('open');
  });

  it('refuses a second overlay, and one over another disk', async () => {
    const folder = freshFolder();
    const overlay = await small(folder);
    await overlay.close();
    await expect(small(folder)).rejects.toSatisfy(is('EXISTS'));
    const base = new BytesSource(new Uint8Array(8 * MIB));
    await expect(openOverlay({ folder, base })).rejects.toSatisfy(is('INVALID'));
    const none = openOverlay({ folder: scratch.file('none'), base });
    await expect(none).rejects.toSatisfy(is('NOT_FOUND'));
  });

  it('is listed, with those that are damaged or open, and deleted', async () => {
    const folder = scratch.file('overlays');
    mkdirSync(path.join(folder, 'other'), { recursive: true });
    const open = await small(path.join(folder, 'a'));
    await (await small(path.join(folder, 'b'))).close();
    await (await small(path.join(folder, 'c'))).close();
    writeFileSync(path.join(folder, 'c', 'overlay.json'), '{}');
    const listed = await listOverlays(folder);
    expect(
      listed.map((each) => [path.basename(each.folder), each.isOpen, 'error' in each]),
    ).toEqual([
      ['a', true, false],
      ['b', false, false],
      ['c', false, true],
    ]);
    expect(readdirSync(path.join(folder, 'other'))).toEqual([]);
    await open.close();
    for (const { folder: each } of listed) await deleteOverlay(each);
    expect(readdirSync(folder)).toEqual(['other']);
    await expect(deleteOverlay(path.join(folder, 'other'))).rejects.toSatisfy(is('NOT_FOUND'));
  });

  it('is CORRUPT when any byte that was durable has changed, and never opens with less', async () => {
    const folder = freshFolder();
    const overlay = await small(folder);
    for (let round = 0; round < 6; round += 1) {
      await overlay.writeFrom(randomBytes(PAGE, round), round * 3 * PAGE);
      await overlay.flush();
    }
    await overlay.close();
    const map = path.join(folder, 'map');
    const good = readFileSync(map);
    const reopen = async (): Promise<void> => {
      const base = new BytesSource(new Uint8Array(4 * MIB));
      await (await openOverlay({ folder, base })).close();
    };
    // Header, then six frames of 512 bytes, then the frame that says all was closed.
    for (let at = 0; at < 512 + 6 * 512; at += 1) {
      if (at % 512 >= 80) continue;
      const bad = Buffer.from(good);
      bad.writeUInt8(bad.readUInt8(at) ^ 0x10, at);
      writeFileSync(map, bad);
      const inPadding = (at >= 512 && at % 512 >= 64) || (at < 512 && at >= 80);
      if (inPadding) await reopen();
      else await expect(reopen(), `byte ${at}`).rejects.toSatisfy(is('CORRUPT'));
    }
    writeFileSync(map, good);
    await reopen();
  });

  it('is CORRUPT when the data file is cut, gone, or another overlay’s', async () => {
    const folder = freshFolder();
    const other = freshFolder();
    await (await small(folder)).close();
    await (await small(other)).close();
    const data = path.join(folder, 'data');
    const open = async (): Promise<Overlay> =>
      await openOverlay({ folder, base: new BytesSource(new Uint8Array(4 * MIB)) });
    writeFileSync(data, readFileSync(path.join(other, 'data')));
    await expect(open()).rejects.toSatisfy(is('CORRUPT'));
    truncateSync(data, MIB);
    await expect(open()).rejects.toSatisfy(is('CORRUPT'));
    spawnSync('rm', [data]);
    await expect(open()).rejects.toSatisfy(is('CORRUPT'));
  });
});
