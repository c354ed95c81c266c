import { asRestoreError, isRestoreError, RestoreError } from '../../core/index.ts';
import type { PendingChanges } from './changes.ts';
import type { OverlayFile } from './folder.ts';
import type { MapFile } from './map-file.ts';

/** As many unwritten changes start a flush by themselves; at four times that, writes wait for it. */
const BACKLOG_RUNS = 65_536;

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Makes writes durable: first the data, then the map that points to it. One round at a time; all who
 * ask during a round share the next.
 *
 * When storage fails to make data durable, nobody can say any more which writes it keeps. Nothing is
 * then reported durable again, nor read back, until the overlay is opened anew.
 */
export class Flusher {
  readonly #data: OverlayFile;
  readonly #mapFile: MapFile;
  readonly #changes: PendingChanges;
  #dirty = false;
  #waiting: Waiter[] = [];
  #running = false;
  #failure: RestoreError | undefined;

  constructor(data: OverlayFile, mapFile: MapFile, changes: PendingChanges) {
    this.#data = data;
    this.#mapFile = mapFile;
    this.#changes = changes;
  }

  /** Notes that the data file has been written to. */
  noteWrite(): void {
    this.#dirty = true;
    if (this.#changes.count > BACKLOG_RUNS && !this.#running) {
      // Its failure is kept, and met by whoever writes or flushes next.
      this.flush().catch(() => undefined);
    }
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  get isBehind(): boolean {
    return this.#changes.count > 4 * BACKLOG_RUNS;
  }

  /** @throws RestoreError `IO` after a failure that leaves the overlay's data in doubt. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  flush(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ resolve, reject });
    if (!this.#running) void this.#run();
    return promise;
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      try {
        await this.#once();
        for (const { resolve } of waiting) resolve();
      } catch (error) {
        for (const { reject } of waiting) reject(error);
      }
    }
    this.#running = false;
  }

  async #once(): Promise<void> {
    this.check();
    if (!this.#dirty && this.#changes.count === 0) return;
    // In this order: what is written from here on belongs to the next round.
    const changes = this.#changes.take();
    this.#dirty = false;
    try {
      const wantsSnapshot = changes.length > 0 && this.#mapFile.wantsSnapshot;
      const snapshot = wantsSnapshot ? await this.#mapFile.takeSnapshot() : undefined;
      await this.#data.sync();
      const rewritten = snapshot !== undefined && (await this.#mapFile.rewrite(snapshot));
      if (!rewritten && changes.length > 0) await this.#append(changes);
      this.#changes.written();
    } catch (error) {
      if (error instanceof NothingLost) {
        this.#changes.putBack(changes);
        this.#dirty = true;
        throw error.reason;
      }
      throw this.#fail(error);
    }
  }

  async #append(changes: Parameters<MapFile['append']>[0]): Promise<void> {
    try {
      await this.#mapFile.append(changes);
    } catch (error) {
      if (isRestoreError(error, 'NO_SPACE')) throw new NothingLost(error);
      throw error;
    }
  }

  #fail(cause: unknown): RestoreError {
    const { message, where } = asRestoreError(cause, 'a flush failed');
    this.#failure = new RestoreError('IO', `the overlay can no longer be relied on: ${message}`, {
      where,
      hint: 'Check the storage below the overlay. What was flushed before is safe; open the overlay again to go on from there.',
      cause,
    });
    return this.#failure;
  }
}

/** A round that failed before anything was in doubt, and can be tried again. */
class NothingLost extends Error {
  readonly reason: RestoreError;

  constructor(reason: RestoreError) {
    super(reason.message);
    this.reason = reason;
  }
}
