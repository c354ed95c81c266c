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
const BATCH_BYTES_MAX = 1024 * 1024;

/** Decodes on the calling thread. */
export class InlineDecoder implements BlockDecoder {
  readonly #backend: Backend;
  readonly #sealer: Sealer;
  readonly #checkIds: boolean;
  #scratch: Uint8Array = new Uint8Array(0);

  /** @param checkIds prove the full id of every block too, not the seal alone. */
  constructor(backend: Backend, sealer: Sealer, checkIds = false) {
    this.#backend = backend;
    this.#sealer = sealer;
    this.#checkIds = checkIds;
  }

  async decode(batch: readonly DecodeRequest[]): Promise<readonly DecodeResult[]> {
    const [first] = batch;
    const last = batch.at(-1);
    if (first === undefined || last === undefined) return [];
    const start = first.reference.offset;
    const end = this.#endOf(last.reference);
    const records = this.#room(end - start);
    try {
      // No await where reading is at once: others would use the same room meanwhile.
      const reading = this.#read(first.reference.pack, records, start);
      if (reading !== undefined) await reading;
    } catch (error) {
      if (batch.length === 1) return [asRestoreError(error, 'cannot read a pack')];
      // One truncated record must not take its neighbours with it.
      return await this.#decodeSingly(batch);
    }
    return batch.map((request) => {
      const from = request.reference.offset - start;
      const record = records.subarray(from, this.#endOf(request.reference) - start);
      return this.#decodeRecord(record, request);
    });
  }

  async close(): Promise<void> {}

  #endOf(reference: BlockReference): number {
    return reference.offset + this.#sealer.sealBytes + reference.length;
  }

  /** For stored bytes. Used again where nothing else can run before they are decoded. */
  #room(length: number): Uint8Array {
    if (this.#backend.readIntoSync === undefined) return Buffer.allocUnsafeSlow(length);
    if (this.#scratch.byteLength < length) this.#scratch = Buffer.allocUnsafeSlow(length);
    return this.#scratch.subarray(0, length);
  }

  async #decodeSingly(batch: readonly DecodeRequest[]): Promise<DecodeResult[]> {
    const results: DecodeResult[] = [];
    for (const request of batch) results.push(...(await this.decode([request])));
    return results;
  }

  #read(pack: string, target: Uint8Array, offset: number): Promise<void> | undefined {
    const object = packObject(pack);
    if (this.#backend.readIntoSync === undefined) {
      return this.#backend.readInto(object, target, offset);
    }
    this.#backend.readIntoSync(object, target, offset);
    return undefined;
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

/** Not every codec can decode to where it is told. */
function movedInto(into: Uint8Array, plain: Uint8Array): Uint8Array {
  if (plain.buffer !== into.buffer) into.set(plain);
  return into.subarray(0, plain.byteLength);
}

/** A view of a larger buffer would keep all of it alive in the cache. */
function ownMemory(plain: Uint8Array): Uint8Array {
  return plain.byteLength === plain.buffer.byteLength ? plain : new Uint8Array(plain);
}
