import { layout, readBytes } from '../../../core/index.ts';
import { corrupt, unsupported } from '../checks.ts';
import type { ImageFile } from '../image.ts';
import { checksumIsRight } from './checksum.ts';
import type { VhdxHeader } from './header.ts';
import {
  hasSignature,
  LOG_DATA,
  LOG_DESCRIPTOR_BYTES,
  LOG_HEADER_BYTES,
  LOG_SECTOR_BYTES,
  LOG_SECTOR_SIGNATURE,
  LOG_SIGNATURE,
  LOG_ZERO,
  LogDescriptor,
  LogEntry,
  LogSector,
} from './layout.ts';
import { Patches, PatchedSource } from './patches.ts';

/** Writers keep logs of one to some MiB; all of it is held in memory while it is replayed. */
const LOG_LIMIT_BYTES = 128 * 1024 * 1024;

interface Entry {
  readonly at: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly length: number;
  readonly sequenceNumber: number;
  readonly tail: number;
}

/**
 * The file as it is once its log has been replayed. Nothing is written: what the log changes is laid
 * over the file in memory.
 *
 * @see [MS-VHDX] sections 2.3.2 "Log Sequence" and 2.3.3 "Log Replay"
 * @throws RestoreError `CORRUPT` when the header asks for a replay and the log has no sound sequence.
 */
export async function replayLog(
  file: ImageFile,
  log: NonNullable<VhdxHeader['log']>,
): Promise<ImageFile> {
  if (log.length > LOG_LIMIT_BYTES) {
    throw unsupported(file, 'the log is too large to be replayed here', {
      structure: 'header field LogLength',
      expected: `at most ${LOG_LIMIT_BYTES} bytes`,
      found: `${log.length} bytes`,
      hint: 'Attach the disk once in Hyper-V, which replays the log.',
    });
  }
  const ring = await readBytes(file.source, log.at, log.length);
  const sequence = activeSequence(ring, log.guid);
  const last = sequence.at(-1);
  if (last === undefined) {
    throw corrupt(file, 'the log must be replayed but holds no sound sequence of entries', {
      structure: 'log',
      offset: log.at,
      expected: `entries of log ${log.guid}`,
      found: 'none',
    });
  }
  const flushedTo = LogEntry.flushedFileOffset(last.view);
  if (file.source.size < flushedTo) {
    throw corrupt(file, 'the image is truncated', {
      structure: 'log entry field FlushedFileOffset',
      expected: `a file of at least ${flushedTo} bytes`,
      found: `${file.source.size} bytes`,
    });
  }
  const patches = new Patches();
  for (const entry of sequence) applyEntry(file, entry, patches);
  const size = Math.max(file.source.size, LogEntry.lastFileOffset(last.view));
  return { path: file.path, source: new PatchedSource(file.source, patches, size) };
}

/** The sound sequence that ends with the highest sequence number. */
function activeSequence(ring: Uint8Array, guid: string): readonly Entry[] {
  const read = entryReader(ring, guid);
  let best: readonly Entry[] = [];
  for (let tail = 0; tail < ring.byteLength; ) {
    const sequence = sequenceFrom(ring, tail, read);
    const head = sequence.at(-1);
    const from = sequence.findIndex((entry) => entry.at === head?.tail);
    if (head === undefined || from < 0) {
      tail += LOG_SECTOR_BYTES;
      continue;
    }
    if (head.sequenceNumber > (best.at(-1)?.sequenceNumber ?? -1)) best = sequence.slice(from);
    const next = head.at + head.length;
    // A sequence that wraps around has passed every later start.
    tail = next > tail ? next : ring.byteLength;
  }
  return best;
}

/** The entries that follow one another from `tail` on, wrapping around at the ring's end. */
function sequenceFrom(
  ring: Uint8Array,
  tail: number,
  read: (at: number) => Entry | undefined,
): readonly Entry[] {
  const entries: Entry[] = [];
  for (let at = tail, covered = 0; covered < ring.byteLength; ) {
    const entry = read(at);
    const previous = entries.at(-1);
    if (entry === undefined) break;
    if (previous !== undefined && entry.sequenceNumber !== previous.sequenceNumber + 1) break;
    entries.push(entry);
    covered += entry.length;
    at = (at + entry.length) % ring.byteLength;
  }
  return entries;
}

/** Reads and checks entries, each place once: damaged logs would otherwise be checked over and over. */
function entryReader(ring: Uint8Array, guid: string): (at: number) => Entry | undefined {
  const known = new Map<number, Entry | undefined>();
  return (at) => {
    if (!known.has(at)) known.set(at, readEntry(ring, guid, at));
    return known.get(at);
  };
}

