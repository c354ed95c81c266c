import { once } from 'node:events';
import { Readable } from 'node:stream';
import { ZipFile } from 'yazl';
import {
  isRestoreError,
  nameToBytes,
  RestoreError,
  type SparseSource,
} from '../../../core/index.ts';
import { showName, ZIP_NAMES_COMMENT, ZipNames } from '../../../vfs/index.ts';
import type { ArchiveRequest } from '../messages.ts';
import type { InspectContext } from '../session.ts';
import { type Below, belowInArchive, portableTarget } from './below.ts';
import { eachAddress } from './each-address.ts';
import { CutOff, readAhead, verify } from './member-content.ts';
import { forgetMembers } from './zip-members.ts';

const CHUNK_BYTES = 1024 * 1024;
/** A zip's times are 32 bits with a sign, and none is before 1970. */
const SECONDS_MAX = 0x7fff_ffff;
const TYPE_FILE = 0o100000;
const TYPE_DIRECTORY = 0o040000;
const TYPE_LINK = 0o120000;

/** `zip`: what addresses name, as one archive on the output. */
export async function zip(context: InspectContext, request: ArchiveRequest): Promise<void> {
  const archive = new ZipFile();
  forgetMembers(archive);
  const adding = addAll(archive, context, request).catch((error: unknown) => {
    // Ends the writing too, and with this error.
    archive.outputStream.emit('error', error);
    throw error;
  });
  const writing = writeOut(archive, context);
  try {
    // A reader that has gone leaves the adding where it is: nobody takes more of it.
    await Promise.all([writing, adding]);
  } catch (error) {
    await writing.catch(() => undefined);
    throw error;
  }
}

async function addAll(
  archive: ZipFile,
  context: InspectContext,
  request: ArchiveRequest,
): Promise<void> {
  const writer = new ZipWriter(context, request, archive);
  await eachAddress(context, request.addresses, true, async (address) => {
    for await (const found of belowInArchive(context, address, request.addresses.length === 1)) {
      await writer.add(found.path, found);
    }
  });
  writer.finish();
}

async function writeOut(archive: ZipFile, { output }: InspectContext): Promise<void> {
  for await (const chunk of archive.outputStream) {
    output.writeBytes(chunk as Uint8Array);
    // Signs of life, and the parent's wish to end this, must get through.
    await new Promise(setImmediate);
  }
}

class ZipWriter {
  readonly #context: InspectContext;
  readonly #request: ArchiveRequest;
  readonly #archive: ZipFile;
  readonly #names = new ZipNames();
  #leftOut = 0;

  constructor(context: InspectContext, request: ArchiveRequest, archive: ZipFile) {
    this.#context = context;
    this.#request = request;
    this.#archive = archive;
  }

  /** Adds one; what cannot be read is told and left out. @throws RestoreError when the archive ends here. */
  async add(path: readonly string[], found: Below): Promise<void> {
    try {
      await this.#add(path, found);
    } catch (error) {
      if (!isRestoreError(error) || error instanceof CutOff) throw error;
      this.#context.remarks.fail(error, showName(found.place.path));
    }
  }

  finish(): void {
    if (this.#leftOut > 0) {
      this.#context.remarks.warn(`${this.#leftOut} device nodes, fifos and sockets left out`);
    }
    this.#archive.end({ comment: ZIP_NAMES_COMMENT, forceZip64Format: false });
  }

  async #add(path: readonly string[], { place, attributes }: Below): Promise<void> {
    const { kind, modified, mode } = attributes;
    const mtime = new Date(Math.min(Math.max(modified.seconds, 0), SECONDS_MAX) * 1000);
    if (kind === 'directory') {
      if (path.length === 0) return;
      const options = { mtime, mode: TYPE_DIRECTORY | ((mode ?? 0o755) & 0o777) };
      this.#archive.addEmptyDirectory(this.#names.pathOf(path, true), options);
      return;
    }
    if (kind === 'symlink') {
      const target = Buffer.from(nameToBytes(await portableTarget(place)));
      const options = { mtime, mode: TYPE_LINK | 0o777, compress: false };
      this.#archive.addBuffer(target, this.#names.pathOf(path, false), options);
      return;
    }
    if (kind !== 'file') {
      this.#leftOut += 1;
      return;
    }
    const content = await place.volume.fileSystem.open(place.node);
    const options = { mtime, mode: TYPE_FILE | ((mode ?? 0o644) & 0o777) };
    await this.#file(content, path, options);
  }

  async #file(
    content: SparseSource,
    path: readonly string[],
    options: { mtime: Date; mode: number },
  ): Promise<void> {
    try {
      const whole = [{ offset: 0, length: content.size }];
      const held = await readAhead(content, content.size === 0 ? [] : whole);
      if (held !== undefined) {
        await this.#stream(
          Readable.from(held),
          held.length === 0 ? 0 : content.size,
          path,
          options,
        );
        return;
      }
      if (this.#request.skipDamaged) {
        await verify(content, await Array.fromAsync(content.extents(0, content.size)));
      }
      await this.#stream(Readable.from(chunksOf(content, path)), content.size, path, options);
    } finally {
      await content.close();
    }
  }

  /** One at a time: the next is not read before this one is in the archive. */
  async #stream(
    stream: Readable,
    size: number,
    path: readonly string[],
    options: { mtime: Date; mode: number },
  ): Promise<void> {
    const ended = once(stream, 'end');
    const name = this.#names.pathOf(path, false);
    this.#archive.addReadStreamLazy(name, { ...options, size }, (give) => give(null, stream));
    await ended;
  }
}

/** The content, holes as zeros. */
async function* chunksOf(
  content: SparseSource,
  path: readonly string[],
): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.size; at += CHUNK_BYTES) {
    const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, content.size - at));
    try {
      await content.readInto(chunk, at);
    } catch (error) {
      if (!(error instanceof RestoreError)) throw error;
      throw new CutOff(error, path.join('/'), at);
    }
    yield chunk;
  }
}
