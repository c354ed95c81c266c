import { randomBytes } from 'node:crypto';
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { type FileHandle, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  asRestoreError,
  type BlockSource,
  type Extent,
  extentsOf,
  isAllZero,
  RestoreError,
  throwIfAborted,
} from '../core/index.ts';
import { FileSource } from './file-source.ts';
import { ExtentCursor } from './ranges.ts';

export interface WriteDiskOptions {
  /** Replace a file that exists; write over a block device. */
  readonly force?: boolean;
  /** Read everything back and compare it with the source. */
  readonly verify?: boolean;
  readonly onProgress?: (progress: WriteProgress) => void;
  readonly signal?: AbortSignal;
}

export interface WriteProgress {
  readonly phase: 'write' | 'verify';
  readonly reachedBytes: number;
  readonly totalBytes: number;
  readonly writtenBytes: number;
}

const CHUNK_BYTES = 1024 * 1024;
const IN_FLIGHT = 6;

/**
 * Writes a source to a file or block device, holes as holes. A file appears under its name once it
 * is whole and durable; on a device, ranges without data are written as zeros, because what it held
 * before would shine through.
 *
 * @returns bytes of data written.
 * @throws RestoreError `EXISTS`, `NO_SPACE`, `INVALID` for a device that is too small or in use, and
 *   whatever reading the source throws.
 */
export async function writeDisk(
  source: BlockSource,
  path: string,
  options: WriteDiskOptions = {},
): Promise<number> {
  const existing = await stat(path).catch(() => undefined);
  const isDevice = existing?.isBlockDevice() === true;
  if (existing !== undefined && options.force !== true) throw occupied(path, isDevice);
  if (existing !== undefined && !isDevice && !existing.isFile()) throw notWritable(path);
  if (isDevice) await checkDevice(path, source.size);
  // A name of its own: another restore to the same name must not write into this one.
  const target = isDevice ? path : `${path}.partial-${randomBytes(4).toString('hex')}`;
  const writer = new DiskWriter(source, target, isDevice, options);
  try {
    await writer.write();
    if (options.verify === true) await writer.verify();
    if (!isDevice) await publish(target, path);
  } catch (error) {
    if (!isDevice) await unlink(target).catch(() => undefined);
    throw asRestoreError(error, 'cannot write the disk', { object: path });
  }
  return writer.writtenBytes;
}

class DiskWriter {
  writtenBytes = 0;
  readonly #source: BlockSource;
  readonly #path: string;
  readonly #isDevice: boolean;
  readonly #options: WriteDiskOptions;
  /** Chunk buffers between uses: fresh memory for every chunk would cost more than the copy. */
  readonly #spare: Uint8Array[] = [];

  constructor(source: BlockSource, path: string, isDevice: boolean, options: WriteDiskOptions) {
    this.#source = source;
    this.#path = path;
    this.#isDevice = isDevice;
    this.#options = options;
  }