function readEntry(ring: Uint8Array, guid: string, at: number): Entry | undefined {
  const head = layout.viewOf(ring.subarray(at, at + LOG_HEADER_BYTES));
  if (!hasSignature(head, 0, LOG_SIGNATURE) || LogEntry.logGuid(head) !== guid) return undefined;
  const length = LogEntry.entryLength(head);
  const sound =
    length > 0 &&
    length % LOG_SECTOR_BYTES === 0 &&
    length <= ring.byteLength &&
    isSafe(() => LogEntry.sequenceNumber(head)) &&
    LogEntry.sequenceNumber(head) > 0 &&
    LogEntry.tail(head) % LOG_SECTOR_BYTES === 0 &&
    LogEntry.tail(head) < ring.byteLength;
  if (!sound) return undefined;
  const bytes = new Uint8Array(length);
  const untilEnd = ring.subarray(at, Math.min(at + length, ring.byteLength));
  bytes.set(untilEnd);
  bytes.set(ring.subarray(0, length - untilEnd.byteLength), untilEnd.byteLength);
  if (!checksumIsRight(bytes)) return undefined;
  const view = layout.viewOf(bytes);
  const entry = {
    at,
    bytes,
    view,
    length,
    sequenceNumber: LogEntry.sequenceNumber(view),
    tail: LogEntry.tail(view),
  };
  return sectorsFit(entry) ? entry : undefined;
}

function isSafe(read: () => number): boolean {
  try {
    return Number.isSafeInteger(read());
  } catch {
    // Above 2^53: no writer has counted so far.
    return false;
  }
}

/** True when the entry is long enough for its descriptors and their data. */
function sectorsFit({ view, length }: Entry): boolean {
  const count = LogEntry.descriptorCount(view);
  const dataAt = descriptorEnd(count);
  if (dataAt > length) return false;
  let dataCount = 0;
  for (let index = 0; index < count; index += 1) {
    if (hasSignature(view, LOG_HEADER_BYTES + index * LOG_DESCRIPTOR_BYTES, LOG_DATA))
      dataCount += 1;
  }
  return dataAt + dataCount * LOG_SECTOR_BYTES <= length;
}

function descriptorEnd(count: number): number {
  const end = LOG_HEADER_BYTES + count * LOG_DESCRIPTOR_BYTES;
  return Math.ceil(end / LOG_SECTOR_BYTES) * LOG_SECTOR_BYTES;
}

function applyEntry(file: ImageFile, entry: Entry, patches: Patches): void {
  const { view, sequenceNumber } = entry;
  const count = LogEntry.descriptorCount(view);
  let dataAt = descriptorEnd(count);
  for (let index = 0; index < count; index += 1) {
    const at = LOG_HEADER_BYTES + index * LOG_DESCRIPTOR_BYTES;
    const fileOffset = LogDescriptor.fileOffset(view, at);
    const aligned = fileOffset % LOG_SECTOR_BYTES === 0;
    if (!aligned || LogDescriptor.sequenceNumber(view, at) !== sequenceNumber) {
      throw damagedDescriptor(file, entry, index);
    }
    if (hasSignature(view, at, LOG_ZERO)) {
      patches.write(fileOffset, LogDescriptor.zeroLength(view, at), undefined);
    } else if (hasSignature(view, at, LOG_DATA)) {
      patches.write(fileOffset, LOG_SECTOR_BYTES, sectorOf(file, entry, index, dataAt));
      dataAt += LOG_SECTOR_BYTES;
    } else {
      throw damagedDescriptor(file, entry, index);
    }
  }
}

/** A data sector's first 8 and last 4 bytes stand in its descriptor. Section 2.3.1.4. */
function sectorOf(file: ImageFile, entry: Entry, index: number, dataAt: number): Uint8Array {
  const { view, sequenceNumber } = entry;
  const at = LOG_HEADER_BYTES + index * LOG_DESCRIPTOR_BYTES;
  const found =
    LogSector.sequenceHigh(view, dataAt) * 2 ** 32 + LogSector.sequenceLow(view, dataAt);
  if (!hasSignature(view, dataAt, LOG_SECTOR_SIGNATURE) || found !== sequenceNumber) {
    throw damagedDescriptor(file, entry, index);
  }
  const sector = new Uint8Array(LOG_SECTOR_BYTES);
  sector.set(LogDescriptor.leadingBytes(view, at));
  sector.set(LogSector.data(view, dataAt), 8);
  sector.set(LogDescriptor.trailingBytes(view, at), LOG_SECTOR_BYTES - 4);
  return sector;
}

function damagedDescriptor(file: ImageFile, entry: Entry, index: number): Error {
  return corrupt(file, 'a log entry passes its checksum but contradicts itself', {
    structure: `log entry ${entry.sequenceNumber}, descriptor ${index}`,
    expected: 'a zero or data descriptor of that entry',
    found: 'something else',
  });
}
