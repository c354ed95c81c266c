import { asRestoreError, RestoreError } from '../../core/index.ts';
import type { Backend } from '../backends/backend.ts';
import { decodeBlock } from './codec.ts';
import { type BlockReference, packObject } from './format.ts';
import type { Sealer } from './seal.ts';

/** A block to fetch. */
export interface DecodeRequest {
  readonly reference: BlockReference;
  /** Exact plain length for blocks; the upper limit for pages, which say their length themselves. */
  readonly plainBytes: number;
  readonly isPage: boolean;
  /** Memory of `plainBytes` to decode into; without it, the result is in memory of its own. */
  readonly into?: Uint8Array;
}

/** A block's plain bytes in memory of its own, or why there are none. */
export type DecodeResult = Uint8Array | RestoreError;

/** Fetches, proves and decompresses blocks. */
export interface BlockDecoder {
  /**
   * True where decoding is done by whoever asks for it: nothing is gained by asking ahead, and a block
   * that is wanted whole can be decoded to where it is wanted.
   */
  readonly isInline: boolean;
  /** How many blocks one batch should have at the most. */
  readonly batchBlocks: number;
  /**
   * Requests that lie side by side in one pack, in ascending order. One result a request.
   *
   * @param isAhead nobody waits for them yet: what somebody waits for goes first.
   */
  decode(batch: readonly DecodeRequest[], isAhead?: boolean): Promise<readonly DecodeResult[]>;
  /** Somebody waits now for a block that was asked for ahead. */
  hasten?(reference: BlockReference): void;
  /** Takes back the memory of a result, to be written over: nobody looks at it any more. */
  release?(block: Uint8Array): void;
  close(): Promise<void>;
}

/** Records further apart than this are not read as one. */
const GAP_BYTES_MAX = 16 * 1024;
/** A megabyte of blocks that do not compress, with what lies around them. */
const BATCH_BYTES_MAX = 1024 * 1024 + 128 * 1024;

export interface InlineOptions {
  /** Prove the full id of every block too, not the seal alone. */
  readonly checkIds?: boolean;
  /** Long reads are left to the thread pool: for a thread that others want something of meanwhile. */
  readonly overlaps?: boolean;
}

/** From here on, reading in another thread while this one proves what it has is worth its round trip. */
const OVERLAPPED_BYTES_MIN = 256 * 1024;
/** Buffers for overlapped reads that are kept to be used again. */
const BUFFERS_KEPT = 4;

/** Decodes on the calling thread. */
export class InlineDecoder implements BlockDecoder {
  readonly isInline = true;
  readonly batchBlocks = 32;
  readonly #backend: Backend;
  readonly #sealer: Sealer;
  readonly #checkIds: boolean;
  readonly #overlaps: boolean;
  #scratch: Uint8Array = new Uint8Array(0);
  readonly #buffers: Uint8Array[] = [];

  constructor(backend: Backend, sealer: Sealer, options: InlineOptions = {}) {
    this.#backend = backend;
    this.#sealer = sealer;
    this.#checkIds = options.checkIds ?? false;
    this.#overlaps = options.overlaps ?? false;
  }

  async decode(batch: readonly DecodeRequest[]): Promise<readonly DecodeResult[]> {
    const [first] = batch;
    const last = batch.at(-1);
    if (first === undefined || last === undefined) return [];
    const length = this.#endOf(last.reference) - first.reference.offset;
    const isLong = length >= OVERLAPPED_BYTES_MIN;
    const readIntoSync = this.#backend.readIntoSync?.bind(this.#backend);
    if (readIntoSync === undefined || (isLong && this.#overlaps)) {
      return await this.#decodeOverlapped(batch, first, length);
    }
    // No await from here on: others would use the same room meanwhile.
    if (this.#scratch.byteLength < length) this.#scratch = Buffer.allocUnsafeSlow(length);
    const records = this.#scratch.subarray(0, length);
    try {
      readIntoSync(packObject(first.reference.pack), records, first.reference.offset);
    } catch (error) {
      return await this.#decodeSingly(batch, error);
    }
    return this.#decodeRecords(records, batch, first);
  }

  async close(): Promise<void> {}

  #endOf(reference: BlockReference): number {
    return reference.offset + this.#sealer.sealBytes + reference.length;
  }

  /** The same, while others may use this thread. */
  async #decodeOverlapped(
    batch: readonly DecodeRequest[],
    first: DecodeRequest,
    length: number,
  ): Promise<readonly DecodeResult[]> {
    const kept = this.#buffers.pop();
    const buffer = kept === undefined || kept.byteLength < length ? roomFor(length) : kept;
    const records = buffer.subarray(0, length);
    try {
      const { pack, offset } = first.reference;
      await this.#backend.readInto(packObject(pack), records, offset);
      return this.#decodeRecords(records, batch, first);
    } catch (error) {
      return await this.#decodeSingly(batch, error);
    } finally {
      if (this.#buffers.length < BUFFERS_KEPT) this.#buffers.push(buffer);
    }
  }

  /** One truncated record must not take its neighbours with it. */
  async #decodeSingly(batch: readonly DecodeRequest[], error: unknown): Promise<DecodeResult[]> {
    if (batch.length === 1) return [asRestoreError(error, 'cannot read a pack')];
    const results: DecodeResult[] = [];
    for (const request of batch) results.push(...(await this.decode([request])));
    return results;
  }

