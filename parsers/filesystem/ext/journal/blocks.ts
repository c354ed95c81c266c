import { layout, RestoreError } from '../../../../core/index.ts';
import { BLOCK_TAIL_BYTES } from './checksums.ts';
import { BLOCK_HEADER_BYTES, type JournalFormat, tagBytesOf } from './format.ts';

/** "Descriptor Block", tag flags. */
const TAG_FLAG = { escaped: 0x1, sameUuid: 0x2, last: 0x8 } as const;
const UUID_BYTES = 16;

/** A tag's fields; those of version 3 are wider, its flags end at the same place. */
const Tag = {
  t_blocknr: layout.u32be(0x0),
  t_checksum: layout.u16be(0x4),
  t_flags: layout.u16be(0x6),
  t_blocknr_high: layout.u32be(0x8),
  t_checksum_v3: layout.u32be(0xc),
} as const;

/** What a tag says of one block that follows its descriptor in the log. */
export interface Tagged {
  /** The block of the volume that it is to replace. May be any number at all. */
  readonly block: number;
  /** Its first four bytes were the journal's magic and are zeros in the log. */
  readonly escaped: boolean;
  readonly sum: number;
}

/** The tags of a descriptor block, in the order of the blocks behind it. */
export function tagsOf(format: JournalFormat, block: Uint8Array): Tagged[] {
  const view = layout.viewOf(block);
  const tagBytes = tagBytesOf(format);
  const end = format.blockSize - (format.checksums >= 2 ? BLOCK_TAIL_BYTES : 0);
  const tags: Tagged[] = [];
  for (let at = BLOCK_HEADER_BYTES; at + tagBytes <= end; ) {
    const flags = Tag.t_flags(view, at);
    const high = format.wide ? Tag.t_blocknr_high(view, at) : 0;
    tags.push({
      block: high * 2 ** 32 + Tag.t_blocknr(view, at),
      escaped: (flags & TAG_FLAG.escaped) !== 0,
      sum: format.checksums === 3 ? Tag.t_checksum_v3(view, at) : Tag.t_checksum(view, at),
    });
    if ((flags & TAG_FLAG.last) !== 0) break;
    at += tagBytes + ((flags & TAG_FLAG.sameUuid) === 0 ? UUID_BYTES : 0);
  }
  return tags;
}

/** "Revocation Block". */
const RevokeBlock = { r_count: layout.u32be(0xc) } as const;
const REVOKE_HEADER_BYTES = 16;
const narrowRecord = layout.u32be(0);
const wideRecord = layout.bits64be(0);

/**
 * The blocks that a revocation block names.
 *
 * @throws RestoreError `CORRUPT` when it claims to hold more than fits.
 */
export function revokedBlocksOf(format: JournalFormat, block: Uint8Array): number[] {
  const view = layout.viewOf(block);
  const used = RevokeBlock.r_count(view);
  const room = format.blockSize - (format.checksums >= 2 ? BLOCK_TAIL_BYTES : 0);
  if (used > room) {
    throw new RestoreError('CORRUPT', 'a list of revoked blocks is damaged', {
      where: { structure: 'r_count', expected: `at most ${room}`, found: used },
    });
  }
  const recordBytes = format.wide ? 8 : 4;
  const blocks: number[] = [];
  for (let at = REVOKE_HEADER_BYTES; at + recordBytes <= used; at += recordBytes) {
    // A number beyond 2^53 names no block that any volume has: losing its low bits is no matter.
    blocks.push(format.wide ? Number(wideRecord(view, at)) : narrowRecord(view, at));
  }
  return blocks;
}
