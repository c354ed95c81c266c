import {
  isRestoreError,
  Ranges,
  type RecordMap,
  type RecordRun,
  type RestoreError,
  throwIfAborted,
} from '../../core/index.ts';
import { movedRecords } from './moved-records.ts';

const CHUNK_BYTES = 1024 * 1024;

export interface TouchedOptions {
  readonly before: RecordMap;
  readonly after: RecordMap;
  /** Stretches of the volume that may read otherwise. */
  readonly changed: Ranges;
  /** True when the account of free space after is to be believed. */
  readonly isSound: boolean;
  readonly onProblem: (error: RestoreError) => void;
  readonly signal?: AbortSignal;
}

/**
 * Numbers of the records that may stand for another file or state than before: those whose own bytes
 * differ, and those to which other bytes belong that do. Everything else is the same on both sides.
 */
export async function touchedRecords(options: TouchedOptions): Promise<Set<number>> {
  const touched = await differingRecords(options);
  const rest = await withoutParents(options, touched, await unexplained(options, touched));
  if (!rest.isEmpty) {
    for await (const number of options.after.ownersOf(rest, options.signal)) touched.add(number);
  }
  return touched;
}

/**
 * The directories of touched files are the likeliest to own what is left: NTFS keeps sizes and times
 * in them, too.
 */
async function withoutParents(
  { after, signal }: TouchedOptions,
  touched: Set<number>,
  rest: Ranges,
): Promise<Ranges> {
  if (rest.isEmpty) return rest;
  const files = new Set<number>();
  for (const number of touched) {
    if (await isFile(after, number, signal)) files.add(number);
  }
  const parents = new Set<number>();
  for await (const { parent } of after.namesOf(files, [...files], signal)) {
    if (!touched.has(parent)) parents.add(parent);
  }
  const explained = [];
  for (const parent of parents) {
    for await (const place of after.placesOf(parent, signal)) {
      if (!rest.touches(place.offset, place.length)) continue;
      touched.add(parent);
      explained.push(place);
    }
  }
  return rest.without(Ranges.of(explained));
}

/** What is damaged is told by whoever reads it. */
async function isFile(
  map: RecordMap,
  number: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    return (await map.fileOf(number, signal)) !== undefined;
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    return false;
  }
}

async function differingRecords(options: TouchedOptions): Promise<Set<number>> {
  const { before, after, changed, signal } = options;
  const touched = new Set<number>();
  const look = async (run: RecordRun): Promise<void> => {
    for (const number of await othersIn(options, run)) {
      touched.add(number);
      for (const side of [before, after]) touched.add(await side.baseOf(number, signal));
    }
  };
  for (const map of [after, before]) {
    for await (const run of map.recordsIn(changed, signal)) await look(run);
  }
  // Where the table itself lies elsewhere, other bytes are its records though none of them changed.
  for await (const run of movedRecords(before, after, signal)) await look(run);
  return touched;
}

/** Records that cannot be read on one side count as touched: their files tell why. */
async function othersIn(options: TouchedOptions, run: RecordRun): Promise<number[]> {
  const { before, after, signal } = options;
  const size = after.recordBytes;
  const one = await readOrTell(before, run, options);
  const other = await readOrTell(after, run, options);
  if (one !== undefined && other !== undefined && Buffer.compare(one, other) === 0) return [];
  const found: number[] = [];
  for (let index = 0; index < run.count; index += 1) {
    const [from, to] = [index * size, (index + 1) * size];
    const pair = [one?.subarray(from, to), other?.subarray(from, to)] as const;
    const isKnown = pair[0] !== undefined && pair[1] !== undefined;
    if (!isKnown || Buffer.compare(pair[0], pair[1]) !== 0) found.push(run.first + index);
  }
  throwIfAborted(signal);
  return found;
}

async function readOrTell(
  map: RecordMap,
  run: RecordRun,
  { onProblem, signal }: TouchedOptions,
): Promise<Uint8Array | undefined> {
  try {
    return await map.readRecords(run, signal);
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    onProblem(error);
    return undefined;
  }
}

/**
 * Stretches, in whole units, that differ and that belong neither to the file system nor to a touched
 * record nor to free space: bytes of files whose records are as they were.
 */
async function unexplained(options: TouchedOptions, touched: ReadonlySet<number>): Promise<Ranges> {
  const { before, after, changed, isSound, signal } = options;
  const explained = [];
  for (const map of [before, after]) {
    for await (const place of map.ownPlaces(signal)) explained.push(place);
    for (const number of touched) {
      for await (const place of map.placesOf(number, signal)) explained.push(place);
    }
  }
  let rest = changed.without(Ranges.of(explained));
  if (isSound && !rest.isEmpty) {
    const free = [];
    for await (const place of after.freeIn(rest, signal)) free.push(place);
    rest = rest.without(Ranges.of(free));
  }
  return await differingUnits(options, rest);
}

async function differingUnits(
  { before, after, signal }: TouchedOptions,
  ranges: Ranges,
): Promise<Ranges> {
  const unit = after.unitBytes;
  const size = Math.min(before.bytes.size, after.bytes.size);
  const differing = [];
  for (const { offset, length } of ranges) {
    for (let at = offset; at < offset + length; at += CHUNK_BYTES) {
      const end = Math.min(offset + length, at + CHUNK_BYTES);
      const bytes = Math.min(end, size) - at;
      if (bytes < end - at)
        differing.push({ offset: Math.max(at, size), length: end - Math.max(at, size) });
      if (bytes <= 0) continue;
      const pair = await readPair(before, after, at, bytes, signal);
      for (let inner = 0; inner < bytes; inner += unit) {
        const stop = Math.min(bytes, inner + unit);
        const isSame = pair?.[0].subarray(inner, stop).equals(pair[1].subarray(inner, stop));
        if (isSame !== true) differing.push({ offset: at + inner, length: stop - inner });
      }
    }
  }
  return Ranges.of(differing);
}

/** What cannot be read may differ: whoever owns it is looked at, and tells. */
async function readPair(
  before: RecordMap,
  after: RecordMap,
  at: number,
  length: number,
  signal: AbortSignal | undefined,
): Promise<[Buffer, Buffer] | undefined> {
  const pair: [Buffer, Buffer] = [Buffer.allocUnsafe(length), Buffer.allocUnsafe(length)];
  try {
    await Promise.all([
      before.bytes.readInto(pair[0], at, signal),
      after.bytes.readInto(pair[1], at, signal),
    ]);
    return pair;
  } catch (error) {
    if (isRestoreError(error, 'CORRUPT')) return undefined;
    throw error;
  }
}
