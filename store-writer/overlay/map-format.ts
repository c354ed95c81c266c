/** The bytes of an overlay's map: docs/formats/overlay.md. */
import { crc32 } from 'node:zlib';
import { layout, RestoreError } from '../../core/index.ts';
import {
  CHUNK_BYTES,
  CHUNK_PAGES,
  PAGE_BYTES,
  PAGE_STATES,
  type PageMap,
  type PageRun,
  type PageState,
} from './page-map.ts';

/** Storage keeps or loses this much as one: nothing durable shares a unit with what comes later. */
export const UNIT_BYTES = 512;
const MAP_VERSION = 1;
export const FRAME_KINDS = { changes: 1, closed: 2 } as const;
export type FrameKind = (typeof FRAME_KINDS)[keyof typeof FRAME_KINDS];

const HEADER_MAGIC = 'RHYDRMAP';
const FRAME_MAGIC = 0x5248_5946;
const FRAME_HEADER_BYTES = 48;
const RUN_BYTES = 16;
const CHUNK_HEADER_BYTES = 8;
const RAW_CHUNK = 255;
const SALT_BYTES = 16;
const ID_BYTES = 16;

const Header = {
  magic: layout.text(0, 8, 'latin1'),
  version: layout.u32le(8),
  pageBytes: layout.u32le(12),
  overlayId: layout.bytes(16, ID_BYTES),
  pageCount: layout.u64le(32),
  generation: layout.u64le(40),
  salt: layout.bytes(48, SALT_BYTES),
  snapshotBytes: layout.u64le(64),
  snapshotCrc: layout.u32le(72),
  headerCrc: layout.u32le(76),
} as const;
const HEADER_CHECKED_BYTES = 76;

const Frame = {
  magic: layout.u32le(0),
  kind: layout.u32le(4),
  sequence: layout.u64le(8),
  salt: layout.bytes(16, SALT_BYTES),
  payloadBytes: layout.u32le(32),
  crc: layout.u32le(36),
} as const;
const FRAME_CRC_AT = 36;

export interface MapHeader {
  /** Hexadecimal. */
  readonly overlayId: string;
  readonly pageCount: number;
  readonly generation: number;
  /** Random for each generation: bytes that a guest can choose never pass for a frame. */
  readonly salt: Uint8Array;
  readonly snapshotBytes: number;
  readonly snapshotCrc: number;
}

export function encodeHeader(header: MapHeader): Uint8Array {
  const bytes = Buffer.alloc(UNIT_BYTES);
  bytes.write(HEADER_MAGIC, 0, 'latin1');
  bytes.writeUInt32LE(MAP_VERSION, 8);
  bytes.writeUInt32LE(PAGE_BYTES, 12);
  bytes.write(header.overlayId, 16, 'hex');
  bytes.writeBigUInt64LE(BigInt(header.pageCount), 32);
  bytes.writeBigUInt64LE(BigInt(header.generation), 40);
  bytes.set(header.salt, 48);
  bytes.writeBigUInt64LE(BigInt(header.snapshotBytes), 64);
  bytes.writeUInt32LE(header.snapshotCrc, 72);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, HEADER_CHECKED_BYTES)), HEADER_CHECKED_BYTES);
  return bytes;
}

/** @throws RestoreError `CORRUPT`, `UNSUPPORTED`. */
export function decodeHeader(bytes: Uint8Array, object: string): MapHeader {
  const view = layout.viewOf(bytes);
  const intact =
    bytes.byteLength === UNIT_BYTES &&
    Header.magic(view) === HEADER_MAGIC &&
    Header.headerCrc(view) === crc32(bytes.subarray(0, HEADER_CHECKED_BYTES));
  if (!intact) throw damagedMap(object, 0, 'header');
  if (Header.version(view) !== MAP_VERSION || Header.pageBytes(view) !== PAGE_BYTES) {
    throw new RestoreError('UNSUPPORTED', 'an overlay of another version', {
      where: { object, expected: MAP_VERSION, found: Header.version(view) },
      hint: 'Open it with the version of Rehydrate that made it.',
    });
  }
  return {
    overlayId: Buffer.from(Header.overlayId(view)).toString('hex'),
    pageCount: Header.pageCount(view),
    generation: Header.generation(view),
    salt: Header.salt(view).slice(),
    snapshotBytes: Header.snapshotBytes(view),
    snapshotCrc: Header.snapshotCrc(view),
  };
}

export function frameBytes(runs: number): number {
  return roundUp(FRAME_HEADER_BYTES + runs * RUN_BYTES);
}

export function encodeFrame(
  kind: FrameKind,
  sequence: number,
  salt: Uint8Array,
  runs: readonly PageRun[],
): Uint8Array {
  const bytes = Buffer.alloc(frameBytes(runs.length));
  bytes.writeUInt32LE(FRAME_MAGIC, 0);
  bytes.writeUInt32LE(kind, 4);
  bytes.writeBigUInt64LE(BigInt(sequence), 8);
  bytes.set(salt, 16);
  const payloadBytes = runs.length * RUN_BYTES;
  bytes.writeUInt32LE(payloadBytes, 32);
  // There may be very many: a DataView is several times as fast here as a Buffer's methods.
  const view = layout.viewOf(bytes);
  let at = FRAME_HEADER_BYTES;
  for (const { first, count, state } of runs) {
    view.setUint32(at, first % 2 ** 32, true);
    view.setUint16(at + 4, first / 2 ** 32, true);
    view.setUint16(at + 6, state, true);
    view.setUint32(at + 8, count % 2 ** 32, true);
    view.setUint16(at + 12, count / 2 ** 32, true);
    at += RUN_BYTES;
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(0, FRAME_HEADER_BYTES + payloadBytes)), FRAME_CRC_AT);
  return bytes;
}

