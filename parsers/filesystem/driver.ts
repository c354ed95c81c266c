import type { BlockSource, Budget, FileSystem, HealthLog, SparseSource } from '../../core/index.ts';

/** What a driver is handed: the volume, seen in two ways, and the means to be careful with it. */
export interface Volume {
  /** For content: reads go straight through. */
  readonly data: BlockSource;
  /** For metadata: the same bytes behind a cache, so that small reads, mostly, are `peek`s. */
  readonly metadata: SparseSource;
  /** Charged for every read already; `hold` before allocating by a size from the disk. */
  readonly budget: Budget;
  /** Where damage that was worked around is told. */
  readonly health: HealthLog;
}

/** What can be told from a few sectors, without opening. */
export interface Identification {
  /** `ext4`, `NTFS`, `FAT32`, … as `FileSystem.type`. */
  readonly type: string;
  readonly label: string;
  /** As `blkid` prints it. */
  readonly uuid: string;
}

/** One kind of file system. Registered in `registry.ts`. */
export interface FileSystemDriver {
  readonly name: string;
  /**
   * What the volume is, when it is of this kind: `undefined` when its signature is not there. Damage
   * behind the signature is no matter here; errors of the storage pass through.
   */
  identify(volume: Volume): Promise<Identification | undefined>;
  /**
   * @throws RestoreError `CORRUPT`, `UNSUPPORTED` (naming the feature), `IO`, `LIMIT`.
   */
  open(volume: Volume): Promise<FileSystem>;
}
