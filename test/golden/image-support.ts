/** Disk images made and read by qemu, to hold ours against. */
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'vitest';
import {
  asRestoreError,
  checkRange,
  type Extent,
  type FileOpener,
  isAllZero,
  type SparseSource,
  throwIfAborted,
} from '../../core/index.ts';
import { type OpenImage, type OpenImageOptions, openImage } from '../../parsers/index.ts';
import { randomBytes, seededRandom } from '../fixtures/random.ts';
import { findTool, run } from '../fixtures/tools/index.ts';

export const KIB = 1024;
export const MIB = 1024 * 1024;

/** Why tests against a tool cannot run here; `undefined` when they can. */
export function missingTool(...names: string[]): string | undefined {
  const missing = names.filter((name) => findTool(name) === undefined);
  return missing.length === 0 ? undefined : `${missing.join(', ')} not installed`;
}

/** Node's files. Holes are those that qemu-img sees when `withHoles`; otherwise there are none. */
export function nodeFiles(options: { readonly withHoles?: boolean } = {}): FileOpener {
  return {
    open: async (file) => openFile(file, options.withHoles === true),
    resolve: (from, reference) => path.resolve(path.dirname(file(from)), reference),
  };
}

const file = (name: string): string => path.resolve(name);

async function openFile(name: string, withHoles: boolean): Promise<SparseSource> {
  let handle: FileHandle;
  try {
    handle = await open(name, 'r');
  } catch (error) {
    throw asRestoreError(error, 'the file cannot be opened', { object: name });
  }
  const { size } = await handle.stat();
  const data = withHoles ? await dataOf(name, 'raw') : [{ offset: 0, length: size }];
  let closed = false;
  return {
    size,
    sectorSize: 512,
    async readInto(target, offset, signal) {
      checkRange({ size }, offset, target.byteLength);
      throwIfAborted(signal);
      for (let done = 0; done < target.byteLength; ) {
        const left = target.byteLength - done;
        const { bytesRead } = await handle.read(target, done, left, offset + done);
        if (bytesRead === 0) throw new RangeError('the file ended early');
        done += bytesRead;
      }
    },
    peek(offset, length) {
      checkRange({ size }, offset, length);
      return undefined;
    },
    async *extents(offset, length) {
      yield* clipped(data, offset, length);
    },
    async close() {
      if (!closed) await handle.close();
      closed = true;
    },
  };
}

function* clipped(extents: readonly Extent[], offset: number, length: number): Generator<Extent> {
  for (const extent of extents) {
    const from = Math.max(offset, extent.offset);
    const to = Math.min(offset + length, extent.offset + extent.length);
    if (to > from) yield { offset: from, length: to - from };
  }
}

