import { closeSync, fstatSync, openSync, read, readFileSync, readSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import {
  asRestoreError,
  checkRange,
  type Extent,
  type FileOpener,
  RestoreError,
  type SectorSize,
  type SparseSource,
  throwIfAborted,
} from '../core/index.ts';
import { nextData } from './seek-data.ts';

const readAsync = promisify(read);

/** A regular file or a block device, holes known. */
export class FileSource implements SparseSource {
  readonly path: string;
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly isBlockDevice: boolean;
  readonly #descriptor: number;
  #open = true;

  private constructor(
    file: string,
    descriptor: number,
    shape: { size: number; sectorSize: SectorSize; isBlockDevice: boolean },
  ) {
    this.path = file;
    this.#descriptor = descriptor;
    this.size = shape.size;
    this.sectorSize = shape.sectorSize;
    this.isBlockDevice = shape.isBlockDevice;
  }

  /** @throws RestoreError `NOT_FOUND`, `DENIED`, `INVALID` for what is neither file nor device. */
  static open(file: string): FileSource {
    let descriptor: number;
    try {
      descriptor = openSync(file, 'r');
    } catch (error) {
      throw asRestoreError(error, 'cannot open a disk', { object: file });
    }
    try {
      return new FileSource(file, descriptor, shapeOf(file, descriptor));
    } catch (error) {
      closeSync(descriptor);
      throw asRestoreError(error, 'cannot open a disk', { object: file });
    }
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    throwIfAborted(signal);
    for (let done = 0; done < target.byteLength; ) {
      const bytesRead = await this.#read(target, done, offset + done);
      if (bytesRead === 0) throw this.#shrunk(offset + done);
      done += bytesRead;
    }
  }

  peek(offset: number, length: number): undefined {
    checkRange(this, offset, length);
    return undefined;
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    const end = offset + length;
    for (let at = offset; at < end; ) {
      throwIfAborted(signal);
      const data = this.isBlockDevice
        ? { start: at, end }
        : nextData(this.#descriptor, at, this.size);
      if (data === undefined || data.start >= end) return;
      const to = Math.min(end, data.end);
      yield { offset: data.start, length: to - data.start };
      at = to;
    }
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#descriptor);
  }

  async #read(target: Uint8Array, from: number, position: number): Promise<number> {
    try {
      const left = target.byteLength - from;
      const { bytesRead } = await readAsync(this.#descriptor, target, from, left, position);
      return bytesRead;
    } catch (error) {
      throw asRestoreError(error, 'cannot read a disk', { object: this.path, offset: position });
    }
  }

  #shrunk(offset: number): RestoreError {
    return new RestoreError('IO', 'a file became shorter while it was read', {
      where: { object: this.path, offset, expected: `${this.size} bytes` },
    });
  }
}

/** Opens files of this machine for parsers; a reference in a file is relative to that file. */
export const localFiles: FileOpener = {
  open: async (file) => FileSource.open(file),
  resolve: (from, reference) => path.resolve(path.dirname(from), reference),
};

function shapeOf(
  file: string,
  descriptor: number,
): { size: number; sectorSize: SectorSize; isBlockDevice: boolean } {
  const stat = fstatSync(descriptor);
  if (stat.isFile()) return { size: stat.size, sectorSize: 512, isBlockDevice: false };
  if (!stat.isBlockDevice()) {
    throw new RestoreError('INVALID', 'not a disk', {
      where: { object: file, expected: 'a file or a block device', found: kindOf(stat) },
    });
  }
  const device = `/sys/dev/block/${deviceNumber(Number(stat.rdev))}`;
  return { ...blockDeviceShape(file, descriptor, device), isBlockDevice: true };
}

function blockDeviceShape(
  file: string,
  descriptor: number,
  folder: string,
): { size: number; sectorSize: SectorSize } {
  const number = (name: string): number => Number(readFileSync(`${folder}/${name}`, 'utf8'));
  const size = number('size') * 512;
  const queue = readableQueue(folder);
  const sectorSize = queue === undefined ? 512 : number(`${queue}/logical_block_size`);
  // A device whose size is not as the kernel says must not be captured short.
  if (size > 0 && readSync(descriptor, Buffer.alloc(512), 0, 512, size - 512) !== 512) {
    throw new RestoreError('IO', 'the end of a device cannot be read', { where: { object: file } });
  }
  return { size, sectorSize: sectorSize === 4096 ? 4096 : 512 };
}

/** `major:minor` as glibc packs them (makedev(3)). */
function deviceNumber(device: number): string {
  const major = (device >>> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  return `${major}:${minor}`;
}

/** A partition has no queue of its own; its disk's is one folder up. */
function readableQueue(folder: string): string | undefined {
  for (const queue of ['queue', '../queue']) {
    try {
      readFileSync(`${folder}/${queue}/logical_block_size`);
      return queue;
    } catch {}
  }
  return undefined;
}

function kindOf(stat: ReturnType<typeof fstatSync>): string {
  if (stat.isDirectory()) return 'a folder';
  return stat.isCharacterDevice() ? 'a character device' : 'something else';
}
