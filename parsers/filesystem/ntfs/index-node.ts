import { layout } from '../../../core/index.ts';
import { corrupt } from './damage.ts';
import { nameText } from './file-name.ts';
import { recordNumber } from './file-record.ts';
import { undoFixups } from './fixups.ts';
import {
  FileName,
  INDEX_BLOCK_HEADER_AT,
  INDEX_ENTRY_HAS_CHILD,
  INDEX_ENTRY_IS_LAST,
  INDEX_ENTRY_KEY_AT,
  IndexBlock,
  IndexEntry,
  IndexHeader,
  MAGIC,
} from './layout.ts';

/** One name in a directory. */
export interface NameEntry {
  readonly number: number;
  readonly sequence: number;
  readonly name: string;
  /** One of `NAMESPACE`. */
  readonly namespace: number;
  /** Bits of `DOS_ATTRIBUTE`, as the directory has them. */
  readonly fileAttributes: number;
}

/** A node of a directory's B-tree. */
export interface IndexNode {
  readonly entries: readonly NameEntry[];
  /** The block with what comes before each entry, and last the one behind them all; or `NO_CHILD`. */
  readonly children: readonly number[];
}

export const NO_CHILD = -1;
const HEADER_BYTES = 16;
const ALIGNMENT_BYTES = 8;

/**
 * A block of `$INDEX_ALLOCATION`.
 *
 * @param bytes changed: its fixups are undone.
 * @param cluster where it is meant to be, in the index's own unit.
 * @throws RestoreError `CORRUPT` when it was torn, is another one, or an entry does not fit.
 */
export function parseIndexBlock(bytes: Uint8Array, cluster: number): IndexNode {
  const view = layout.viewOf(bytes);
  const magic = IndexBlock.magic(view);
  if (magic !== MAGIC.INDX) throw damaged(0, 'an index block', `0x${magic.toString(16)}`);
  const fault = undoFixups(view);
  if (fault !== undefined) throw damaged(0, 'a block written as a whole', fault);
  const found = IndexBlock.cluster(view);
  if (found !== cluster) throw damaged(0, `block ${cluster}`, found);
  return parseIndexNode(view, INDEX_BLOCK_HEADER_AT);
}

/** The entries behind the `INDEX_HEADER` at `headerAt`. */
export function parseIndexNode(view: DataView, headerAt: number): IndexNode {
  const end = headerAt + IndexHeader.usedBytes(view, headerAt);
  const entries: NameEntry[] = [];
  const children: number[] = [];
  let at = headerAt + IndexHeader.entriesAt(view, headerAt);
  if (end > view.byteLength) throw damaged(headerAt, `at most ${view.byteLength} bytes`, end);
  // Each entry takes 16 bytes at least, so this ends.
  for (;;) {
    if (at + HEADER_BYTES > end) throw damaged(at, `a last entry by ${end}`, 'none');
    const length = IndexEntry.length(view, at);
    const flags = IndexEntry.flags(view, at);
    const hasChild = (flags & INDEX_ENTRY_HAS_CHILD) !== 0;
    const bodyEnd = at + length - (hasChild ? 8 : 0);
    if (bodyEnd < at + HEADER_BYTES || at + length > end) {
      throw damaged(at, `an entry of at most ${end - at} bytes`, length);
    }
    checkLength(view, at, bodyEnd);
    children.push(hasChild ? childAt(view, bodyEnd) : NO_CHILD);
    if ((flags & INDEX_ENTRY_IS_LAST) !== 0) {
      if (at + length !== end) throw damaged(at, `the last entry to end at ${end}`, at + length);
      return { entries, children };
    }
    entries.push(readEntry(view, at, bodyEnd));
    at += length;
  }
}

/** An entry that is longer than its key would hide what a flipped flag says is not there: a child. */
function checkLength(view: DataView, at: number, bodyEnd: number): void {
  const isLast = (IndexEntry.flags(view, at) & INDEX_ENTRY_IS_LAST) !== 0;
  const bytes = HEADER_BYTES + (isLast ? 0 : IndexEntry.keyLength(view, at));
  const needed = Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  if (bodyEnd - at > needed) throw damaged(at, `an entry of ${needed} bytes`, bodyEnd - at);
}

function readEntry(view: DataView, at: number, end: number): NameEntry {
  const keyLength = IndexEntry.keyLength(view, at);
  const keyAt = at + INDEX_ENTRY_KEY_AT;
  if (keyAt + keyLength > end) throw damaged(at, `a key of at most ${end - keyAt}`, keyLength);
  return {
    number: recordNumber(IndexEntry.recordLow(view, at), IndexEntry.recordHigh(view, at)),
    sequence: IndexEntry.sequence(view, at),
    name: nameText(view, keyAt, keyLength),
    namespace: FileName.namespace(view, keyAt),
    fileAttributes: FileName.fileAttributes(view, keyAt),
  };
}

const childAt = layout.u64le(0);

function damaged(offset: number, expected: string, found: string | number): Error {
  return corrupt('a directory is damaged', { structure: '$I30 index', offset, expected, found });
}
