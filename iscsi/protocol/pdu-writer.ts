import type { Socket } from 'node:net';
import { crc32c, crc32cPortable } from '../../core/index.ts';
import { BHS_BYTES, padded } from './bhs.ts';
import type { BufferPool, Slab } from './buffer-pool.ts';

/** Payloads up to this size are copied beside their header; longer ones are sent where they lie. */
const COPY_LIMIT_BYTES = 8 * 1024;
const DIGEST_BYTES = 4;
const MAX_OVERHEAD_BYTES = BHS_BYTES + DIGEST_BYTES + 3 + DIGEST_BYTES;
const ZEROS = new Uint8Array(BHS_BYTES);
/** In the place of a slab before the first PDU and after the last: it has no room. */
const NO_SLAB: Slab = {
  bytes: new Uint8Array(0),
  view: new DataView(new ArrayBuffer(0)),
  pendingWrites: 1,
};

/** Bytes in flight, shared by all connections of a target. */
export interface SharedBudget {
  usedBytes: number;
}

/**
 * Builds PDUs in pooled slabs and hands them to the socket, one gathered write a flush.
 *
 * A slab is written to again only after the socket has reported that every write from it is done.
 */
export class PduWriter {
  headerDigest = false;
  dataDigest = false;
  /** Bytes built or handed to the socket that are not known to be sent yet. */
  queuedBytes = 0;
  /** Called when the socket has sent something. */
  onSent: () => void = () => {};
  readonly #socket: Socket;
  readonly #pool: BufferPool;
  readonly #budget: SharedBudget;
  #slab: Slab = NO_SLAB;
  #at = 0;
  #runStart = 0;
  #header = 0;
  #segments: Uint8Array[] = [];
  #segmentBytes = 0;
  /** Slabs that segments not yet flushed lie in; each counts as one pending write. */
  #held: Slab[] = [];
  #slabIsHeld = false;
  #releases: (() => void)[] = [];

  constructor(socket: Socket, pool: BufferPool, budget: SharedBudget) {
    this.#socket = socket;
    this.#pool = pool;
    this.#budget = budget;
  }

  /** Where {@link begin} put the header. */
  get view(): DataView {
    return this.#slab.view;
  }