  async write(): Promise<void> {
    const flags = this.#isDevice ? constants.O_WRONLY | constants.O_EXCL : 'wx';
    const handle = await open(this.#path, flags, 0o600);
    try {
      if (!this.#isDevice) await handle.truncate(this.#source.size);
      const chunks = this.#isDevice ? this.#allChunks() : this.#dataChunks();
      await this.#forEachChunk('write', chunks, (offset, length) =>
        this.#copy(handle, offset, length),
      );
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  async verify(): Promise<void> {
    const written = FileSource.open(this.#path);
    try {
      if (!this.#isDevice && written.size !== this.#source.size) {
        throw differs(this.#path, Math.min(written.size, this.#source.size));
      }
      const chunks = this.#isDevice ? this.#allChunks() : this.#chunksOfEither(written);
      await this.#forEachChunk('verify', chunks, (offset, length) =>
        this.#compare(written, offset, length),
      );
    } finally {
      await written.close();
    }
  }

  async #copy(handle: FileHandle, offset: number, length: number): Promise<void> {
    const memory = this.#take();
    const data = memory.subarray(0, length);
    await this.#source.readInto(data, offset, this.#options.signal);
    if (this.#isDevice || !isAllZero(data)) {
      await writeAll(handle, data, offset);
      this.writtenBytes += length;
    }
    this.#spare.push(memory);
  }

  async #compare(written: FileSource, offset: number, length: number): Promise<void> {
    const [first, second] = [this.#take(), this.#take()];
    const expected = first.subarray(0, length);
    const found = second.subarray(0, length);
    await this.#source.readInto(expected, offset, this.#options.signal);
    await written.readInto(found, offset);
    if (Buffer.compare(expected, found) !== 0) {
      const at = expected.findIndex((byte, index) => byte !== found[index]);
      throw differs(this.#path, offset + at);
    }
    this.#spare.push(first, second);
  }

  #take(): Uint8Array {
    return this.#spare.pop() ?? new Uint8Array(CHUNK_BYTES);
  }

  /** A few at a time; the first failure ends it after those under way have settled. */
  async #forEachChunk(
    phase: WriteProgress['phase'],
    chunks: AsyncIterable<Extent>,
    work: (offset: number, length: number) => Promise<void>,
  ): Promise<void> {
    const running = new Set<Promise<void>>();
    const failures: unknown[] = [];
    for await (const { offset, length } of chunks) {
      throwIfAborted(this.#options.signal);
      if (running.size >= IN_FLIGHT) await Promise.race(running);
      if (failures.length > 0) break;
      const task = work(offset, length)
        .catch((error: unknown) => {
          failures.push(error);
        })
        .finally(() => running.delete(task));
      running.add(task);
      const totalBytes = this.#source.size;
      const { writtenBytes } = this;
      this.#options.onProgress?.({ phase, reachedBytes: offset, totalBytes, writtenBytes });
    }
    await Promise.all(running);
    if (failures.length > 0) throw failures[0];
  }

  async *#dataChunks(): AsyncGenerator<Extent> {
    for await (const extent of extentsOf(this.#source, 0, this.#source.size)) yield* cut(extent);
  }

  async *#allChunks(): AsyncGenerator<Extent> {
    yield* cut({ offset: 0, length: this.#source.size });
  }

  /** Where both are holes, both are zeros. */
  async *#chunksOfEither(written: FileSource): AsyncGenerator<Extent> {
    const sides = [this.#source, written].map((side) => new ExtentCursor(extentsOf(side)));
    for (const chunk of cut({ offset: 0, length: this.#source.size })) {
      const end = chunk.offset + chunk.length;
      const touched = await Promise.all(sides.map((side) => side.touches(chunk.offset, end)));
      if (touched.includes(true)) yield chunk;
    }
  }
}

function* cut({ offset, length }: Extent): Generator<Extent> {
  for (let at = offset; at < offset + length; at += CHUNK_BYTES) {
    yield { offset: at, length: Math.min(CHUNK_BYTES, offset + length - at) };
  }
}

/** The new name must outlive a power cut as the bytes do. */
async function publish(from: string, to: string): Promise<void> {
  await rename(from, to);
  const folder = await open(dirname(to), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function writeAll(handle: FileHandle, data: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < data.byteLength; ) {
    const left = data.byteLength - done;
    const { bytesWritten } = await handle.write(data, done, left, offset + done);
    done += bytesWritten;
  }
}

/** O_EXCL on a device fails while it is mounted or held by another layer (open(2)). */
async function checkDevice(path: string, sizeBytes: number): Promise<void> {
  const device = FileSource.open(path);
  const { size } = device;
  await device.close();
  if (size < sizeBytes) {
    throw new RestoreError('INVALID', 'the device is too small for the disk', {
      where: { object: path, expected: `at least ${sizeBytes} bytes`, found: `${size} bytes` },
    });
  }
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_EXCL));
  } catch (cause) {
    throw new RestoreError('BUSY', 'the device is in use', {
      where: { object: path, found: mountsOf(path) },
      hint: 'Unmount it, and stop what else uses it.',
      cause,
    });
  }
}

function mountsOf(path: string): string {
  try {
    const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
    return mounts.find((line) => line.startsWith(`${path} `)) ?? 'held by another layer';
  } catch {
    return 'held';
  }
}

function occupied(path: string, isDevice: boolean): RestoreError {
  return new RestoreError('EXISTS', isDevice ? 'that is a block device' : 'the file exists', {
    where: { object: path },
    hint: isDevice
      ? 'Everything on it would be lost; add --force to write over it.'
      : 'Choose another name, or add --force to replace it.',
  });
}

function notWritable(path: string): RestoreError {
  return new RestoreError('INVALID', 'cannot write a disk there', {
    where: { object: path, expected: 'a new file or a block device' },
  });
}

function differs(path: string, offset: number): RestoreError {
  return new RestoreError('CORRUPT', 'what was written does not read back the same', {
    where: { object: path, offset },
    hint: 'Suspect the target disk or this machine’s memory; the restore is not usable.',
  });
}
