import {
  asRestoreError,
  type Attributes,
  type FileSystem,
  isRestoreError,
  type NodeId,
  RestoreError,
  toPlainError,
} from '../../../core/index.ts';
import { type Place, showName, type TreeEntry, walk } from '../../../vfs/index.ts';
import type { CopyEntry } from '../copy/decode-frames.ts';
import {
  DATA_BYTES_MAX,
  encodeDataHead,
  encodeEnd,
  encodeEntry,
  encodeDone,
} from '../copy/frames.ts';
import type { CopyRequest } from '../messages.ts';
import type { InspectContext, OpenAddress } from '../session.ts';
import { eachAddress } from './each-address.ts';

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
    const { tree, place } = this.#address;
    const attributes = await place.volume.fileSystem.stat(place.node);
    if (attributes.kind === 'directory') {
      await this.#one(place, [], attributes);
      if (!this.#request.recursive) return;
      const base = place.path === '/' ? 0 : place.path.length;
      for await (const step of walk(tree, place, { attributes: true, sorted: true })) {
        const { directory, entries, error } = step;
        if (error !== undefined) this.#context.remarks.fail(error, showName(directory.path));
        if (!step.isEntered) continue;
        const path = directory.path.slice(base).split('/').filter(Boolean);
        for (const entry of entries) await this.#entry(directory, path, entry);
      }
    } else {
      const name = place.path.slice(place.path.lastIndexOf('/') + 1);
      await this.#one(place, [name], attributes);
    }
    if (this.#streamsLeft > 0) {
      const count = `${this.#streamsLeft} named ${this.#streamsLeft === 1 ? 'stream' : 'streams'}`;
      this.#context.remarks.warn(
        `${count} not copied; --streams keeps them as user.NAME attributes`,
      );
    }
  }

  async #entry(directory: Place, path: readonly string[], entry: TreeEntry): Promise<void> {
    const { name, node, attributes, error, mount } = entry;
    const shown = `${showName(directory.path)}/${showName(name)}`;
    const inner = [...path, name];
    if (error !== undefined || attributes === undefined) {
      const reason = error ?? new RestoreError('CORRUPT', 'its attributes cannot be read');
      this.#context.remarks.fail(reason, shown);
      return;
    }
    const { volume } = mount === undefined ? directory : { volume: await mount.open() };
    const place = {
      path: `${directory.path}/${name}`,
      volume,
      node: mount === undefined ? node : volume.fileSystem.root,
    };
    await this.#one(place, inner, attributes);
  }

  /** Hands one over. What cannot be read of it is told, and nothing of it is left. */
  async #one(place: Place, path: readonly string[], attributes: Attributes): Promise<void> {
    const { output, remarks } = this.#context;
    try {
      const entry = await this.#describe(place, path, attributes);
      output.writeBytes(encodeEntry(entry));
      if (entry.kind !== 'file' || entry.sameAs !== undefined) return;
    } catch (error) {
      remarks.fail(asRestoreError(error, 'cannot read it'), showName(place.path));
      return;
    }
    await this.#content(place, path, attributes);
  }

  async #content(place: Place, path: readonly string[], attributes: Attributes): Promise<void> {
    const { output, remarks } = this.#context;
    try {
      await this.#sendData(place.volume.fileSystem, place.node);
    } catch (error) {
      // The reader of the output is gone, or the call was ended: nothing more to say.
      if (!(isRestoreError(error) || error instanceof RangeError)) throw error;
      const reason = asRestoreError(error, 'cannot read it');
      output.writeBytes(encodeEnd(toPlainError(reason)));
      remarks.fail(reason, showName(place.path));
      return;
    }
    output.writeBytes(encodeEnd());
    const key = linkKey(place, attributes);
    if (key !== undefined && this.#linked.size < LINKED_MAX) this.#linked.set(key, path);
  }

  async #sendData(fileSystem: FileSystem, node: NodeId): Promise<void> {
    const { output } = this.#context;
    const content = await fileSystem.open(node);
    try {
      for await (const { offset, length } of content.extents(0, content.size)) {
        for (let at = offset; at < offset + length; at += DATA_BYTES_MAX) {
          const chunk = new Uint8Array(Math.min(DATA_BYTES_MAX, offset + length - at));
          await content.readInto(chunk, at);
          output.writeBytes(encodeDataHead(at, chunk.byteLength));
          output.writeBytes(chunk);
          // Signs of life, and the parent's wish to end this, must get through.
          if (chunk.byteLength === DATA_BYTES_MAX) await new Promise(setImmediate);
        }
      }
    } finally {
      await content.close();
    }
  }

  async #describe(
    place: Place,
    path: readonly string[],
    attributes: Attributes,
  ): Promise<CopyEntry> {
    const { fileSystem } = place.volume;
    const { kind, size, modified, accessed, mode, uid, gid, device } = attributes;
    const known = this.#linked.get(linkKey(place, attributes) ?? '');
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
      ...(kind === 'symlink' ? { target: await targetOf(fileSystem, place.node) } : {}),
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

/** Names the file among those with several names; the others need no remembering. */
function linkKey({ volume }: Place, { kind, links, fileNumber }: Attributes): string | undefined {
  return kind === 'file' && links > 1 ? `${volume.id}\n${fileNumber}` : undefined;
}

/** A relative Windows target works anywhere once its slashes lean the other way. */
async function targetOf(fileSystem: FileSystem, node: NodeId): Promise<string> {
  const { target, style } = await fileSystem.readLink(node);
  const isRelative = !/^([A-Za-z]:|\\)/.test(target);
  return style === 'windows' && isRelative ? target.replaceAll('\\', '/') : target;
}