  /**
   * Starts a PDU: a zeroed header with opcode, final bit and data length set.
   *
   * @returns where the header starts in {@link view}; the other fields are the caller's to set
   *   before {@link end}.
   */
  begin(opcode: number, dataBytes: number): number {
    const copied = dataBytes <= COPY_LIMIT_BYTES ? dataBytes : 0;
    if (this.#slab.bytes.length - this.#at < MAX_OVERHEAD_BYTES + copied) this.#nextSlab();
    const at = this.#at;
    this.#slab.bytes.set(ZEROS, at);
    const view = this.#slab.view;
    view.setUint8(at, opcode);
    view.setUint8(at + 1, 0x80);
    view.setUint32(at + 4, dataBytes);
    this.#header = at;
    return at;
  }

  /** Ends a PDU without data, or with few enough to be copied. */
  end(data?: Uint8Array): void {
    this.#endHeader();
    if (data === undefined || data.length === 0) return;
    if (data.length > COPY_LIMIT_BYTES) {
      this.#large([data], data.length);
      return;
    }
    const start = this.#at;
    this.#slab.bytes.set(data, start);
    this.#at += data.length;
    this.#pad(data.length);
    if (this.dataDigest) this.#digest(crc32c(this.#slab.bytes.subarray(start, this.#at)));
  }

  /**
   * Ends a PDU whose data lie in several places.
   *
   * @param release called once the socket has no more use for `parts`.
   */
  endWith(parts: readonly Uint8Array[], dataBytes: number, release?: () => void): void {
    this.#endHeader();
    if (dataBytes > COPY_LIMIT_BYTES) this.#large(parts, dataBytes);
    else if (dataBytes > 0) this.#copyParts(parts, dataBytes);
    if (release !== undefined) this.#releases.push(release);
  }

  /** Hands everything built so far to the socket. */
  flush(): void {
    this.#closeRun();
    const segments = this.#segments;
    if (segments.length === 0 || !this.#socket.writable) return;
    const bytes = this.#segmentBytes;
    const slabs = this.#held;
    const releases = this.#releases;
    this.#segments = [];
    this.#segmentBytes = 0;
    this.#held = [];
    this.#slabIsHeld = false;
    this.#releases = [];
    this.queuedBytes += bytes;
    this.#budget.usedBytes += bytes;
    const done = (error?: Error | null): void => this.#sent(bytes, slabs, releases, error);
    const last = segments.length - 1;
    if (last === 0) {
      this.#socket.write(segments[0] as Uint8Array, done);
      return;
    }
    this.#socket.cork();
    for (let index = 0; index < last; index += 1) this.#socket.write(segments[index] as Uint8Array);
    this.#socket.write(segments[last] as Uint8Array, done);
    this.#socket.uncork();
  }

  /** Nothing more will be built: the slab goes back, unless the system may still send from it. */
  dispose(): void {
    if (this.#slab.pendingWrites === 0) this.#pool.giveBack(this.#slab);
    this.#slab = NO_SLAB;
    this.#at = NO_SLAB.bytes.length;
    this.#runStart = this.#at;
  }

  /** Bytes built and not flushed yet, for admission. */
  get unflushedBytes(): number {
    return this.#segmentBytes + this.#at - this.#runStart;
  }

  #endHeader(): void {
    this.#at = this.#header + BHS_BYTES;
    if (this.headerDigest) {
      this.#digest(crc32cPortable(this.#slab.bytes, this.#header, this.#at));
    }
  }

  #copyParts(parts: readonly Uint8Array[], dataBytes: number): void {
    const start = this.#at;
    for (const part of parts) {
      this.#slab.bytes.set(part, this.#at);
      this.#at += part.length;
    }
    this.#pad(dataBytes);
    if (this.dataDigest) this.#digest(crc32c(this.#slab.bytes.subarray(start, this.#at)));
  }

  #large(parts: readonly Uint8Array[], dataBytes: number): void {
    this.#closeRun();
    for (const part of parts) this.#segments.push(part);
    this.#segmentBytes += dataBytes;
    const padStart = this.#at;
    this.#pad(dataBytes);
    if (!this.dataDigest) return;
    let crc = 0;
    for (const part of parts) crc = crc32c(part, crc);
    this.#digest(crc32c(this.#slab.bytes.subarray(padStart, this.#at), crc));
  }

  #pad(dataBytes: number): void {
    for (let count = padded(dataBytes) - dataBytes; count > 0; count -= 1) {
      this.#slab.bytes[this.#at] = 0;
      this.#at += 1;
    }
  }

  #digest(crc: number): void {
    this.#slab.view.setUint32(this.#at, crc, true);
    this.#at += DIGEST_BYTES;
  }

  #closeRun(): void {
    if (this.#at === this.#runStart) return;
    this.#segments.push(this.#slab.bytes.subarray(this.#runStart, this.#at));
    this.#segmentBytes += this.#at - this.#runStart;
    this.#runStart = this.#at;
    if (this.#slabIsHeld) return;
    this.#slabIsHeld = true;
    this.#slab.pendingWrites += 1;
    this.#held.push(this.#slab);
  }

  #nextSlab(): void {
    this.#closeRun();
    this.#slab = this.#pool.take();
    this.#slabIsHeld = false;
    this.#at = 0;
    this.#runStart = 0;
  }

  #sent(
    bytes: number,
    slabs: readonly Slab[],
    releases: readonly (() => void)[],
    error: Error | null | undefined,
  ): void {
    this.queuedBytes -= bytes;
    this.#budget.usedBytes -= bytes;
    for (const slab of slabs) {
      slab.pendingWrites -= 1;
      // After a failed write the system may still hold the memory: leave it to the collector.
      if (slab.pendingWrites > 0 || (error !== undefined && error !== null)) continue;
      if (slab !== this.#slab) this.#pool.giveBack(slab);
      else if (this.#at === this.#runStart) {
        this.#at = 0;
        this.#runStart = 0;
      }
    }
    if (error === undefined || error === null) for (const release of releases) release();
    this.onSent();
  }
}
