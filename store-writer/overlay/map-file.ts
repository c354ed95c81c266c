import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { isAllZero, isRestoreError, RestoreError } from '../../core/index.ts';
import type { OverlayFile, OverlayFolder } from './folder.ts';
import {
  damagedMap,
  decodeFrame,
  decodeHeader,
  decodeSnapshot,
  encodeFrame,
  encodeHeader,
  encodeSnapshot,
  FRAME_KINDS,
  frameBytes,
  frameNumberAt,
  type MapHeader,
  roundUp,
  UNIT_BYTES,
} from './map-format.ts';
import { PageMap, type PageRun } from './page-map.ts';

export const MAP_NAME = 'map';
const MAP_NAME_NEW = 'map.new';
/** Room for frames is written ahead: appending then takes no new space, and syncs faster. */
const AHEAD_BYTES = 256 * 1024;
/** Kept for discards and flushes when nothing else may grow. */
const SPARE_BYTES = 64 * 1024;
/** Frames longer than this, and than twice the snapshot, are replaced by a new snapshot. */
const SNAPSHOT_AFTER_BYTES = 4 * 1024 * 1024;
const MAP_BYTES_MAX = 2 ** 31;
/** Chunks of a snapshot that are encoded in one turn of the event loop. */
const CHUNKS_A_TURN = 256;

/** A snapshot of a map, to be put in the place of all frames before it. */
export interface Snapshot {
  readonly parts: readonly Uint8Array[];
  readonly bytes: number;
}

/**
 * The map of an overlay on storage: a snapshot, then frames of changes, one a flush. A frame is
 * written after the one before it is durable. So what a crash tears is the last frame, and a frame
 * that does not check out although a later one was begun is damage.
 */
export class MapFile {
  readonly map: PageMap;
  readonly #folder: OverlayFolder;
  readonly #snapshotAfterBytes: number;
  #file: OverlayFile;
  #header: MapHeader;
  /** Where the next frame goes, and up to where room has been written ahead. */
  #tail: number;
  #ahead: number;
  #sequence: number;

  private constructor(
    folder: OverlayFolder,
    file: OverlayFile,
    header: MapHeader,
    state: { readonly map: PageMap; readonly tail: number; readonly sequence: number },
    snapshotAfterBytes: number,
  ) {
    this.#folder = folder;
    this.#snapshotAfterBytes = snapshotAfterBytes;
    this.#file = file;
    this.#header = header;
    this.map = state.map;
    this.#tail = state.tail;
    this.#ahead = state.tail;
    this.#sequence = state.sequence;
  }

  /** Makes the map of an untouched disk, durable except for its name. */
  static async create(folder: OverlayFolder, overlayId: string, pageCount: number): Promise<void> {
    const nothing: Snapshot = { parts: [], bytes: 0 };
    const header = newHeader({ overlayId, pageCount, generation: 1 }, nothing);
    const file = await writeMap(folder, MAP_NAME, header, nothing, AHEAD_BYTES);
    await file.close();
  }

