import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import {
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  stat,
  unlink,
} from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { LRUCache } from 'lru-cache';
import { asRestoreError, RestoreError } from '../../core/index.ts';
import type { Backend, ObjectSink } from './backend.ts';

/** Objects in the making live here, named for the process that makes them. */
const TEMPORARY = 'tmp';
const OPEN_FILES_MAX = 128;
/** Reads of this length and more are left to the thread pool. */
const POOLED_BYTES_MIN = 128 * 1024;

/** A repository in a directory of a local or network file system that has `link()` and `fsync()`. */
export class DirectoryBackend implements Backend {
  readonly location: string;
  /** Descriptors of recently read objects. Objects never change, so neither does what they show. */
  readonly #descriptors: LRUCache<string, number>;
  /** How many reads are under way on a descriptor. It stays open for them when its turn is over. */
  readonly #held = new Map<number, number>();
  readonly #madeFolders = new Set<string>();

  constructor(root: string) {
    this.location = path.resolve(root);
    this.#descriptors = new LRUCache({
      max: OPEN_FILES_MAX,
      dispose: (descriptor) => {
        if (!this.#held.has(descriptor)) fs.closeSync(descriptor);
      },
    });
  }

  /** Short reads of page-cached files cost less in place than a round trip through the pool. */
  async readInto(name: string, target: Uint8Array, offset: number): Promise<void> {
    if (target.byteLength < POOLED_BYTES_MIN) {
      this.readIntoSync(name, target, offset);
      return;
    }
    try {
      using held = this.#hold(name);
      for (let done = 0; done < target.byteLength; ) {
        const got = await read(held.descriptor, target, done, offset + done);
        if (got === 0) throw this.#endsEarly(name, offset + target.byteLength, offset + done);
        done += got;
      }
    } catch (error) {
      throw asRestoreError(error, 'cannot read a stored object', { object: this.#file(name) });
    }
  }

  readIntoSync(name: string, target: Uint8Array, offset: number): void {
    try {
      const descriptor = this.#descriptor(name);
      for (let done = 0; done < target.byteLength; ) {
        const got = fs.readSync(descriptor, target, done, target.byteLength - done, offset + done);
        if (got === 0) throw this.#endsEarly(name, offset + target.byteLength, offset + done);
        done += got;
      }
    } catch (error) {
      throw asRestoreError(error, 'cannot read a stored object', { object: this.#file(name) });
    }
  }

  async get(name: string): Promise<Uint8Array<ArrayBuffer>> {
    try {
      return await readFile(this.#file(name));
    } catch (error) {
      throw asRestoreError(error, 'cannot read a stored object', { object: this.#file(name) });
    }
  }

  async sizeOf(name: string): Promise<number> {
    try {
      return (await stat(this.#file(name))).size;
    } catch (error) {
      throw asRestoreError(error, 'cannot find a stored object', { object: this.#file(name) });
    }
  }

  async *list(prefix: string): AsyncGenerator<string> {
    let entries: fs.Dirent[];
    try {
      entries = await readdir(this.#file(prefix), { withFileTypes: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw asRestoreError(error, 'cannot list stored objects', { object: this.#file(prefix) });
    }
    for (const entry of entries) {
      const name = `${prefix}/${entry.name}`;
      if (entry.isDirectory()) yield* this.list(name);
      else yield name;
    }
  }

  async put(name: string, data: Uint8Array): Promise<void> {
    if (await this.putIfAbsent(name, data)) return;
    throw new RestoreError('EXISTS', 'an object of this name is already stored', {
      where: { object: this.#file(name) },
    });
  }

  async putIfAbsent(name: string, data: Uint8Array): Promise<boolean> {
    const sink = await this.#start(name);
    try {
      await sink.write(data);
      return await sink.publish();
    } catch (error) {
      await sink.abort();
      throw error;
    }
  }

  async create(name: string): Promise<ObjectSink> {
    return await this.#start(name);
  }

  async delete(name: string): Promise<void> {
    this.#descriptors.delete(name);
    try {
      await unlink(this.#file(name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw asRestoreError(error, 'cannot delete a stored object', { object: this.#file(name) });
    }
  }

  async tidy(): Promise<void> {
    for await (const name of this.list(TEMPORARY)) {
      const [host, namespace, processId] = path.basename(name).split('~');
      const isOurs = host === safeHostName() && namespace === processNamespace();
      if (isOurs && !isAlive(Number(processId))) await this.delete(name);
    }
  }

  async close(): Promise<void> {
    this.#descriptors.clear();
  }

  async #start(name: string): Promise<FileSink> {
    const maker = `${safeHostName()}~${processNamespace()}~${process.pid}`;
    const temporary = `${TEMPORARY}/${maker}~${randomBytes(8).toString('hex')}`;
    try {
      await this.#makeFolder(TEMPORARY);
      await this.#makeFolder(path.dirname(name));
      const handle = await open(this.#file(temporary), 'wx', 0o640);
      return new FileSink(handle, this.#file(temporary), this.#file(name));
    } catch (error) {
      throw asRestoreError(error, 'cannot store an object', { object: this.#file(name) });
    }
  }

  async #makeFolder(folder: string): Promise<void> {
    if (this.#madeFolders.has(folder)) return;
    const parts = folder.split('/');
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const full = this.#file(parts.slice(0, depth).join('/'));
      if ((await mkdir(full, { recursive: true, mode: 0o750 })) !== undefined) {
        await syncFolder(path.dirname(full));
      }
    }
    this.#madeFolders.add(folder);
  }

  #descriptor(name: string): number {
    const known = this.#descriptors.get(name);
    if (known !== undefined) return known;
    const descriptor = fs.openSync(this.#file(name), 'r');
    this.#descriptors.set(name, descriptor);
    return descriptor;
  }

  #hold(name: string): Disposable & { readonly descriptor: number } {
    const descriptor = this.#descriptor(name);
    this.#held.set(descriptor, (this.#held.get(descriptor) ?? 0) + 1);
    return { descriptor, [Symbol.dispose]: () => this.#letGo(name, descriptor) };
  }

  #letGo(name: string, descriptor: number): void {
    const others = (this.#held.get(descriptor) ?? 1) - 1;
    if (others > 0) {
      this.#held.set(descriptor, others);
      return;
    }
    this.#held.delete(descriptor);
    if (this.#descriptors.peek(name) !== descriptor) fs.closeSync(descriptor);
  }

  #file(name: string): string {
    return path.join(this.location, name);
  }

  #endsEarly(name: string, expected: number, found: number): RestoreError {
    return new RestoreError('CORRUPT', 'a stored object is shorter than it was', {
      where: { object: this.#file(name), expected: `${expected} bytes`, found: `${found} bytes` },
      hint: 'Run `rehydrate verify` to see which restore points need it.',
    });
  }
}

/** Resolves with the number of bytes read, which may be fewer than asked for. */
function read(
  descriptor: number,
  target: Uint8Array,
  from: number,
  position: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(descriptor, target, from, target.byteLength - from, position, (error, got) => {
      if (error === null) resolve(got);
      else reject(error);
    });
  });
}

class FileSink implements ObjectSink {
  readonly #handle: FileHandle;
  readonly #temporary: string;
  readonly #final: string;
  #position = 0;
  #open = true;

  constructor(handle: FileHandle, temporary: string, final: string) {
    this.#handle = handle;
    this.#temporary = temporary;
    this.#final = final;
  }

  async write(data: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < data.byteLength; ) {
        const left = data.byteLength - done;
        const { bytesWritten } = await this.#handle.write(data, done, left, this.#position);
        done += bytesWritten;
        this.#position += bytesWritten;
      }
    } catch (error) {
      throw asRestoreError(error, 'cannot write a stored object', { object: this.#final });
    }
  }

  async commit(): Promise<void> {
    if (await this.publish()) return;
    throw new RestoreError('EXISTS', 'an object of this name is already stored', {
      where: { object: this.#final },
    });
  }

  /** File first, then its name, then the folder: after a power cut it is whole or absent. */
  async publish(): Promise<boolean> {
    try {
      await this.#handle.sync();
      await link(this.#temporary, this.#final);
      await syncFolder(path.dirname(this.#final));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw asRestoreError(error, 'cannot publish a stored object', { object: this.#final });
    } finally {
      await this.abort();
    }
  }

  async abort(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#handle.close();
    await unlink(this.#temporary).catch(() => undefined);
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function safeHostName(): string {
  return hostname().replaceAll(/[^\w.-]/g, '_');
}

/** Process ids mean something within one namespace alone: containers may share a host name. */
function processNamespace(): string {
  try {
    return fs.readlinkSync('/proc/self/ns/pid').replaceAll(/\D/g, '');
  } catch {
    return '0';
  }
}

function isAlive(processId: number): boolean {
  if (!Number.isInteger(processId) || processId <= 0) return true;
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