  #decodeRecords(
    records: Uint8Array,
    batch: readonly DecodeRequest[],
    first: DecodeRequest,
  ): DecodeResult[] {
    const start = first.reference.offset;
    return batch.map((request) => {
      const from = request.reference.offset - start;
      const record = records.subarray(from, this.#endOf(request.reference) - start);
      return this.#decodeRecord(record, request);
    });
  }

  #decodeRecord(record: Uint8Array, request: DecodeRequest): DecodeResult {
    const { reference, plainBytes, isPage, into } = request;
    try {
      const payload = this.#sealer.unseal(record, reference);
      const plain = decodeBlock(payload, reference.flags, plainBytes, undefined, into);
      if (!isPage && plain.byteLength !== plainBytes) {
        throw new RestoreError('CORRUPT', 'a stored block has a wrong length', {
          where: { expected: plainBytes, found: plain.byteLength },
        });
      }
      if (isPage || this.#checkIds) this.#sealer.checkId(plain, reference);
      return into === undefined ? ownMemory(plain) : movedInto(into, plain);
    } catch (error) {
      const { pack, offset } = reference;
      return asRestoreError(error, 'cannot decode a block', { object: `pack ${pack}`, offset });
    }
  }
}

/**
 * Puts requests into batches that one read each can serve: same pack, close together, not too long.
 */
export function batchRequests(
  requests: readonly DecodeRequest[],
  blocksMax: number,
): DecodeRequest[][] {
  const sorted = requests.toSorted((a, b) => comparePlaces(a.reference, b.reference));
  const batches: DecodeRequest[][] = [];
  let batch: DecodeRequest[] = [];
  for (const request of sorted) {
    const [first] = batch;
    const last = batch.at(-1);
    if (first === undefined || last === undefined || !joins(first, last, request)) {
      batch = [];
      batches.push(batch);
    } else if (batch.length >= blocksMax) {
      batch = [];
      batches.push(batch);
    }
    batch.push(request);
  }
  return batches;
}

function joins(first: DecodeRequest, last: DecodeRequest, next: DecodeRequest): boolean {
  const end = last.reference.offset + last.reference.length;
  return (
    last.reference.pack === next.reference.pack &&
    next.reference.offset >= end &&
    next.reference.offset - end <= GAP_BYTES_MAX &&
    next.reference.offset + next.reference.length - first.reference.offset <= BATCH_BYTES_MAX
  );
}

function comparePlaces(a: BlockReference, b: BlockReference): number {
  if (a.pack !== b.pack) return a.pack < b.pack ? -1 : 1;
  return a.offset - b.offset;
}

/** Some more than is asked for: the next batch is seldom of the same length. */
function roomFor(length: number): Uint8Array {
  return Buffer.allocUnsafeSlow(Math.max(length, BATCH_BYTES_MAX));
}

/** Not every codec can decode to where it is told. */
function movedInto(into: Uint8Array, plain: Uint8Array): Uint8Array {
  if (plain.buffer !== into.buffer) into.set(plain);
  return into.subarray(0, plain.byteLength);
}

/** A view of a larger buffer would keep all of it alive in the cache. */
function ownMemory(plain: Uint8Array): Uint8Array {
  return plain.byteLength === plain.buffer.byteLength ? plain : new Uint8Array(plain);
}
