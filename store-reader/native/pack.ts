import { hash } from 'node:crypto';
import { layout, RestoreError } from '../../core/index.ts';
import type { Backend } from '../backends/backend.ts';
import { type BlockReference, ID_BYTES, PACK_ID_BYTES, packObject } from './format.ts';

const MAGIC = Buffer.from('RHPACK01');
const END_MAGIC = Buffer.from('RHPKEND1');
/** Records start here. */
export const PACK_HEADER_BYTES = 64;
const DIRECTORY_ENTRY_BYTES = 48;
const TRAILER_BYTES = 48;
/** Offsets are 32 bits, and a pack is read whole by `verify`. */
const PACK_BYTES_MAX: number = 1024 * 1024 * 1024;

const PACK_KINDS = { data: 1, index: 2 } as const;
export type PackKind = keyof typeof PACK_KINDS;

const Trailer = {
  directoryOffset: layout.u32le(0),
  count: layout.u32le(4),
  sha256: layout.bytes(8, 32),
  magic: layout.bytes(40, 8),
} as const;

const DirectoryEntry = {
  id: layout.bytes(0, ID_BYTES),
  offset: layout.u32le(32),
  length: layout.u32le(36),
  plainBytes: layout.u32le(40),
  flags: layout.u8(44),
} as const;

/** One record of a pack as its directory shows it. */
export interface PackRecord {
  readonly reference: BlockReference;
  /** Length before compression, in bytes. */
  readonly plainBytes: number;
}

export function packHeader(pack: string, repositoryId: string, kind: PackKind): Uint8Array {
  const header = Buffer.alloc(PACK_HEADER_BYTES);
  MAGIC.copy(header);
  header.write(repositoryId, 8, 'hex');
  header.write(pack, 24, 'hex');
  header[40] = PACK_KINDS[kind];
  return header;
}

/** Directory and trailer, which close a pack whose records end at `directoryOffset`. */
export function packFooter(records: readonly PackRecord[], directoryOffset: number): Uint8Array {
  const directory = Buffer.alloc(records.length * DIRECTORY_ENTRY_BYTES);
  records.forEach(({ reference, plainBytes }, index) => {
    const at = index * DIRECTORY_ENTRY_BYTES;
    directory.set(reference.id, at);
    directory.writeUInt32LE(reference.offset, at + 32);
    directory.writeUInt32LE(reference.length, at + 36);
    directory.writeUInt32LE(plainBytes, at + 40);
    directory[at + 44] = reference.flags;
  });
  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.writeUInt32LE(directoryOffset, 0);
  trailer.writeUInt32LE(records.length, 4);
  trailer.set(hash('sha256', directory, 'buffer'), 8);
  END_MAGIC.copy(trailer, 40);
  return Buffer.concat([directory, trailer]);
}

/**
 * The directory of a pack. Its entries are only claims until each record has been unsealed.
 *
 * @throws RestoreError `CORRUPT` when header, trailer or directory are damaged or another pack's,
 *   `NOT_FOUND` when the pack is missing.
 */
export async function readPackDirectory(
  backend: Backend,
  pack: string,
  repositoryId: string,
): Promise<PackRecord[]> {
  const object = packObject(pack);
  const size = await backend.sizeOf(object);
  if (size < PACK_HEADER_BYTES + TRAILER_BYTES || size > PACK_BYTES_MAX) {
    throw broken(object, 'size', `${PACK_HEADER_BYTES + TRAILER_BYTES}..${PACK_BYTES_MAX}`, size);
  }
  await checkHeader(backend, object, pack, repositoryId);
  const trailerAt = size - TRAILER_BYTES;
  const trailer = await readObject(backend, object, trailerAt, TRAILER_BYTES);
  const view = layout.viewOf(trailer);
  if (!END_MAGIC.equals(Trailer.magic(view))) {
    throw broken(object, 'trailer', END_MAGIC.toString(), 'other bytes');
  }
  const start = Trailer.directoryOffset(view);
  const count = Trailer.count(view);
  if (start < PACK_HEADER_BYTES || start + count * DIRECTORY_ENTRY_BYTES !== trailerAt) {
    throw broken(object, 'directory', `${count} entries up to ${trailerAt}`, `start ${start}`);
  }
  const directory = await readObject(backend, object, start, trailerAt - start);
  if (!hash('sha256', directory, 'buffer').equals(Trailer.sha256(view))) {
    throw broken(object, 'directory', 'its checksum', 'another');
  }
  return decodeDirectory(directory, pack, count);
}

async function checkHeader(
  backend: Backend,
  object: string,
  pack: string,
  repositoryId: string,
): Promise<void> {
  const header = Buffer.from(await readObject(backend, object, 0, PACK_HEADER_BYTES));
  if (!header.subarray(0, 8).equals(MAGIC)) {
    throw broken(object, 'header', MAGIC.toString(), 'other bytes');
  }
  const owner = header.subarray(8, 24).toString('hex');
  if (owner !== repositoryId) throw broken(object, 'header', `repository ${repositoryId}`, owner);
  const found = header.subarray(24, 24 + PACK_ID_BYTES).toString('hex');
  if (found !== pack) throw broken(object, 'header', `pack ${pack}`, `pack ${found}`);
}

function decodeDirectory(directory: Uint8Array, pack: string, count: number): PackRecord[] {
  const view = layout.viewOf(directory);
  return Array.from({ length: count }, (_, index) => {
    const at = index * DIRECTORY_ENTRY_BYTES;
    return {
      reference: {
        id: DirectoryEntry.id(view, at),
        pack,
        offset: DirectoryEntry.offset(view, at),
        length: DirectoryEntry.length(view, at),
        flags: DirectoryEntry.flags(view, at),
      },
      plainBytes: DirectoryEntry.plainBytes(view, at),
    };
  });
}

async function readObject(
  backend: Backend,
  object: string,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await backend.readInto(object, bytes, offset);
  return bytes;
}

function broken(
  object: string,
  structure: string,
  expected: string,
  found: string | number,
): RestoreError {
  return new RestoreError('CORRUPT', 'a pack is damaged', {
    where: { object, structure: `pack ${structure}`, expected, found },
    hint: 'Run `rehydrate verify` to see which restore points need it.',
  });
}