/** Whether a frame of this map begins at `at`, whole or not, and which. */
export function frameNumberAt(bytes: Uint8Array, at: number, salt: Uint8Array): number | undefined {
  if (at + FRAME_HEADER_BYTES > bytes.byteLength) return undefined;
  const view = layout.viewOf(bytes);
  if (Frame.magic(view, at) !== FRAME_MAGIC) return undefined;
  if (Buffer.compare(Frame.salt(view, at), salt) !== 0) return undefined;
  const high = view.getUint32(at + 12, true);
  return high > 0x1f_ffff ? undefined : Frame.sequence(view, at);
}

export interface DecodedFrame {
  readonly kind: FrameKind;
  readonly runs: readonly PageRun[];
  readonly lengthBytes: number;
}

/**
 * The frame at `at`, `undefined` unless every bit of it checks out.
 *
 * @throws RestoreError `CORRUPT` when what checks out makes no sense.
 */
export function decodeFrame(
  bytes: Uint8Array,
  at: number,
  expected: { readonly sequence: number; readonly salt: Uint8Array },
  pageCount: number,
  object: string,
): DecodedFrame | undefined {
  if (frameNumberAt(bytes, at, expected.salt) !== expected.sequence) return undefined;
  const view = layout.viewOf(bytes);
  const payloadBytes = Frame.payloadBytes(view, at);
  const end = at + FRAME_HEADER_BYTES + payloadBytes;
  if (payloadBytes % RUN_BYTES !== 0 || end > bytes.byteLength) return undefined;
  const checked = Buffer.from(bytes.subarray(at, end));
  checked.writeUInt32LE(0, FRAME_CRC_AT);
  if (crc32(checked) !== Frame.crc(view, at)) return undefined;
  const runs: PageRun[] = [];
  for (let place = FRAME_HEADER_BYTES; place < checked.length; place += RUN_BYTES) {
    const first = checked.readUIntLE(place, 6);
    const state = checked.readUInt16LE(place + 6);
    const count = checked.readUIntLE(place + 8, 6);
    if (count === 0 || first + count > pageCount || state > PAGE_STATES.zero) {
      throw damagedMap(object, at, 'frame');
    }
    runs.push({ first, count, state: state as PageState });
  }
  const kind = Frame.kind(view, at);
  if (kind !== FRAME_KINDS.changes && kind !== FRAME_KINDS.closed) {
    throw damagedMap(object, at, 'frame');
  }
  return { kind, runs, lengthBytes: frameBytes(runs.length) };
}

/** The map's chunks, each as bytes; nothing for one that is all `base`. */
export function* encodeSnapshot(map: PageMap): Generator<Uint8Array> {
  for (let number = 0; number < map.chunkCount; number += 1) {
    const chunk = map.chunk(number);
    if (chunk === PAGE_STATES.base) continue;
    const raw = typeof chunk !== 'number';
    const bytes = Buffer.alloc(CHUNK_HEADER_BYTES + (raw ? CHUNK_BYTES : 0));
    bytes.writeUInt32LE(number, 0);
    bytes.writeUInt8(raw ? RAW_CHUNK : chunk, 4);
    if (raw) bytes.set(chunk, CHUNK_HEADER_BYTES);
    yield bytes;
  }
}

/** @throws RestoreError `CORRUPT`. */
export function decodeSnapshot(bytes: Uint8Array, map: PageMap, object: string): void {
  const view = layout.viewOf(bytes);
  for (let at = 0; at < bytes.byteLength; ) {
    const number = layout.u32le(0)(view, at);
    const kind = layout.u8(4)(view, at);
    if (number >= map.chunkCount) throw damagedMap(object, at, 'snapshot');
    at += CHUNK_HEADER_BYTES;
    if (kind === RAW_CHUNK) {
      const bits = layout.bytes(0, CHUNK_BYTES)(view, at);
      if (!isLegal(bits, map, number)) throw damagedMap(object, at, 'snapshot');
      map.loadChunk(number, bits);
      at += CHUNK_BYTES;
    } else if (kind === PAGE_STATES.data || kind === PAGE_STATES.zero) {
      const first = number * CHUNK_PAGES;
      map.set(first, Math.min(CHUNK_PAGES, map.pageCount - first), kind);
    } else {
      throw damagedMap(object, at, 'snapshot');
    }
  }
}

export function damagedMap(object: string, offset: number, structure: string): RestoreError {
  return new RestoreError('CORRUPT', 'the map of an overlay is damaged', {
    where: { object, offset, structure },
    hint: 'Which blocks were written is no longer certain. Put the overlay’s folder back from a copy, or discard the overlay; the backup is not affected.',
  });
}

export function roundUp(bytes: number): number {
  return Math.ceil(bytes / UNIT_BYTES) * UNIT_BYTES;
}

/** No pair of bits is 3. */
function isLegal(bits: Uint8Array, map: PageMap, number: number): boolean {
  if (bits.some((byte) => (byte & (byte >> 1) & 0x55) !== 0)) return false;
  const left = map.pageCount - number * CHUNK_PAGES;
  for (let slot = left; slot < CHUNK_PAGES; slot += 1) {
    if ((((bits[slot >> 2] as number) >> ((slot & 3) * 2)) & 3) !== 0) return false;
  }
  return true;
}
