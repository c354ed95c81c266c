/**
 * All that a repository asks of the storage it lies in: put a whole object, get a range, list a
 * prefix, put if absent, delete. Objects are immutable: nothing is overwritten or renamed.
 *
 * Every method throws `RestoreError`: `NOT_FOUND` where the object is missing, `NO_SPACE` where
 * there is no room, `DENIED`, else `IO`.
 */
export interface Backend {
  /** Where it is, for messages: a path or a URL without secrets. */
  readonly location: string;
  /**
   * Fills `target` with the bytes at `offset` of an object.
   *
   * @throws RestoreError `CORRUPT` when the object ends before the range does.
   */
  readInto(name: string, target: Uint8Array, offset: number): Promise<void>;
  /** The same without a promise, for worker threads; absent where the storage has no such way. */
  readIntoSync?(name: string, target: Uint8Array, offset: number): void;
  /** A whole object. For small ones. */
  get(name: string): Promise<Uint8Array<ArrayBuffer>>;
  /** @throws RestoreError `NOT_FOUND`. */
  sizeOf(name: string): Promise<number>;
  /** The name of every object under `prefix` (a folder, no trailing slash), in no order. */
  list(prefix: string): AsyncIterable<string>;
  /** Stores an object durably; a reader sees all of it or nothing. */
  put(name: string, data: Uint8Array): Promise<void>;
  /** Like {@link put}, but `false`, with nothing changed, when the object exists. Atomic. */
  putIfAbsent(name: string, data: Uint8Array): Promise<boolean>;
  /** Starts a large object that is written front to back. */
  create(name: string): Promise<ObjectSink>;
  /** Deletes an object; quiet when there is none. */
  delete(name: string): Promise<void>;
  /** Removes what dead writers left half-written. Never touches a live writer's. */
  tidy(): Promise<void>;
  close(): Promise<void>;
}

/** An object in the making. Nobody sees it before {@link commit} resolves. */
export interface ObjectSink {
  write(data: Uint8Array): Promise<void>;
  /** Makes it durable under its name. */
  commit(): Promise<void>;
  /** Forgets it. */
  abort(): Promise<void>;
}
