import type { BlockDevice } from '../../core/index.ts';
import { RangeLocks } from './range-locks.ts';

/**
 * The changes that all sessions make to one writable disk: overlapping ones in order, flushes
 * shared.
 */
export class Medium {
  readonly device: BlockDevice;
  readonly #locks = new RangeLocks();
  /** Something was written since the last flush began. */
  #dirty = false;
  #flushing: Promise<void> | undefined;
  #nextFlush: Promise<void> | undefined;

  constructor(device: BlockDevice) {
    this.device = device;
  }

  /** Nothing written has still to be made durable. */
  get clean(): boolean {
    return !this.#dirty && this.#flushing === undefined;
  }

  /** Writes whole blocks. @throws RestoreError as the device does. */
  async write(data: Uint8Array, offsetBytes: number): Promise<void> {
    const { lock, ready } = this.#locks.take(offsetBytes, data.length);
    try {
      if (ready !== undefined) await ready;
      await this.device.writeFrom(data, offsetBytes);
    } finally {
      this.#dirty = true;
      this.#locks.release(lock);
    }
  }

  /** Makes a range read as zeros. @throws RestoreError as the device does. */
  async discard(offsetBytes: number, lengthBytes: number): Promise<void> {
    await this.exclusive(offsetBytes, lengthBytes, () =>
      this.device.discard(offsetBytes, lengthBytes),
    );
  }

  /** Runs `work` while nothing else changes the range. It uses {@link device}, never this. */
  async exclusive<T>(offsetBytes: number, lengthBytes: number, work: () => Promise<T>): Promise<T> {
    const { lock, ready } = this.#locks.take(offsetBytes, lengthBytes);
    try {
      if (ready !== undefined) await ready;
      return await work();
    } finally {
      this.#dirty = true;
      this.#locks.release(lock);
    }
  }

  /**
   * Makes durable what was written before the call. Those who ask while a flush runs share the next.
   *
   * @throws RestoreError as the device does; what was written then counts as not durable.
   */
  flush(): Promise<void> {
    // One that has not begun yet covers whatever is asked for now.
    if (this.#nextFlush !== undefined) return this.#nextFlush;
    const running = this.#flushing;
    if (running === undefined) return this.#dirty ? this.#startFlush() : Promise.resolve();
    if (!this.#dirty) return running;
    this.#nextFlush = running.then(
      () => this.#startFlush(),
      () => this.#startFlush(),
    );
    return this.#nextFlush;
  }

  /** Resolves when no change and no flush is under way. */
  async whenIdle(): Promise<void> {
    await this.#locks.whenIdle();
    // Its failure is told to those who asked for it.
    await this.#flushing?.catch(() => {});
  }

  #startFlush(): Promise<void> {
    this.#nextFlush = undefined;
    this.#dirty = false;
    this.#flushing = this.#flushDevice();
    return this.#flushing;
  }

  async #flushDevice(): Promise<void> {
    try {
      await this.device.flush();
    } catch (error) {
      this.#dirty = true;
      throw error;
    } finally {
      this.#flushing = undefined;
    }
  }
}
