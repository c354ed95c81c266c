import {
  type Extent,
  isRestoreError,
  type RestoreError,
  type SparseSource,
} from '../../../core/index.ts';
import { encodeMember, showName, type TarMember, tarEnd } from '../../../vfs/index.ts';
import type { ArchiveRequest } from '../messages.ts';
import type { InspectContext } from '../session.ts';
import { type Below, belowInArchive, linkKey, portableTarget } from './below.ts';
import { eachAddress } from './each-address.ts';
import { CutOff, readAhead, verify } from './member-content.ts';
import { piecesOf } from './pieces.ts';

const LINKED_MAX = 500_000;
const MODE_DEFAULT = { directory: 0o755, other: 0o644 } as const;

/** `tar`: what addresses name, as one archive on the output. */
export async function tar(context: InspectContext, request: ArchiveRequest): Promise<void> {
  const writer = new TarWriter(context, request);
  await eachAddress(context, request.addresses, true, async (address) => {
    for await (const found of belowInArchive(context, address, request.addresses.length === 1)) {
      await writer.add(['.', ...found.path].join('/'), found);
    }
  });
  writer.end();
}

class TarWriter {
  readonly #context: InspectContext;
  readonly #request: ArchiveRequest;
  /** First member of a file with several names. */
  readonly #linked = new Map<string, string>();
  #writtenBytes = 0;

  constructor(context: InspectContext, request: ArchiveRequest) {
    this.#context = context;
    this.#request = request;
  }

  /** Adds one; what cannot be read is told and left out. @throws RestoreError when the archive ends here. */
  async add(path: string, found: Below): Promise<void> {
    try {
      const member = await this.#member(path, found);
      if (member.kind === 'file') await this.#file(member, found);
      else this.#write(encodeMember(member).head);
    } catch (error) {
      if (!isRestoreError(error) || error instanceof CutOff) throw error;
      this.#context.remarks.fail(error, showName(found.place.path));
    }
  }

  end(): void {
    this.#write(tarEnd(this.#writtenBytes));
  }

  async #member(path: string, found: Below): Promise<TarMember> {
    const { place, attributes } = found;
    const { kind, size, mode, uid = 0, gid = 0, modified, device } = attributes;
    const known = this.#linked.get(linkKey(found) ?? '');
    const { fileSystem } = place.volume;
    const target = kind === 'symlink' ? await portableTarget(place) : known;
    return {
      path,
      kind: known === undefined ? kind : 'hard-link',
      size: kind === 'file' ? size : 0,
      mode: mode ?? (kind === 'directory' ? MODE_DEFAULT.directory : MODE_DEFAULT.other),
      uid,
      gid,
      modified,
      ...(target === undefined ? {} : { target }),
      ...(device === undefined ? {} : { device }),
      ...(this.#request.acls ? { xattrs: await fileSystem.xattrs(place.node) } : {}),
    };
  }

  async #file(member: TarMember, found: Below): Promise<void> {
    const { place } = found;
    const content = await place.volume.fileSystem.open(place.node);
    try {
      const data = await Array.fromAsync(content.extents(0, content.size));
      const held = await readAhead(content, data);
      if (held === undefined && this.#request.skipDamaged) await verify(content, data);
      const encoded = encodeMember({ ...member, data });
      this.#write(encoded.head);
      if (held !== undefined) for (const part of held) this.#write(part);
      else await this.#stream(content, encoded.data, member.path);
      this.#write(new Uint8Array(encoded.paddingBytes));
    } finally {
      await content.close();
    }
    const key = linkKey(found);
    if (key !== undefined && this.#linked.size < LINKED_MAX) this.#linked.set(key, member.path);
  }

  async #stream(content: SparseSource, data: readonly Extent[], path: string): Promise<void> {
    const failed = (cause: RestoreError, at: number): CutOff => new CutOff(cause, path, at);
    for await (const { bytes } of piecesOf(content, data, { failed })) this.#write(bytes);
  }

  #write(bytes: Uint8Array): void {
    this.#context.output.writeBytes(bytes);
    this.#writtenBytes += bytes.byteLength;
  }
}
