import type { BlockSource } from './block-source.ts';

/**
 * A disk that can be written to: a private layer over an immutable source. What is beneath never
 * changes.
 *
 * A write is seen by every read that starts after it resolved, and survives a crash of the process or
 * the machine once a {@link flush} that started after it has resolved. Without one it may be lost, whole
 * sectors at a time, in any order: the rules of a disk with a volatile write cache.
 */
export interface BlockDevice extends BlockSource {
  /**
   * Writes `data`, whole sectors at a sector boundary. The caller may reuse `data` afterwards.
   *
   * @throws RestoreError `INVALID` for a range that is not inside the disk or not whole sectors,
   *   `NO_SPACE` when the layer may not grow any more (nothing of this write is then seen, and reads go
   *   on), `IO` when the storage fails.
   */
  writeFrom(data: Uint8Array, offset: number, signal?: AbortSignal): Promise<void>;
  /** Makes every write that has resolved durable. @throws RestoreError `IO`, `NO_SPACE`. */
  flush(): Promise<void>;
  /**
   * Makes a range, whole sectors, read as zeros; may give back the space it took. As durable as a write.
   *
   * @throws RestoreError as {@link writeFrom}.
   */
  discard(offset: number, length: number, signal?: AbortSignal): Promise<void>;
}

export function isBlockDevice(source: BlockSource): source is BlockDevice {
  return typeof (source as Partial<BlockDevice>).writeFrom === 'function';
}
