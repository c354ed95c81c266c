/**
 * The few file operations that an overlay is made of. It uses nothing else, so a test can put a
 * folder in memory in this one's place, cut its power at any operation, and look at what is left.
 */

export interface OverlayFolder {
  /** For messages. */
  readonly path: string;
  /** Creates a file, or empties the one that is there. @throws RestoreError */
  create(name: string): Promise<OverlayFile>;
  /** @throws RestoreError `NOT_FOUND` */
  open(name: string): Promise<OverlayFile>;
  /** Replaces `to`. Durable after {@link sync}. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; one that is not there is no error. */
  remove(name: string): Promise<void>;
  /** Makes the names in the folder durable. */
  sync(): Promise<void>;
  /** Bytes that may still be written to this file system. */
  freeBytes(): number;
}

/** All offsets and lengths in bytes. Errors are `RestoreError`s, `NO_SPACE` among them. */
export interface OverlayFile {
  sizeBytes(): number;
  /** Grows the file, without taking space, or cuts it. */
  resize(sizeBytes: number): Promise<void>;
  /** Fills `target` if that needs no waiting for storage; `false` leaves it undefined. */
  readNow(target: Uint8Array, offset: number): boolean;
  /** Fills `target`. @throws RestoreError `IO`, and `CORRUPT` past the file's end. */
  read(target: Uint8Array, offset: number): Promise<void>;
  /** Writes at once, blocking; meant for what lands in the page cache. */
  writeNow(data: Uint8Array, offset: number): void;
  write(data: Uint8Array, offset: number): Promise<void>;
  /** Gives back the space of a range, which then reads as zeros; `false` where that is not known. */
  punch(offset: number, length: number): Promise<boolean>;
  /** Makes all that was written before the call durable (fdatasync(2)). */
  sync(): Promise<void>;
  close(): Promise<void>;
}
