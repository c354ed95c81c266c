import {
  type BlockSource,
  checkRange,
  type Extent,
  extentsOf,
  type SectorSize,
  type SparseSource,
} from '../block-source.ts';
import { type ErrorCode, RestoreError } from '../errors.ts';

/** Trouble to cause, for tests. */
export interface Fault {
  /** Reads that touch this range fail. */
  readonly range?: Extent;
  /** The error they fail with; `IO` by default. */
  readonly code?: ErrorCode;
  /** Waits this long before each read in the range, in milliseconds. */
  readonly delayMs?: number;
  /** Only delays, never fails. */
  readonly delayOnly?: boolean;
  /** How many reads it hits before it is spent; for ever by default. */
  readonly times?: number;
}

/** Fails or delays chosen reads of `next`, as broken storage does. */
export function faulty(next: BlockSource, faults: readonly Fault[]): SparseSource {
  return new Faulty(next, faults);
}

class Faulty implements SparseSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #next: BlockSource;
  readonly #faults: { readonly fault: Fault; left: number }[];

  constructor(next: BlockSource, faults: readonly Fault[]) {
    this.#next = next;
    this.#faults = faults.map((fault) => ({
      fault,
      left: fault.times ?? Number.POSITIVE_INFINITY,
    }));
    this.size = next.size;
    this.sectorSize = next.sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    checkRange(this, offset, target.byteLength);
    for (const entry of this.#faults) {
      if (entry.left <= 0 || !touches(entry.fault, offset, target.byteLength)) continue;
      entry.left -= 1;
      await suffer(entry.fault, offset);
    }
    await this.#next.readInto(target, offset, signal);
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    checkRange(this, offset, length);
    const hit = this.#faults.some(({ fault, left }) => left > 0 && touches(fault, offset, length));
    return hit ? undefined : this.#next.peek(offset, length);
  }

  extents(offset: number, length: number, signal?: AbortSignal): AsyncIterable<Extent> {
    return extentsOf(this.#next, offset, length, signal);
  }

  close(): Promise<void> {
    return this.#next.close();
  }
}

async function suffer(fault: Fault, offset: number): Promise<void> {
  if (fault.delayMs !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
  }
  if (fault.delayOnly === true) return;
  throw new RestoreError(fault.code ?? 'IO', 'an injected fault', {
    where: { offset },
  });
}

function touches({ range }: Fault, offset: number, length: number): boolean {
  if (range === undefined) return true;
  return offset < range.offset + range.length && offset + length > range.offset;
}
