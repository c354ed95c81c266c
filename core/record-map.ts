import type { BlockSource, Extent } from './block-source.ts';
import type { NodeId } from './file-system.ts';
import type { ContentPlace } from './located.ts';
import type { Ranges } from './ranges.ts';

/**
 * What stretches of a volume mean to its file system, so that two states of it can be compared by what
 * differs between their bytes. A record is what the file system knows a file by (an inode, an MFT
 * record); its number stays the file's as long as the file lives, and is used again after that.
 *
 * Methods throw as those of `FileSystem` do.
 */
export interface RecordMap {
  /** Volumes that differ in this cannot be compared by records: another geometry. */
  readonly geometry: string;
  /** The volume as the file system reads it: after its journal. */
  readonly bytes: BlockSource;
  /** Stretches of `bytes` that read otherwise than they lie on the volume. */
  readonly replayed: readonly Extent[];
  /** Unit in which content is given to files, in bytes. */
  readonly unitBytes: number;
  /** Of one record. */
  readonly recordBytes: number;
  /** The records that lie in `ranges`, in use or not; runs are short enough to be read at once. */
  recordsIn(ranges: Ranges, signal?: AbortSignal): AsyncIterable<RecordRun>;
  /** Where the table of all records lies, from its first byte on; what of it cannot be found is left out. */
  recordPlaces(signal?: AbortSignal): AsyncIterable<ContentPlace>;
  /** Records as they are stored, one behind the other; fewer of them where they end. */
  readRecords(run: RecordRun, signal?: AbortSignal): Promise<Uint8Array>;
  /** The record that this one continues; itself, mostly. */
  baseOf(number: number, signal?: AbortSignal): Promise<number>;
  /** The file that the record stands for; `undefined` when it is not in use or the system's own. */
  fileOf(number: number, signal?: AbortSignal): Promise<NodeId | undefined>;
  numberOf(node: NodeId): number;
  /**
   * All that belongs to a record in use beside itself: content, maps, attributes, directory blocks.
   * Of a damaged one, nothing.
   */
  placesOf(number: number, signal?: AbortSignal): AsyncIterable<Extent>;
  /** What belongs to no file and is no matter to any: tables, bitmaps, journals. */
  ownPlaces(signal?: AbortSignal): AsyncIterable<Extent>;
  /** What of `ranges` is not in use, by the file system's own account. */
  freeIn(ranges: Ranges, signal?: AbortSignal): AsyncIterable<Extent>;
  /** Numbers of the files that have a place in `ranges`. Looks through all records. */
  ownersOf(ranges: Ranges, signal?: AbortSignal): AsyncIterable<number>;
  /**
   * The names of files, the root's none. Looks through as few directories as it can.
   *
   * @param numbers of records in use.
   * @param first directories that are likely to hold some of them.
   */
  namesOf(
    numbers: ReadonlySet<number>,
    first: readonly number[],
    signal?: AbortSignal,
  ): AsyncIterable<RecordName>;
}

/** Records with numbers that follow each other. */
export interface RecordRun {
  readonly first: number;
  readonly count: number;
}

/** One name of a file. */
export interface RecordName {
  readonly number: number;
  /** Number of the directory that has it. */
  readonly parent: number;
  readonly name: string;
}
