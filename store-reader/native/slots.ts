import type { DecodeRequest } from './decoder.ts';
import { encodeRequest, SLOT_HEADER_BYTES } from './decode-messages.ts';

/** A piece of memory that one decoding thread shares with us. */
export interface Slot {
  readonly number: number;
  readonly memory: SharedArrayBuffer;
  readonly bytes: Buffer;
  readonly owner: SlotPool;
}

/**
 * The slots of one thread. New memory is dear (it must be faulted in, and collected), and what two
 * threads share is collected late if ever: so slots are used again, and never let go.
 */
export class SlotPool {
  readonly #capacityBytes: number;
  readonly #idle: Slot[] = [];
  #next = 0;
  #added: [number, SharedArrayBuffer][] = [];
  #ended = false;

  /** @param capacityBytes the longest block. */
  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  take(request: DecodeRequest): Slot {
    const slot = this.#idle.pop() ?? this.#make();
    encodeRequest(slot.bytes, request);
    return slot;
  }

  /** Nobody looks at the slot any more. */
  reuse(slot: Slot): void {
    if (!this.#ended) this.#idle.push(slot);
  }

  /** The thread is no more. */
  end(): void {
    this.#ended = true;
    this.#idle.length = 0;
  }

  /** Slots that the thread must be told of before it hears of them in work. */
  takeNew(): [number, SharedArrayBuffer][] {
    const added = this.#added;
    this.#added = [];
    return added;
  }

  #make(): Slot {
    const memory = new SharedArrayBuffer(SLOT_HEADER_BYTES + this.#capacityBytes);
    const number = this.#next;
    this.#next += 1;
    this.#added.push([number, memory]);
    return { number, memory, bytes: Buffer.from(memory), owner: this };
  }
}
