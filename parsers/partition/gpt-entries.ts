import { type BlockSource, layout } from '../../core/index.ts';
import { GUID_BYTES, type GptCopy, UNIQUE_GUID_AT } from './gpt.ts';
import type { PartitionRange } from './partition.ts';

/** UEFI 2.10, section 5.3.3, table 5.6. */
const Entry = {
  typeGuid: layout.bytes(0, GUID_BYTES),
  uniqueGuid: layout.bytes(UNIQUE_GUID_AT, GUID_BYTES),
  firstLba: layout.bits64le(32),
  lastLba: layout.bits64le(40),
  name: layout.text(56, 72, 'utf-16le'),
} as const;

export interface GptEntry extends PartitionRange {
  /** Byte offset in the array. */
  readonly entryAt: number;
  readonly typeGuid: Uint8Array;
  readonly uniqueGuid: Uint8Array;
  readonly name: string;
}

/** Entries in use, with their numbers from 1. */
export function* gptEntries(disk: BlockSource, copy: GptCopy): Generator<GptEntry> {
  const { array, arrayBytes, entryBytes } = copy;
  const view = layout.viewOf(array);
  for (let entryAt = 0; entryAt < arrayBytes; entryAt += entryBytes) {
    const typeGuid = Entry.typeGuid(view, entryAt);
    if (typeGuid.every((byte) => byte === 0)) continue;
    yield {
      number: entryAt / entryBytes + 1,
      entryAt,
      ...placeOf(disk, copy, Entry.firstLba(view, entryAt), Entry.lastLba(view, entryAt)),
      typeGuid,
      uniqueGuid: Entry.uniqueGuid(view, entryAt),
      name: Entry.name(view, entryAt),
    };
  }
}

/** 64-bit sector numbers may be anything: what no disk can hold has no length. */
function placeOf(
  disk: BlockSource,
  { sectorSize }: GptCopy,
  first: bigint,
  last: bigint,
): { offset: number; length: number; isInside: boolean } {
  const unit = BigInt(sectorSize);
  const end = (last + 1n) * unit;
  if (last < first || end > BigInt(Number.MAX_SAFE_INTEGER)) {
    const offset = first * unit;
    const isSafe = offset <= BigInt(Number.MAX_SAFE_INTEGER);
    return { offset: isSafe ? Number(offset) : 0, length: 0, isInside: false };
  }
  const offset = Number(first * unit);
  return { offset, length: Number(end) - offset, isInside: Number(end) <= disk.size };
}