  /** @throws RestoreError `CORRUPT` for anything but a torn end, `NOT_FOUND`, `IO`. */
  static async open(
    folder: OverlayFolder,
    expected: { readonly overlayId: string; readonly pageCount: number },
    snapshotAfterBytes: number = SNAPSHOT_AFTER_BYTES,
  ): Promise<MapFile> {
    await folder.remove(MAP_NAME_NEW);
    const file = await folder.open(MAP_NAME);
    try {
      const object = `${folder.path}/${MAP_NAME}`;
      const bytes = await readAll(file, object);
      const { header, ...state } = replay(bytes, expected, object);
      const opened = new MapFile(folder, file, header, state, snapshotAfterBytes);
      await opened.#clearTail(bytes);
      return opened;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Whether the frames have grown so long that a snapshot is better. */
  get wantsSnapshot(): boolean {
    const framesBytes = this.#tail - framesStart(this.#header);
    return framesBytes > Math.max(this.#snapshotAfterBytes, 2 * this.#header.snapshotBytes);
  }

  /**
   * Sees to it that `runs` more changes can be appended later, even on a full file system.
   *
   * @param urgent may use what is kept for the last moments.
   * @throws RestoreError `NO_SPACE`, `IO`.
   */
  reserve(frames: number, runs: number, urgent: boolean): void {
    const needed = this.#tail + frameBytes(runs) + frames * UNIT_BYTES;
    if (needed + SPARE_BYTES <= this.#ahead) return;
    try {
      const from = Math.max(this.#ahead, this.#tail);
      const to = roundUp(needed + AHEAD_BYTES);
      this.#file.writeNow(new Uint8Array(to - from), from);
      this.#ahead = to;
    } catch (error) {
      if (!urgent || needed > this.#ahead) throw error;
    }
  }

  /**
   * Appends changes and makes them durable. The data they speak of must be durable already.
   *
   * @throws RestoreError `NO_SPACE` (may be tried again), `IO`.
   */
  async append(runs: readonly PageRun[]): Promise<void> {
    await this.#append(encodeFrame(FRAME_KINDS.changes, this.#sequence, this.#header.salt, runs));
  }

  /** Notes that nothing is under way any more: whatever is torn before this is damage. */
  async appendClosed(): Promise<void> {
    await this.#append(encodeFrame(FRAME_KINDS.closed, this.#sequence, this.#header.salt, []));
  }

  async #append(frame: Uint8Array): Promise<void> {
    const end = this.#tail + frame.byteLength;
    // First of all: nothing may be written ahead where the frame goes.
    this.#ahead = Math.max(this.#ahead, end);
    await this.#file.write(frame, this.#tail);
    await this.#file.sync();
    this.#tail = end;
    this.#sequence += 1;
  }

  /** The map as it is while this runs; what changes meanwhile must be appended afterwards. */
  async takeSnapshot(): Promise<Snapshot> {
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for (const part of encodeSnapshot(this.map)) {
      parts.push(part);
      bytes += part.byteLength;
      if (parts.length % CHUNKS_A_TURN === 0) await nextTurn();
    }
    return { parts, bytes };
  }

  /**
   * Puts a snapshot in the place of the snapshot and frames before.
   *
   * @returns `false` when there is no space for it and all stays as it was.
   */
  async rewrite(snapshot: Snapshot): Promise<boolean> {
    const { overlayId, pageCount, generation } = this.#header;
    const header = newHeader({ overlayId, pageCount, generation: generation + 1 }, snapshot);
    const aheadBytes = Math.max(AHEAD_BYTES, this.#ahead - this.#tail);
    let file: OverlayFile;
    try {
      file = await writeMap(this.#folder, MAP_NAME_NEW, header, snapshot, aheadBytes);
    } catch (error) {
      if (!isRestoreError(error, 'NO_SPACE')) throw error;
      await this.#folder.remove(MAP_NAME_NEW);
      return false;
    }
    await this.#folder.rename(MAP_NAME_NEW, MAP_NAME);
    await this.#folder.sync();
    await this.#file.close();
    this.#file = file;
    this.#header = header;
    this.#tail = framesStart(header);
    this.#ahead = this.#tail + aheadBytes;
    this.#sequence = 1;
    return true;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Nothing but zeros may follow the last frame: what a crash tore is wiped. */
  async #clearTail(bytes: Uint8Array): Promise<void> {
    const rest = bytes.subarray(this.#tail);
    if (isAllZero(rest)) return;
    await this.#file.write(new Uint8Array(rest.byteLength), this.#tail);
    await this.#file.sync();
  }
}

function replay(
  bytes: Uint8Array,
  expected: { readonly overlayId: string; readonly pageCount: number },
  object: string,
): { header: MapHeader; map: PageMap; tail: number; sequence: number } {
  const header = decodeHeader(bytes.subarray(0, UNIT_BYTES), object);
  if (header.overlayId !== expected.overlayId || header.pageCount !== expected.pageCount) {
    throw new RestoreError('CORRUPT', 'the map is that of another overlay', {
      where: { object, expected: expected.overlayId, found: header.overlayId },
      hint: 'Files of different overlays were mixed up.',
    });
  }
  const map = new PageMap(header.pageCount);
  const snapshot = bytes.subarray(UNIT_BYTES, UNIT_BYTES + header.snapshotBytes);
  const whole = snapshot.byteLength === header.snapshotBytes;
  if (!whole || crc32(snapshot) !== header.snapshotCrc) {
    throw damagedMap(object, UNIT_BYTES, 'snapshot');
  }
  decodeSnapshot(snapshot, map, object);
  let tail = framesStart(header);
  for (let sequence = 1; ; sequence += 1) {
    const wanted = { sequence, salt: header.salt };
    const frame = decodeFrame(bytes, tail, wanted, header.pageCount, object);
    if (frame === undefined) {
      checkNothingFollows(bytes, tail, wanted, object);
      return { header, map, tail, sequence };
    }
    for (const { first, count, state } of frame.runs) map.set(first, count, state);
    tail += frame.lengthBytes;
  }
}

/** A later frame proves that this place was durable once, and so that it is no torn end. */
function checkNothingFollows(
  bytes: Uint8Array,
  tail: number,
  { sequence, salt }: { readonly sequence: number; readonly salt: Uint8Array },
  object: string,
): void {
  for (let at = tail; at < bytes.byteLength; at += UNIT_BYTES) {
    const number = frameNumberAt(bytes, at, salt);
    if (number === undefined || (at === tail && number === sequence)) continue;
    throw damagedMap(object, tail, `frame ${sequence}`);
  }
}

async function writeMap(
  folder: OverlayFolder,
  name: string,
  header: MapHeader,
  { parts }: Snapshot,
  aheadBytes: number,
): Promise<OverlayFile> {
  const file = await folder.create(name);
  try {
    await file.write(encodeHeader(header), 0);
    let at = UNIT_BYTES;
    for (const part of parts) {
      await file.write(part, at);
      at += part.byteLength;
    }
    const end = framesStart(header) + aheadBytes;
    await file.write(new Uint8Array(end - at), at);
    await file.sync();
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

function newHeader(
  identity: Pick<MapHeader, 'overlayId' | 'pageCount' | 'generation'>,
  { parts, bytes }: Snapshot,
): MapHeader {
  let snapshotCrc = 0;
  for (const part of parts) snapshotCrc = crc32(part, snapshotCrc);
  return { ...identity, salt: randomBytes(16), snapshotBytes: bytes, snapshotCrc };
}

function framesStart({ snapshotBytes }: MapHeader): number {
  return UNIT_BYTES + roundUp(snapshotBytes);
}

async function readAll(file: OverlayFile, object: string): Promise<Uint8Array> {
  const sizeBytes = file.sizeBytes();
  if (sizeBytes > MAP_BYTES_MAX) throw damagedMap(object, sizeBytes, 'file');
  const bytes = new Uint8Array(sizeBytes);
  await file.read(bytes, 0);
  return bytes;
}
