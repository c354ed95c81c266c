import { crc32c, crc32cPortable, RestoreError } from '../../core/index.ts';
import { BHS_BYTES, type IncomingPdu, padded } from './bhs.ts';

const DIGEST_BYTES = 4;
const FIRST_STASH_BYTES = 1024;

/** What a digest failure does to the connection is the owner's decision. */
export interface PduHandler {
  onPdu(pdu: IncomingPdu): void;
  /** The data segment's digest is wrong; its content is not handed over. */
  onDataDigestError(pdu: IncomingPdu): void;
}

/**
 * Cuts a byte stream into PDUs. A PDU that lies whole in a chunk is handed over where it lies; only
 * one that is split across chunks is copied together, into a buffer that is used again.
 */
export class PduReader {
  headerDigest = false;
  dataDigest = false;
  /** The longest data segment that is accepted. */
  maxDataBytes: number;
  readonly #handler: PduHandler;
  #stash: Uint8Array = new Uint8Array(0);
  #stashed = 0;
  #stopped = false;
  readonly #pdu: { view: DataView; at: number; data: Uint8Array };

  constructor(handler: PduHandler, maxDataBytes: number) {
    this.#handler = handler;
    this.maxDataBytes = maxDataBytes;
    const nothing = new Uint8Array(0);
    this.#pdu = { view: new DataView(nothing.buffer), at: 0, data: nothing };
  }

  /**
   * Hands over every PDU that `chunk` completes, and keeps the rest.
   *
   * @throws RestoreError `INVALID` when a length is beyond the limit, `CORRUPT` when a header's
   *   digest is wrong: the stream cannot be followed any further.
   */
  feed(chunk: Uint8Array): void {
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = 0;
    while (at < chunk.length && !this.#stopped) {
      if (this.#stashed > 0) {
        at = this.#continueStash(chunk, at);
        continue;
      }
      const left = chunk.length - at;
      const total = left < BHS_BYTES ? BHS_BYTES : this.#totalBytes(view, at);
      if (left < total) {
        this.#keep(chunk, at, left);
        return;
      }
      this.#handOver(chunk, view, at);
      at += total;
    }
  }

  /** Drops everything that is still to come. */
  stop(): void {
    this.#stopped = true;
    this.#stash = new Uint8Array(0);
  }

  #continueStash(chunk: Uint8Array, from: number): number {
    let at = from;
    if (this.#stashed < BHS_BYTES) {
      at = this.#fill(chunk, at, BHS_BYTES);
      if (this.#stashed < BHS_BYTES) return at;
    }
    const total = this.#totalBytes(viewOf(this.#stash), 0);
    at = this.#fill(chunk, at, total);
    if (this.#stashed < total) return at;
    this.#stashed = 0;
    this.#handOver(this.#stash, viewOf(this.#stash), 0);
    return at;
  }

  #fill(chunk: Uint8Array, from: number, until: number): number {
    const count = Math.min(until - this.#stashed, chunk.length - from);
    this.#keep(chunk, from, count);
    return from + count;
  }

  #keep(chunk: Uint8Array, from: number, count: number): void {
    const needed = this.#stashed + count;
    if (needed > this.#stash.length) {
      const grown = new Uint8Array(Math.max(needed, this.#stash.length * 2, FIRST_STASH_BYTES));
      grown.set(this.#stash.subarray(0, this.#stashed));
      this.#stash = grown;
    }
    this.#stash.set(chunk.subarray(from, from + count), this.#stashed);
    this.#stashed = needed;
  }

  /** The whole PDU's length on the wire. */
  #totalBytes(view: DataView, at: number): number {
    const lengths = view.getUint32(at + 4);
    const dataBytes = lengths & 0xffffff;
    if (dataBytes > this.maxDataBytes) {
      throw new RestoreError('INVALID', 'an iSCSI data segment is longer than declared', {
        where: {
          structure: 'DataSegmentLength',
          expected: `at most ${this.maxDataBytes}`,
          found: dataBytes,
        },
        hint: 'Check that the client speaks iSCSI.',
      });
    }
    const headerBytes = BHS_BYTES + (lengths >>> 24) * 4 + (this.headerDigest ? DIGEST_BYTES : 0);
    if (dataBytes === 0) return headerBytes;
    return headerBytes + padded(dataBytes) + (this.dataDigest ? DIGEST_BYTES : 0);
  }

  #handOver(chunk: Uint8Array, view: DataView, at: number): void {
    const lengths = view.getUint32(at + 4);
    const dataBytes = lengths & 0xffffff;
    let dataAt = at + BHS_BYTES + (lengths >>> 24) * 4;
    if (this.headerDigest) {
      checkHeaderDigest(chunk, view, at, dataAt);
      dataAt += DIGEST_BYTES;
    }
    const pdu = this.#pdu;
    pdu.view = view;
    pdu.at = at;
    pdu.data = chunk.subarray(dataAt, dataAt + dataBytes);
    if (this.dataDigest && dataBytes > 0 && !dataDigestIsRight(chunk, view, dataAt, dataBytes)) {
      this.#handler.onDataDigestError(pdu);
      return;
    }
    this.#handler.onPdu(pdu);
  }
}

function checkHeaderDigest(chunk: Uint8Array, view: DataView, start: number, end: number): void {
  const expected = crc32cPortable(chunk, start, end);
  const found = view.getUint32(end, true);
  if (expected === found) return;
  throw new RestoreError('CORRUPT', 'the digest of an iSCSI header is wrong', {
    where: { structure: 'Header-Digest', expected, found },
    hint: 'Look for a faulty network card, cable or offload on the way.',
  });
}

/** The digest covers the padding too. */
function dataDigestIsRight(chunk: Uint8Array, view: DataView, at: number, bytes: number): boolean {
  const end = at + padded(bytes);
  return crc32c(chunk.subarray(at, end)) === view.getUint32(end, true);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
