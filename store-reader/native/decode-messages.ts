/** What a pool and its decoding threads say to each other. */
import { layout, type PlainError } from '../../core/index.ts';
import type { DecodeRequest } from './decoder.ts';
import { ID_BYTES, PACK_ID_BYTES } from './format.ts';

export interface DecodeWorkerData {
  readonly location: string;
  readonly repositoryId: string;
  /** Master key of an encrypted repository. */
  readonly master: Uint8Array | undefined;
  /** Prove every block's full id. */
  readonly checkIds: boolean;
}

/**
 * Work for a thread. A request and its result share one slot of memory, so that neither is copied on
 * its way: a message names slots by number.
 */
export interface DecodeWork {
  /** Each to be read at once; slots that hold an encoded request. */
  readonly batches: readonly (readonly number[])[];
  /** Slots that are new to the thread. */
  readonly memory: readonly (readonly [slot: number, memory: SharedArrayBuffer])[];
}

/** Work that is done. */
export interface DecodeDone {
  /** Slot and plain length in turn: the bytes lie in the slot. */
  readonly decoded: readonly number[];
  readonly failed: readonly (readonly [slot: number, error: PlainError])[];
}

/** Asks a thread to end after what it has been given before. */
export const CLOSE = 'close';

/** Where the plain bytes begin in a slot; the request lies before them. */
export const SLOT_HEADER_BYTES = 128;

const Request = {
  id: layout.bytes(0, ID_BYTES),
  pack: layout.bytes(32, PACK_ID_BYTES),
  offset: layout.u32le(48),
  length: layout.u32le(52),
  plainBytes: layout.u32le(56),
  flags: layout.u8(60),
  isPage: layout.u8(61),
} as const;

/** Puts a request into the head of its slot. */
export function encodeRequest(slot: Buffer, request: DecodeRequest): void {
  const { reference, plainBytes, isPage } = request;
  slot.set(reference.id, 0);
  slot.write(reference.pack, 32, 'hex');
  slot.writeUInt32LE(reference.offset, 48);
  slot.writeUInt32LE(reference.length, 52);
  slot.writeUInt32LE(plainBytes, 56);
  slot[60] = reference.flags;
  slot[61] = isPage ? 1 : 0;
}

/** The request in the head of a slot, to be decoded into the rest of it. */
export function decodeRequest(slot: Uint8Array): DecodeRequest {
  const view = layout.viewOf(slot);
  const pack = Request.pack(view);
  const plainBytes = Request.plainBytes(view);
  return {
    reference: {
      id: new Uint8Array(Request.id(view)),
      pack: Buffer.from(pack.buffer, pack.byteOffset, pack.byteLength).toString('hex'),
      offset: Request.offset(view),
      length: Request.length(view),
      flags: Request.flags(view),
    },
    plainBytes,
    isPage: Request.isPage(view) !== 0,
    into: slot.subarray(SLOT_HEADER_BYTES, SLOT_HEADER_BYTES + plainBytes),
  };
}
