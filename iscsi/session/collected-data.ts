import type { SharedBudget } from '../protocol/pdu-writer.ts';
import type { DataSink } from './data-out.ts';
import type { TransferBuffer, TransferBuffers } from './transfer-buffers.ts';

/** What a command that needs all its data has got of them. */
export class CollectedData implements DataSink {
  readonly #wantedBytes: number;
  readonly #buffers: TransferBuffers;
  readonly #budget: SharedBudget;
  #buffer: TransferBuffer | undefined;
  #filled = 0;

  constructor(wantedBytes: number, buffers: TransferBuffers, budget: SharedBudget) {
    this.#wantedBytes = wantedBytes;
    this.#buffers = buffers;
    this.#budget = budget;
  }

  get data(): Uint8Array {
    return this.#buffer?.bytes.subarray(0, this.#filled) ?? new Uint8Array(0);
  }

  take(data: Uint8Array): void {
    this.#buffer ??= this.#reserve();
    this.#buffer.bytes.set(data, this.#filled);
    this.#filled += data.length;
  }

  /** The command is done with {@link data}. @param reusable false when somebody may still look. */
  release(reusable = true): void {
    if (this.#buffer === undefined) return;
    this.#budget.usedBytes -= this.#wantedBytes;
    if (reusable) this.#buffer.release();
    this.#buffer = undefined;
    this.#filled = 0;
  }

  #reserve(): TransferBuffer {
    this.#budget.usedBytes += this.#wantedBytes;
    return this.#buffers.take(this.#wantedBytes);
  }
}
