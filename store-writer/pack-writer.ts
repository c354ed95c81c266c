import { randomBytes } from 'node:crypto';
import {
  type Backend,
  type BlockReference,
  type ObjectSink,
  PACK_HEADER_BYTES,
  type PackKind,
  type PackRecord,
  packFooter,
  packHeader,
  packObject,
  type Sealer,
} from '../store-reader/index.ts';

/** A pack is closed once it holds this much. */
const PACK_TARGET_BYTES = 64 * 1024 * 1024;
const STAGING_BYTES = 4 * 1024 * 1024;
/** Unwritten bytes that may pile up before {@link PackWriter.drain} waits. */
const BACKLOG_BYTES_MAX = 16 * 1024 * 1024;

/** What a writer of packs needs to know. */
export interface PackWriterOptions {
  readonly backend: Backend;
  readonly sealer: Sealer;
  readonly repositoryId: string;
  readonly kind: PackKind;
  /** Eight hexadecimal digits that every pack of one capture carries, see `claims.ts`. */
  readonly captureTag: string;
}

/** A block ready to be stored: compressed, with its id. */
export interface EncodedRecord {
  readonly id: Uint8Array;
  readonly payload: Uint8Array;
  readonly plainBytes: number;
  readonly flags: number;
}

/**
 * Appends records to packs, one after the other. Placement is immediate; bytes are written behind,
 * and are durable after {@link finish}.
 */
export class PackWriter {
  readonly #options: PackWriterOptions;
  #pack = '';
  #records: PackRecord[] = [];
  #position = 0;
  #staging = Buffer.alloc(0);
  #staged = 0;
  #sink: Promise<ObjectSink> | undefined;
  /** Packs that are not durable yet, the one in the making and those on their way. */
  readonly #uncommitted = new Set<Promise<ObjectSink>>();
  #tail: Promise<void> = Promise.resolve();
  #backlogBytes = 0;
  #failure: unknown;
  /** Bytes handed to storage so far, headers and directories included. */
  writtenBytes = 0;

  constructor(options: PackWriterOptions) {
    this.#options = options;
  }

  /** Places a record. Its bytes may be reused once this returns. */
  add(record: EncodedRecord): BlockReference {
    if (this.#pack === '') this.#begin();
    const reference: BlockReference = {
      id: record.id,
      pack: this.#pack,
      offset: this.#position,
      length: record.payload.byteLength,
      flags: record.flags,
    };
    const { sealer } = this.#options;
    const target = this.#reserve(sealer.sealBytes + record.payload.byteLength);
    sealer.sealInto(target, record.payload, reference);
    this.#records.push({ reference, plainBytes: record.plainBytes });
    if (this.#position >= PACK_TARGET_BYTES) this.#end();
    return reference;
  }

  /** Waits while too much is unwritten. @throws RestoreError what storage threw. */
  async drain(): Promise<void> {
    if (this.#backlogBytes > BACKLOG_BYTES_MAX) await this.#tail;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Makes everything durable. @throws RestoreError what storage threw. */
  async finish(): Promise<void> {
    if (this.#pack !== '') this.#end();
    await this.#tail;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Gives up packs that are not durable yet. The others stay; see `claims.ts` for who removes them. */
  async abort(): Promise<void> {
    this.#failure ??= new Error('aborted');
    await this.#tail;
    for (const sink of this.#uncommitted) {
      await sink.then((opened) => opened.abort()).catch(() => undefined);
    }
  }

  #begin(): void {
    const { backend, repositoryId, kind, captureTag } = this.#options;
    this.#pack = newPackId(captureTag);
    this.#records = [];
    this.#position = 0;
    this.#sink = backend.create(packObject(this.#pack));
    this.#uncommitted.add(this.#sink);
    // The failure is met by the first write, which awaits the same promise.
    this.#sink.catch(() => undefined);
    this.#append(packHeader(this.#pack, repositoryId, kind));
    if (this.#position !== PACK_HEADER_BYTES) throw new Error('the pack header has a wrong size');
  }

  #end(): void {
    this.#append(packFooter(this.#records, this.#position));
    this.#flush();
    const sink = this.#sink as Promise<ObjectSink>;
    this.#queue(async () => {
      await (await sink).commit();
      this.#uncommitted.delete(sink);
    }, 0);
    this.#pack = '';
    this.#sink = undefined;
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(bytes.byteLength).set(bytes);
  }

  /** The next bytes of the pack, to be filled at once; a record never lies across two writes. */
  #reserve(length: number): Uint8Array {
    if (this.#staged + length > this.#staging.length) {
      this.#flush();
      this.#staging = Buffer.allocUnsafeSlow(Math.max(STAGING_BYTES, length));
    }
    const start = this.#staged;
    this.#staged += length;
    this.#position += length;
    return this.#staging.subarray(start, this.#staged);
  }

  /** Staging memory is handed over to the write; it is not touched again. */
  #flush(): void {
    const data = this.#staging.subarray(0, this.#staged);
    this.#staging = this.#staging.subarray(this.#staged);
    this.#staged = 0;
    if (data.length === 0) return;
    const sink = this.#sink as Promise<ObjectSink>;
    this.writtenBytes += data.length;
    this.#queue(async () => {
      await (await sink).write(data);
    }, data.length);
  }

  #queue(work: () => Promise<void>, bytes: number): void {
    this.#backlogBytes += bytes;
    this.#tail = this.#tail.then(async () => {
      try {
        if (this.#failure === undefined) await work();
      } catch (error) {
        this.#failure ??= error;
      } finally {
        this.#backlogBytes -= bytes;
      }
    });
  }
}

/** Six bytes of time, four of the capture, six of chance: packs sort by age. */
function newPackId(captureTag: string): string {
  const time = Date.now().toString(16).padStart(12, '0');
  return `${time}${captureTag}${randomBytes(6).toString('hex')}`;
}
