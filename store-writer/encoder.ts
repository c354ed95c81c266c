import { type BlockSource, isAllZero } from '../core/index.ts';
import {
  type BlockReference,
  type Codec,
  encodeBlock,
  ID_BYTES,
  type Sealer,
} from '../store-reader/index.ts';
import { PackWriter, type PackWriterOptions } from './pack-writer.ts';

/** What became of a block after hashing. */
export const BLOCK_KINDS = { zero: 0, unchanged: 1, candidate: 2 } as const;

/** A run of blocks to read and hash. */
export interface EncodeTask {
  readonly number: number;
  readonly disk: number;
  /** Start in the disk, a multiple of the block size. */
  readonly offset: number;
  readonly length: number;
  /** Ids of the same blocks in the previous point, zeros where there are none; may be absent. */
  readonly previous?: Uint8Array;
}

export interface HashedTask {
  readonly number: number;
  /** One of {@link BLOCK_KINDS} a block. */
  readonly kinds: Uint8Array;
  /** {@link ID_BYTES} a block; meaningless for zeros. */
  readonly ids: Uint8Array;
}

/** A block that has been stored: its number in the task, and its place. */
export interface StoredBlock {
  readonly slot: number;
  readonly reference: BlockReference;
}

export interface EncoderOptions extends Omit<PackWriterOptions, 'kind'> {
  readonly blockSize: number;
  readonly codec: Codec;
  readonly level: number;
}

/**
 * Reads, hashes, and, for what turns out to be new, compresses and packs blocks. One runs in each
 * capture thread, with packs of its own, so that no block crosses threads.
 */
export class BlockEncoder {
  readonly #options: EncoderOptions;
  readonly #sealer: Sealer;
  readonly #packs: PackWriter;
  readonly #held = new Map<number, { readonly data: Uint8Array; readonly ids: Uint8Array }>();
  /** Read buffers between tasks; fresh memory for every read would cost more than the read. */
  readonly #spare: Uint8Array[] = [];

  constructor(options: EncoderOptions) {
    this.#options = options;
    this.#sealer = options.sealer;
    this.#packs = new PackWriter({ ...options, kind: 'data' });
  }

  get writtenBytes(): number {
    return this.#packs.writtenBytes;
  }

  /** Reads and hashes a task; holds its bytes until {@link store}. */
  async hash(source: BlockSource, task: EncodeTask): Promise<HashedTask> {
    const data = this.#buffer(task.length);
    await source.readInto(data, task.offset);
    const count = Math.ceil(task.length / this.#options.blockSize);
    const kinds = new Uint8Array(count);
    const ids = new Uint8Array(count * ID_BYTES);
    for (let slot = 0; slot < count; slot += 1) {
      const block = this.#block(data, slot);
      if (isAllZero(block)) continue;
      const id = this.#sealer.idOf(block);
      ids.set(id, slot * ID_BYTES);
      kinds[slot] = isSame(task.previous, id, slot) ? BLOCK_KINDS.unchanged : BLOCK_KINDS.candidate;
    }
    this.#held.set(task.number, { data, ids });
    return { number: task.number, kinds, ids: ids.slice() };
  }

  /** Stores the blocks marked in `wanted` and lets go of the task's bytes. */
  async store(number: number, wanted: Uint8Array): Promise<StoredBlock[]> {
    const held = this.#held.get(number);
    if (held === undefined) throw new Error(`task ${number} was never hashed`);
    const stored: StoredBlock[] = [];
    for (let slot = 0; slot < wanted.length; slot += 1) {
      if (wanted[slot] !== 1) continue;
      const plain = this.#block(held.data, slot);
      const { data: payload, codec } = encodeBlock(plain, this.#options.codec, this.#options.level);
      const id = held.ids.subarray(slot * ID_BYTES, (slot + 1) * ID_BYTES);
      const record = { id, payload, plainBytes: plain.byteLength, flags: codec };
      stored.push({ slot, reference: this.#packs.add(record) });
    }
    this.#held.delete(number);
    this.#spare.push(held.data);
    await this.#packs.drain();
    return stored;
  }

  finish(): Promise<void> {
    return this.#packs.finish();
  }

  abort(): Promise<void> {
    return this.#packs.abort();
  }

  #buffer(length: number): Uint8Array {
    const spare = this.#spare.pop();
    if (spare !== undefined && spare.buffer.byteLength >= length) {
      return new Uint8Array(spare.buffer, 0, length);
    }
    return new Uint8Array(length);
  }

  #block(data: Uint8Array, slot: number): Uint8Array {
    const { blockSize } = this.#options;
    return data.subarray(slot * blockSize, Math.min(data.length, (slot + 1) * blockSize));
  }
}

function isSame(previous: Uint8Array | undefined, id: Uint8Array, slot: number): boolean {
  if (previous === undefined) return false;
  return Buffer.compare(previous.subarray(slot * ID_BYTES, (slot + 1) * ID_BYTES), id) === 0;
}
