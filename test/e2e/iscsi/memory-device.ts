import { type BlockDevice, checkRange, type Extent, RestoreError } from '../../../core/index.ts';

const CHUNK_BYTES = 64 * 1024;
const SECTOR_BYTES = 512;

interface Chunk {
  readonly bytes: Uint8Array;
  /** One byte a sector: written or not. */
  readonly mapped: Uint8Array;
}

/** What the device was asked to do, in order. */
export interface DeviceEvent {
  readonly kind: 'write' | 'discard' | 'flush';
  /** `begin` when asked, `end` when resolved. */
  readonly stage: 'begin' | 'end';
  readonly offset: number;
  readonly length: number;
}

/** A sparse writable disk in memory, that can be slow, full, or broken. */
export class MemoryDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize = 512;
  /** Kept only when asked for. */
  readonly events: DeviceEvent[] = [];
  recordEvents = false;
  /** Every change and flush takes this long. */
  delayMs = 0;
  /** Thrown by the next changes and flushes. */
  failure: RestoreError | undefined;
  /** Most bytes that may be stored, in whole chunks. */
  limitBytes: number = Number.POSITIVE_INFINITY;
  flushes = 0;
  /** Writes and discards that went well. */
  changes = 0;
  readonly #chunks = new Map<number, Chunk>();

  constructor(size: number) {
    this.size = size;
  }

  get usedBytes(): number {
    return this.#chunks.size * CHUNK_BYTES;
  }

  async readInto(target: Uint8Array, offset: number): Promise<void> {
    checkRange(this, offset, target.length);
    this.#each(offset, target.length, (index, from, to, at) => {
      const chunk = this.#chunks.get(index);
      const part = target.subarray(at, at + to - from);
      if (chunk === undefined) part.fill(0);
      else part.set(chunk.bytes.subarray(from, to));
    });
  }

  peek(offset: number, length: number): undefined {
    checkRange(this, offset, length);
    return undefined;
  }

  async writeFrom(data: Uint8Array, offset: number): Promise<void> {
    this.#checkSectors(offset, data.length);
    await this.#slowly('write', offset, data.length);
    this.#ensureRoom(offset, data.length);
    this.#each(offset, data.length, (index, from, to, at) => {
      const chunk = this.#chunk(index);
      chunk.bytes.set(data.subarray(at, at + to - from), from);
      chunk.mapped.fill(1, from / SECTOR_BYTES, to / SECTOR_BYTES);
    });
    this.changes += 1;
    this.#record('write', 'end', offset, data.length);
  }

  async flush(): Promise<void> {
    await this.#slowly('flush', 0, 0);
    this.flushes += 1;
    this.#record('flush', 'end', 0, 0);
  }

  async discard(offset: number, length: number): Promise<void> {
    this.#checkSectors(offset, length);
    await this.#slowly('discard', offset, length);
    this.#each(offset, length, (index, from, to) => {
      const chunk = this.#chunks.get(index);
      if (chunk === undefined) return;
      chunk.bytes.fill(0, from, to);
      chunk.mapped.fill(0, from / SECTOR_BYTES, to / SECTOR_BYTES);
      if (!chunk.mapped.includes(1)) this.#chunks.delete(index);
    });
    this.changes += 1;
    this.#record('discard', 'end', offset, length);
  }

  async *extents(offset: number, length: number): AsyncGenerator<Extent> {
    checkRange(this, offset, length);
    const end = offset + length;
    let start: number | undefined;
    const indexes = [...this.#chunks.keys()].sort((left, right) => left - right);
    let last = offset;
    for (const index of indexes) {
      const { mapped } = this.#chunks.get(index) as Chunk;
      for (let sector = 0; sector < mapped.length; sector += 1) {
        const at = index * CHUNK_BYTES + sector * SECTOR_BYTES;
        if (at < offset || at >= end) continue;
        if (start !== undefined && (mapped[sector] === 0 || at !== last)) {
          yield { offset: start, length: last - start };
          start = undefined;
        }
        if (mapped[sector] !== 1) continue;
        start ??= at;
        last = at + SECTOR_BYTES;
      }
    }
    if (start !== undefined) yield { offset: start, length: last - start };
  }

  async close(): Promise<void> {}

  /** All bytes of a range, for comparing. */
  async bytes(offset = 0, length: number = this.size - offset): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    await this.readInto(bytes, offset);
    return bytes;
  }

  #checkSectors(offset: number, length: number): void {
    checkRange(this, offset, length);
    if (offset % SECTOR_BYTES === 0 && length % SECTOR_BYTES === 0) return;
    throw new RestoreError('INVALID', 'not whole sectors', { where: { offset, found: length } });
  }

  async #slowly(kind: DeviceEvent['kind'], offset: number, length: number): Promise<void> {
    this.#record(kind, 'begin', offset, length);
    if (this.failure !== undefined) throw this.failure;
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
  }

  #record(
    kind: DeviceEvent['kind'],
    stage: DeviceEvent['stage'],
    offset: number,
    length: number,
  ): void {
    if (this.recordEvents) this.events.push({ kind, stage, offset, length });
  }

  #ensureRoom(offset: number, length: number): void {
    if (this.limitBytes === Number.POSITIVE_INFINITY) return;
    let fresh = 0;
    this.#each(offset, length, (index) => {
      if (!this.#chunks.has(index)) fresh += CHUNK_BYTES;
    });
    if (this.usedBytes + fresh <= this.limitBytes) return;
    throw new RestoreError('NO_SPACE', 'the overlay is full', { hint: 'Raise its limit.' });
  }

  #chunk(index: number): Chunk {
    let chunk = this.#chunks.get(index);
    if (chunk === undefined) {
      chunk = {
        bytes: new Uint8Array(CHUNK_BYTES),
        mapped: new Uint8Array(CHUNK_BYTES / SECTOR_BYTES),
      };
      this.#chunks.set(index, chunk);
    }
    return chunk;
  }

  #each(
    offset: number,
    length: number,
    visit: (index: number, from: number, to: number, at: number) => void,
  ): void {
    for (let at = 0; at < length; ) {
      const index = Math.floor((offset + at) / CHUNK_BYTES);
      const from = (offset + at) % CHUNK_BYTES;
      const to = Math.min(CHUNK_BYTES, from + length - at);
      visit(index, from, to, at);
      at += to - from;
    }
  }
}
