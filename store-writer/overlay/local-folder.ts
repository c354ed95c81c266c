import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { asRestoreError, type ErrorPlace, RestoreError } from '../../core/index.ts';
import type { OverlayFile, OverlayFolder } from './folder.ts';
import { fallocatePunch, readFromPageCache } from './system-calls.ts';

/** A folder of this machine. */
export class LocalFolder implements OverlayFolder {
  readonly path: string;

  constructor(folder: string) {
    this.path = folder;
  }

  create(name: string): Promise<OverlayFile> {
    return this.#open(name, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC);
  }

  open(name: string): Promise<OverlayFile> {
    return this.#open(name, constants.O_RDWR);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#attempt(to, () => rename(path.join(this.path, from), path.join(this.path, to)));
  }

  async remove(name: string): Promise<void> {
    await this.#attempt(name, () => rm(path.join(this.path, name), { force: true }));
  }

  async sync(): Promise<void> {
    await this.#attempt('', async () => syncFolder(this.path));
  }

  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  async #open(name: string, flags: number): Promise<OverlayFile> {
    const file = path.join(this.path, name);
    return await this.#attempt(
      name,
      async () => new LocalFile(file, await open(file, flags, 0o600)),
    );
  }

  async #attempt<T>(name: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw failed(error, { object: path.join(this.path, name) });
    }
  }
}

/** Makes the names in a folder durable. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

class LocalFile implements OverlayFile {
  readonly #path: string;
  readonly #handle: FileHandle;

  constructor(file: string, handle: FileHandle) {
    this.#path = file;
    this.#handle = handle;
  }

  sizeBytes(): number {
    return fstatSync(this.#handle.fd).size;
  }

  async resize(sizeBytes: number): Promise<void> {
    await this.#attempt(sizeBytes, () => this.#handle.truncate(sizeBytes));
  }

  readNow(target: Uint8Array, offset: number): boolean {
    return readFromPageCache(this.#handle.fd, target, offset);
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < target.byteLength; ) {
      const left = target.byteLength - done;
      const { bytesRead } = await this.#attempt(offset + done, () =>
        this.#handle.read(target, done, left, offset + done),
      );
      if (bytesRead === 0) throw endsEarly(this.#path, offset + done);
      done += bytesRead;
    }
  }

  writeNow(data: Uint8Array, offset: number): void {
    try {
      for (let done = 0; done < data.byteLength; ) {
        done += writeSync(this.#handle.fd, data, done, data.byteLength - done, offset + done);
      }
    } catch (error) {
      throw failed(error, { object: this.#path, offset });
    }
  }

  async write(data: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < data.byteLength; ) {
      const left = data.byteLength - done;
      const { bytesWritten } = await this.#attempt(offset + done, () =>
        this.#handle.write(data, done, left, offset + done),
      );
      done += bytesWritten;
    }
  }

  punch(offset: number, length: number): Promise<boolean> {
    return fallocatePunch(this.#handle.fd, offset, length);
  }

  async sync(): Promise<void> {
    await this.#attempt(0, () => this.#handle.datasync());
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #attempt<T>(offset: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw failed(error, { object: this.#path, offset });
    }
  }
}

function failed(error: unknown, where: ErrorPlace): RestoreError {
  return asRestoreError(error, 'the storage of an overlay failed', where);
}

function endsEarly(object: string, offset: number): RestoreError {
  return new RestoreError('CORRUPT', 'a file of an overlay is too short', {
    where: { object, offset },
    hint: 'Something else has cut it. Put the overlay’s folder back from a copy, or discard it.',
  });
}
