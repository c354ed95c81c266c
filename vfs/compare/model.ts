import type { Attributes, FileSystem, NodeId, RestoreError } from '../../core/index.ts';

/** What differs between two states of a file. `created` and `links` are none of it. */
export type Aspect =
  | 'kind'
  | 'content'
  | 'size'
  | 'modified'
  | 'mode'
  | 'owner'
  | 'attributes'
  | 'device'
  | 'target'
  | 'xattrs'
  | 'streams';

/** One file that is another than before, by one of its names. */
export interface FileChange {
  readonly change: 'added' | 'removed' | 'changed' | 'renamed';
  /** Where it is now; of a removed one, where it was. */
  readonly path: string;
  /** Where a renamed one was. What lies in a renamed directory went with it, and is not told. */
  readonly from?: string;
  /** Of what was there on both sides, ascending as {@link Aspect} has them. */
  readonly aspects: readonly Aspect[];
  readonly before?: Attributes;
  readonly after?: Attributes;
  /** Another file of the same name took the place of the one before. */
  readonly isReplaced?: true;
  /** A name more, or less, of a file that has others. */
  readonly isLink?: true;
}

/** How two states were compared. */
export type CompareMethod =
  /** What changed on the volume led to the files: the cost follows the change. */
  | 'records'
  /** Both were listed whole: one of them knows no other way, or is laid out anew. */
  | 'listing';

/** Told of what cannot be compared; the rest goes on. */
export type ProblemSink = (error: RestoreError, path: string) => void;

/** A file on one of two sides. */
export interface SideFile {
  readonly fileSystem: FileSystem;
  readonly node: NodeId;
  readonly attributes: Attributes;
}

/** The same file, not one that has its number now. */
export function isSameFile(before: Attributes, after: Attributes): boolean {
  const { created: one } = before;
  const { created: other } = after;
  return (
    before.kind === after.kind &&
    before.fileNumber === after.fileNumber &&
    before.generation === after.generation &&
    one?.seconds === other?.seconds &&
    one?.nanoseconds === other?.nanoseconds
  );
}
