/** Names, sizes and magic numbers of repository format 1 (`docs/formats/repository.md`). */
import { RestoreError } from '../../core/index.ts';

export const FORMAT_VERSION = 1;
export const REPOSITORY_OBJECT = 'repository.json';
export const COMMITS_PREFIX = 'commits';
export const POINTS_PREFIX = 'points';
export const PACKS_PREFIX = 'packs';
export const CLAIMS_PREFIX = 'claims';

/** Bytes of a block id: SHA-256, or HMAC-SHA-256 in an encrypted repository. */
export const ID_BYTES = 32;
export const PACK_ID_BYTES = 16;
/** Blocks a leaf page describes, and children an inner page has. */
export const FANOUT = 256;
/** Bytes of one entry in a page. */
export const ENTRY_BYTES = 44;

export const BLOCK_SIZE_MIN: number = 16 * 1024;
export const BLOCK_SIZE_MAX: number = 1024 * 1024;
export const BLOCK_SIZE_DEFAULT: number = 64 * 1024;

/** How a block's bytes are stored; the low four bits of an entry's flags. */
export const CODECS = { raw: 0, zstd: 1, lz4: 2 } as const;
export type Codec = keyof typeof CODECS;
export const CODEC_MASK = 0x0f;
/** The block, or the whole subtree, is zeros and is not stored. */
export const FLAG_ZERO = 0x80;

/** Where a stored block or page lies, and what it must turn out to be. */
export interface BlockReference {
  /** {@link ID_BYTES} bytes. */
  readonly id: Uint8Array;
  /** Pack id in hexadecimal. */
  readonly pack: string;
  /** Byte offset of the record in the pack. */
  readonly offset: number;
  /** Stored payload bytes, without the seal. */
  readonly length: number;
  readonly flags: number;
  /** The id as a map key; made when first asked for, see {@link keyOf}. */
  key?: string;
}

/** The id of a block as a map key. */
export function keyOf(reference: BlockReference): string {
  reference.key ??= idKey(reference.id);
  return reference.key;
}

export function idKey(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1');
}

/** @throws RestoreError `INVALID` unless `id` is a pack id in hexadecimal. */
export function packObject(id: string): string {
  if (!/^[0-9a-f]{32}$/.test(id)) {
    throw new RestoreError('INVALID', 'not a pack id', { where: { found: id } });
  }
  return `${PACKS_PREFIX}/${id.slice(-2)}/${id}`;
}

export function pointObject(id: string): string {
  return `${POINTS_PREFIX}/${id.slice(0, 2)}/${id}`;
}

/** Commit numbers are padded so that names sort as numbers do. */
export function commitObject(number: number): string {
  return `${COMMITS_PREFIX}/${String(number).padStart(12, '0')}`;
}

/** Levels of the page tree of a disk: 1 is a lone leaf. */
export function treeLevels(sizeBytes: number, blockSize: number): number {
  let levels = 1;
  for (let covered = blockSize * FANOUT; covered < sizeBytes; covered *= FANOUT) levels += 1;
  return levels;
}

export function isZeroEntry(flags: number): boolean {
  return (flags & FLAG_ZERO) !== 0;
}

/** The most that a page decodes to. */
export const PAGE_BYTES_MAX: number = 16 + FANOUT * (PACK_ID_BYTES + ENTRY_BYTES);
