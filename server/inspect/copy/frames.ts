/**
 * How an inspector hands files to the process that writes them: frames on its output, each a length
 * (32 bits, little-endian, type and payload counted), a type byte and a payload. Who reads them trusts
 * nothing in them: the inspector may have been taken over by what it parsed.
 */
import type { PlainError } from '../../../core/index.ts';
import type { CopyEntry } from './decode-frames.ts';

export const FRAME = { entry: 1, data: 2, end: 3, done: 4 } as const;
export const DATA_BYTES_MAX: number = 1024 * 1024;
/** An entry may carry extended attributes, of 64 KiB each, as text. */
export const FRAME_BYTES_MAX: number = 16 * 1024 * 1024;
export const HEAD_BYTES = 5;
export const DATA_HEAD_BYTES = 8;

export type CopyFrame =
  | { readonly kind: 'entry'; readonly entry: CopyEntry }
  | { readonly kind: 'data'; readonly offset: number; readonly bytes: Uint8Array }
  /** The file is whole, or why it is not. */
  | { readonly kind: 'end'; readonly error: PlainError | undefined }
  /** That was all. */
  | { readonly kind: 'done' };

export function encodeEntry(entry: CopyEntry): Uint8Array {
  return frame(FRAME.entry, Buffer.from(JSON.stringify(entry)));
}

/** What goes before the bytes themselves. */
export function encodeDataHead(offset: number, length: number): Uint8Array {
  const head = Buffer.alloc(HEAD_BYTES + DATA_HEAD_BYTES);
  head.writeUInt32LE(1 + DATA_HEAD_BYTES + length, 0);
  head.writeUInt8(FRAME.data, 4);
  head.writeBigUInt64LE(BigInt(offset), HEAD_BYTES);
  return head;
}

export function encodeEnd(error?: PlainError): Uint8Array {
  return frame(FRAME.end, Buffer.from(JSON.stringify({ error })));
}

export function encodeDone(): Uint8Array {
  return frame(FRAME.done, new Uint8Array(0));
}

function frame(type: number, payload: Uint8Array): Uint8Array {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32LE(1 + payload.byteLength, 0);
  head.writeUInt8(type, 4);
  return Buffer.concat([head, payload]);
}
