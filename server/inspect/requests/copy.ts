import {
  type Attributes,
  type FileSystem,
  isRestoreError,
  type NodeId,
  RestoreError,
  toPlainError,
} from '../../../core/index.ts';
import { type Place, showName } from '../../../vfs/index.ts';
import type { CopyEntry } from '../copy/decode-frames.ts';
import {
  DATA_BYTES_MAX,
  encodeDataHead,
  encodeDone,
  encodeEnd,
  encodeEntry,
} from '../copy/frames.ts';
import type { CopyRequest } from '../messages.ts';
import type { InspectContext, OpenAddress } from '../session.ts';
import { type Below, below, linkKey, portableTarget } from './below.ts';
import { eachAddress } from './each-address.ts';
import { piecesOf } from './pieces.ts';

/** Files with several names that are remembered, so that the copies are one file too. */
const LINKED_MAX = 500_000;
const XATTR_BYTES_MAX = 64 * 1024;

/** `cp`: what an address names, as frames for the process that writes. */
export async function copy(context: InspectContext, request: CopyRequest): Promise<void> {
  try {
    await eachAddress(context, request.addresses, true, async (address) => {
      await new Copying(context, request, address).run();
    });
  } finally {
    context.output.writeBytes(encodeDone());
  }
}

class Copying {
  readonly #context: InspectContext;
  readonly #request: CopyRequest;
  readonly #address: OpenAddress;
  /** First path of a file with several names, by volume and file number. */
  readonly #linked = new Map<string, readonly string[]>();
  #streamsLeft = 0;

  constructor(context: InspectContext, request: CopyRequest, address: OpenAddress) {
    this.#context = context;
    this.#request = request;
    this.#address = address;
  }

  async run(): Promise<void> {
    if (!this.#request.recursive) await this.#refuseDirectory();
    for await (const found of below(this.#context, this.#address, this.#request.recursive)) {
      await this.#one(found);
    }
    if (this.#streamsLeft === 0) return;
    const count = `${this.#streamsLeft} named ${this.#streamsLeft === 1 ? 'stream' : 'streams'}`;
    this.#context.remarks.warn(`${count} not copied; --streams keeps them as user.NAME attributes`);
  }

  async #refuseDirectory(): Promise<void> {
    const { volume, node, path } = this.#address.place;
    const { kind } = await volume.fileSystem.stat(node);
    if (kind !== 'directory') return;
    throw new RestoreError('INVALID', `${showName(path)} is a directory`, {
      hint: 'Copy it with all that is in it: cp -r.',
    });
  }

  /** Hands one over. What cannot be read of it is told, and nothing of it is left. */
  async #one(found: Below): Promise<void> {
    const { output, remarks } = this.#context;
    try {
      const entry = await this.#describe(found);
      output.writeBytes(encodeEntry(entry));
      if (entry.kind !== 'file' || entry.sameAs !== undefined) return;
    } catch (error) {
      if (!isRestoreError(error)) throw error;
      remarks.fail(error, showName(found.place.path));
      return;
    }
    await this.#content(found);
  }

  async #content(found: Below): Promise<void> {
    const { output, remarks } = this.#context;
    const { place, path } = found;
    try {
      await this.#sendData(place.volume.fileSystem, place.node);
    } catch (error) {
      if (!isRestoreError(error)) throw error;
      output.writeBytes(encodeEnd(toPlainError(error)));
      remarks.fail(error, showName(place.path));
      return;
    }
    output.writeBytes(encodeEnd());
    const key = linkKey(found);
    if (key !== undefined && this.#linked.size < LINKED_MAX) this.#linked.set(key, path);
  }

  async #sendData(fileSystem: FileSystem, node: NodeId): Promise<void> {
    const { output } = this.#context;
    const content = await fileSystem.open(node);
    try {
      const stretches = content.extents(0, content.size);
      const pieces = piecesOf(content, stretches, { pieceBytes: DATA_BYTES_MAX });
      for await (const { at, bytes } of pieces) {
        output.writeBytes(encodeDataHead(at, bytes.byteLength));
        output.writeBytes(bytes);
      }
    } finally {
      await content.close();
    }
  }

  async #describe(found: Below): Promise<CopyEntry> {
    const { place, path, attributes } = found;
    const { kind, size, modified, accessed, mode, uid, gid, device } = attributes;
    const known = this.#linked.get(linkKey(found) ?? '');
    const xattrs = await this.#xattrs(place, kind);
    return {
      path: [...path],
      kind,
      size,
      modified,
      ...(accessed === undefined ? {} : { accessed }),
      ...(mode === undefined ? {} : { mode }),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
      ...(device === undefined ? {} : { device }),
      ...(kind === 'symlink' ? { target: await portableTarget(place) } : {}),
      ...(known === undefined ? {} : { sameAs: [...known] }),
      ...(xattrs.length === 0 ? {} : { xattrs }),
    };
  }

  async #xattrs(
    { volume, node, path }: Place,
    kind: Attributes['kind'],
  ): Promise<[name: string, base64: string][]> {
    const { fileSystem } = volume;
    const { acls, streams: withStreams } = this.#request;
    const found: [string, string][] = [];
    if (acls) {
      for (const { name, value } of await fileSystem.xattrs(node)) {
        found.push([name, Buffer.from(value).toString('base64')]);
      }
    }
    if (kind !== 'file' && kind !== 'directory') return found;
    const streams = await fileSystem.streams(node);
    if (!withStreams) this.#streamsLeft += streams.length;
    else {
      for (const { name, size } of streams) {
        if (size > XATTR_BYTES_MAX) {
          const error = new RestoreError(
            'UNSUPPORTED',
            'a named stream is too large to be kept as an attribute',
            {
              where: {
                object: showName(name),
                expected: `at most ${XATTR_BYTES_MAX} bytes`,
                found: size,
              },
              hint: 'Read it with `rehydrate cat --stream`.',
            },
          );
          this.#context.remarks.fail(error, showName(path));
          continue;
        }
        const value = Buffer.alloc(size);
        const content = await fileSystem.open(node, name);
        await content.readInto(value, 0);
        await content.close();
        found.push([`user.${name}`, value.toString('base64')]);
      }
    }
    return found;
  }
}