export async function temporaryFolder(): Promise<string> {
  return mkdtemp(path.join(tmpdir(), 'rehydrate-image-'));
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** A raw disk with random content in random places; the same for the same seed. */
export async function makeRaw(name: string, sizeBytes: number, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const handle = await open(name, 'w');
  try {
    await handle.truncate(sizeBytes);
    for (let chunk = 0; chunk < 24; chunk += 1) {
      const length = 512 * (1 + Math.floor(random() * 300));
      const offset = 512 * Math.floor((random() * (sizeBytes - length)) / 512);
      const compressible = random() < 0.5;
      const data = compressible
        ? new Uint8Array(length).fill(1 + Math.floor(random() * 255))
        : randomBytes(length, seed * 1000 + chunk);
      await handle.write(data, 0, length, offset);
    }
    // The first and the last sector: where off-by-one mistakes show.
    await handle.write(randomBytes(512, seed + 7), 0, 512, 0);
    await handle.write(randomBytes(512, seed + 8), 0, 512, sizeBytes - 512);
  } finally {
    await handle.close();
  }
}

/** Seeded qemu-io commands: writes, zero writes and discards in random places. */
export function randomCommands(
  sizeBytes: number,
  seed: number,
  kinds: readonly ('write' | 'zero' | 'unmap' | 'discard')[],
): string[] {
  const random = seededRandom(seed);
  return Array.from({ length: 24 }, (_, index) => {
    const kind = kinds[Math.floor(random() * kinds.length)];
    const length = 512 * (1 + Math.floor(random() ** 3 * 1000));
    const offset = 512 * Math.floor((random() * (sizeBytes - length)) / 512);
    if (kind === 'zero') return `write -z ${offset} ${length}`;
    if (kind === 'unmap') return `write -z -u ${offset} ${length}`;
    if (kind === 'discard') return `discard ${offset} ${length}`;
    return `write -P ${1 + ((index * 37 + seed) % 255)} ${offset} ${length}`;
  });
}

export async function qemuIo(
  format: string,
  name: string,
  commands: readonly string[],
): Promise<void> {
  const args = commands.flatMap((command) => ['-c', command]);
  const { stdout } = await run('qemu-io', ['-f', format, '-d', 'unmap', ...args, name]);
  if (/failed|error/iu.test(stdout)) throw new Error(`qemu-io: ${stdout}`);
}

/** What qemu reads from an image, as a raw file beside it. */
export async function qemuRaw(format: string, name: string): Promise<string> {
  const raw = `${name}.by-qemu.raw`;
  await run('qemu-img', ['convert', '-f', format, '-O', 'raw', name, raw]);
  return raw;
}

interface MapEntry {
  readonly start: number;
  readonly length: number;
  readonly data: boolean;
  readonly zero: boolean;
}

async function qemuMap(name: string, format: string): Promise<MapEntry[]> {
  const { stdout } = await run('qemu-img', ['map', '-f', format, '--output=json', name]);
  return JSON.parse(stdout) as MapEntry[];
}

/** The ranges of an image that qemu says do not read as zeros. */
async function dataOf(name: string, format: string): Promise<Extent[]> {
  const entries = await qemuMap(name, format);
  return entries
    .filter(({ zero }) => !zero)
    .map(({ start, length }) => ({ offset: start, length }));
}

/** Opens, runs the body, closes. */
export async function withImage<T>(
  name: string,
  body: (image: OpenImage) => Promise<T>,
  options: OpenImageOptions & { readonly withHoles?: boolean } = {},
): Promise<T> {
  const { withHoles, ...openOptions } = options;
  const image = await openImage(name, nodeFiles({ withHoles: withHoles === true }), openOptions);
  try {
    return await body(image);
  } finally {
    await image.source.close();
  }
}

/** Above this only what either side says is data is compared whole, and the rest at random. */
const WHOLE_BYTES = 256 * MIB;

/** Every byte of our source is that of the raw file: as a stream, and at random places at once. */
export async function expectSameBytes(source: SparseSource, rawName: string): Promise<void> {
  const raw = await openFile(rawName, false);
  try {
    expect(source.size).toBe(raw.size);
    const whole = [{ offset: 0, length: raw.size }];
    const ranges =
      raw.size <= WHOLE_BYTES
        ? whole
        : [...(await dataOf(rawName, 'raw')), ...(await extentsIn(source))];
    const step = 4 * MIB - 512;
    for (const { offset, length } of ranges) {
      for (let at = offset; at < offset + length; at += step) {
        await expectSameRange(source, raw, at, Math.min(step, offset + length - at));
      }
    }
    const random = seededRandom(5);
    const reads = Array.from({ length: 64 }, () => {
      const length = 1 + Math.floor(random() ** 4 * Math.min(raw.size, 300 * KIB));
      return expectSameRange(source, raw, Math.floor(random() * (raw.size - length)), length);
    });
    await Promise.all(reads);
  } finally {
    await raw.close();
  }
}

async function expectSameRange(
  source: SparseSource,
  raw: SparseSource,
  offset: number,
  length: number,
): Promise<void> {
  const [ours, theirs] = [Buffer.alloc(length, 0xa5), Buffer.alloc(length)];
  await Promise.all([source.readInto(ours, offset), raw.readInto(theirs, offset)]);
  if (ours.equals(theirs)) return;
  const at = ours.findIndex((byte, index) => byte !== theirs[index]);
  expect.fail(`byte ${offset + at} is ${ours[at]}, and qemu reads ${theirs[at]}`);
}

async function extentsIn(source: SparseSource): Promise<Extent[]> {
  return Array.fromAsync(source.extents(0, source.size));
}

/** Our extents are in order and hold every byte of the raw file that is not zero. */
export async function expectExtentsCover(source: SparseSource, rawName: string): Promise<Extent[]> {
  const extents = await extentsIn(source);
  const data = await dataOf(rawName, 'raw');
  const raw = await openFile(rawName, false);
  try {
    let at = 0;
    for (const extent of [...extents, { offset: raw.size, length: 0 }]) {
      expect(extent.offset).toBeGreaterThanOrEqual(at);
      for (const gap of clipped(data, at, extent.offset - at)) {
        const bytes = Buffer.alloc(gap.length);
        await raw.readInto(bytes, gap.offset);
        expect(isAllZero(bytes), `${gap.length} bytes at ${gap.offset}`).toBe(true);
      }
      at = extent.offset + extent.length;
    }
    expect(at).toBeLessThanOrEqual(raw.size);
  } finally {
    await raw.close();
  }
  return extents;
}

/** Our extents keep clear of all that qemu says reads as zeros without holding data. */
export async function expectExtentsSkip(
  extents: readonly Extent[],
  name: string,
  format: string,
): Promise<void> {
  const holes = (await qemuMap(name, format)).filter(({ data, zero }) => zero && !data);
  for (const hole of holes) {
    const inside = [...clipped(extents, hole.start, hole.length)];
    expect({ hole, inside }).toEqual({ hole, inside: [] });
  }
}
