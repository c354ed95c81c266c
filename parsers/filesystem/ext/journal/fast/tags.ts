import { layout, RestoreError } from '../../../../../core/index.ts';
import { continueCrc32c } from '../../checksum.ts';
import type { JournalFile } from '../journal-file.ts';

/**
 * Fast commits: kernel documentation, filesystems/ext4, "Fast commits", and fs/ext4/fast_commit.h.
 * Little-endian, unlike the rest of the journal.
 */
export const FAST_TAG = {
  addRange: 1,
  deleteRange: 2,
  create: 3,
  link: 4,
  unlink: 5,
  inode: 6,
  padding: 7,
  tail: 8,
  head: 9,
} as const;

/** One change. */
export interface FastTag {
  readonly kind: number;
  readonly value: Uint8Array;
}

/** The changes up to the end of the last fast commit that is whole. */
export interface FastCommits {
  readonly tags: readonly FastTag[];
  readonly count: number;
  /** Why none, or no more, can be read, where the kernel would refuse the mount. */
  readonly lost: RestoreError | undefined;
}

const TagHeader = { fc_tag: layout.u16le(0), fc_len: layout.u16le(2) } as const;
const Tail = { fc_tid: layout.u32le(0), fc_crc: layout.u32le(4) } as const;
const Head = { fc_features: layout.u32le(0), fc_tid: layout.u32le(4) } as const;
const HEADER_BYTES = 4;
const TAIL_SUM_AT = 4;

/** What a value's length may be: `ext4_fc_value_len_isvalid`. */
const LENGTHS: Readonly<Record<number, { least: number; most: number }>> = {
  [FAST_TAG.addRange]: { least: 16, most: 16 },
  [FAST_TAG.deleteRange]: { least: 12, most: 12 },
  [FAST_TAG.create]: { least: 9, most: 8 + 255 },
  [FAST_TAG.link]: { least: 9, most: 8 + 255 },
  [FAST_TAG.unlink]: { least: 9, most: 8 + 255 },
  [FAST_TAG.inode]: { least: 4 + 128, most: 4 + 64 * 1024 },
  [FAST_TAG.padding]: { least: 0, most: 64 * 1024 },
  [FAST_TAG.tail]: { least: 8, most: 64 * 1024 },
  [FAST_TAG.head]: { least: 8, most: 8 },
};

/**
 * Reads the fast commits that follow the last whole transaction: the area counts only if it begins
 * with a head that names the transaction `sequence`, which is still to be committed, and up to its
 * last tail that names it too and whose sum holds (`ext4_fc_replay_scan`).
 *
 * @param area first block of the journal's part for fast commits, and the block behind it.
 */
export async function readFastCommits(
  file: JournalFile,
  area: { readonly first: number; readonly end: number },
  sequence: number,
): Promise<FastCommits> {
  const reader = new FastReader(sequence);
  for (let index = area.first; index < area.end; index += 1) {
    const block = await file.read(index);
    if (index === area.first && TagHeader.fc_tag(layout.viewOf(block)) !== FAST_TAG.head) break;
    if (!reader.readBlock(block)) break;
  }
  return reader.result();
}

class FastReader {
  readonly #sequence: number;
  readonly #tags: FastTag[] = [];
  /** How many of the tags belong to whole commits. */
  #whole = 0;
  #count = 0;
  #sum = 0;
  #lost: RestoreError | undefined;

  constructor(sequence: number) {
    this.#sequence = sequence;
  }

  result(): FastCommits {
    return { tags: this.#tags.slice(0, this.#whole), count: this.#count, lost: this.#lost };
  }

  /** @returns whether the next block is to be read too. */
  readBlock(block: Uint8Array): boolean {
    const view = layout.viewOf(block);
    for (let at = 0; at + HEADER_BYTES <= block.byteLength; ) {
      const kind = TagHeader.fc_tag(view, at);
      const length = TagHeader.fc_len(view, at);
      const end = at + HEADER_BYTES + length;
      const allowed = LENGTHS[kind];
      if (allowed === undefined || length < allowed.least || length > allowed.most) {
        return this.#stop(`tag ${kind} of ${length} bytes`);
      }
      if (end > block.byteLength) return this.#stop(`tag ${kind} over the end of its block`);
      if (!this.#read({ kind, value: block.subarray(at + HEADER_BYTES, end) }, block, at)) {
        return false;
      }
      at = end;
    }
    return true;
  }

  #read(tag: FastTag, block: Uint8Array, at: number): boolean {
    if (tag.kind === FAST_TAG.head && !this.#isOurHead(tag.value)) return false;
    this.#tags.push(tag);
    const summed = tag.kind === FAST_TAG.tail ? TAIL_SUM_AT : tag.value.byteLength;
    this.#sum = continueCrc32c(this.#sum, block.subarray(at, at + HEADER_BYTES + summed));
    return tag.kind !== FAST_TAG.tail || this.#endCommit(tag.value);
  }

  #isOurHead(value: Uint8Array): boolean {
    const view = layout.viewOf(value);
    const features = Head.fc_features(view);
    if (features === 0) return Head.fc_tid(view) === this.#sequence;
    this.#lost ??= new RestoreError('UNSUPPORTED', 'the fast commits use what is not read', {
      where: { structure: 'fc_features', found: `0x${features.toString(16)}` },
    });
    return false;
  }

  #endCommit(value: Uint8Array): boolean {
    const view = layout.viewOf(value);
    if (Tail.fc_tid(view) !== this.#sequence || Tail.fc_crc(view) !== this.#sum) {
      return this.#stop('a tail whose checksum or transaction is another');
    }
    this.#sum = 0;
    this.#whole = this.#tags.length;
    this.#count += 1;
    return true;
  }

  /** Behind a whole commit that is where the commits end; before any, they are damaged. */
  #stop(found: string): false {
    if (this.#count === 0) {
      this.#lost ??= new RestoreError('CORRUPT', 'the fast commits of the journal are damaged', {
        where: { structure: 'fast commit', found },
      });
    }
    return false;
  }
}
