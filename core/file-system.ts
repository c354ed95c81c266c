import type { SparseSource } from './block-source.ts';
import type { RestoreError } from './errors.ts';
import type { VolumeHealth } from './health.ts';
import type { RecordMap } from './record-map.ts';

/**
 * One file or directory of an open `FileSystem`. What the number is, is the driver's affair (an inode
 * number, an MFT record, the place of a directory entry); it holds while the file system is open.
 */
export type NodeId = number;

/**
 * A volume's files, read-only. Node-based: names are looked up one at a time, content is a
 * `SparseSource` again. Bytes come from a `BlockSource` that may hold anything at all, so every
 * method may throw `RestoreError` `CORRUPT` (the structure contradicts itself or its checksum),
 * `UNSUPPORTED` (well-formed, but of a kind that is not read: never shown as empty or as zeros),
 * `IO`, `LIMIT` or `CANCELLED`. Damage never reads as "not found".
 *
 * Names are text as `core/file-name.ts` has it: bytes that are not UTF-8 are kept, reversibly.
 */
export interface FileSystem {
  /** As `blkid` would call it, with its kind spelled out: `ext4`, `NTFS`, `FAT32`, `exFAT`, … */
  readonly type: string;
  /** The volume's own name; empty when it has none. */
  readonly label: string;
  /** UUID or serial number, as `blkid` prints it; empty when it has none. */
  readonly uuid: string;
  readonly caseSensitive: boolean;
  readonly root: NodeId;
  /** What is known now; grows as damage is met. */
  readonly health: VolumeHealth;
  readonly space: SpaceUse;
  /**
   * Bytes of the volume that are free, for drivers whose `space` lacks them because counting reads
   * much; `undefined` where they cannot be told.
   */
  countFree?(signal?: AbortSignal): Promise<number | undefined>;
  /** An ability that not every driver has: to compare two states of a volume by what changed. */
  readonly records?: RecordMap;
  /**
   * The node called `name` in the directory `parent`, by the volume's own rules of case.
   *
   * @returns `undefined` when the directory, read whole, has no such name. A directory that cannot
   *   be read whole and whose rest lacks the name throws `CORRUPT`.
   * @throws RestoreError `INVALID` when `parent` is no directory.
   */
  lookup(parent: NodeId, name: string, signal?: AbortSignal): Promise<NodeId | undefined>;
  stat(node: NodeId, signal?: AbortSignal): Promise<Attributes>;
  /**
   * The directory's entries, without `.` and `..`, each once, in batches and in no order. What can
   * be read is given first; when a part of the directory could not be read it throws after that.
   *
   * @throws RestoreError `INVALID` when `node` is no directory.
   */
  list(node: NodeId, options?: ListOptions): AsyncIterable<readonly DirectoryEntry[]>;
  /**
   * A file's content, or that of one of its streams. Closing it leaves the file system open.
   *
   * @throws RestoreError `INVALID` when `node` is no regular file (a directory has streams all the
   *   same), `NOT_FOUND` when it has no such stream.
   */
  open(node: NodeId, stream?: string, signal?: AbortSignal): Promise<SparseSource>;
  /** @throws RestoreError `INVALID` when `node` is no symbolic link. */
  readLink(node: NodeId, signal?: AbortSignal): Promise<LinkTarget>;
  /**
   * Extended attributes by the names that Linux has for them, POSIX ACLs (`system.posix_acl_access`,
   * in the kernel's interchange form) and NTFS security descriptors (`system.ntfs_acl`, as stored)
   * among them.
   */
  xattrs(node: NodeId, signal?: AbortSignal): Promise<readonly ExtendedAttribute[]>;
  /** Named streams (NTFS), the unnamed one not among them. */
  streams(node: NodeId, signal?: AbortSignal): Promise<readonly StreamEntry[]>;
  /** Frees what is held. The source below stays open: it belongs to the caller. */
  close(): Promise<void>;
}

export interface ListOptions {
  /** Gives each entry its attributes too. Cheaper than a `stat` for each. */
  readonly attributes?: boolean;
  readonly signal?: AbortSignal;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly node: NodeId;
  /** `unknown` where the directory does not say and attributes were not asked for. */
  readonly kind: FileKind | 'unknown';
  /** Present when asked for and readable. */
  readonly attributes?: Attributes;
  /** Why the attributes that were asked for are missing. */
  readonly error?: RestoreError;
  /** The entry's second, short name (8.3) where it has one. */
  readonly shortName?: string;
}

export type FileKind =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'block-device'
  | 'character-device'
  | 'fifo'
  | 'socket';

/** What `stat(2)` would say, as far as the file system records it. */
export interface Attributes {
  readonly kind: FileKind;
  /** Bytes of content; of a symbolic link, of its target. */
  readonly size: number;
  /** Bytes that the content occupies on the volume. */
  readonly allocated: number;
  readonly links: number;
  readonly modified: Timestamp;
  readonly accessed?: Timestamp;
  /** When the record itself changed (`ctime`). */
  readonly changed?: Timestamp;
  readonly created?: Timestamp;
  /** The twelve permission bits, where the file system has any. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly device?: { readonly major: number; readonly minor: number };
  /** Names the file across restore points: inode or MFT record number, and its reuse count. */
  readonly fileNumber: number;
  readonly generation: number;
  /** `FILE_ATTRIBUTE_*` bits (NTFS, FAT, exFAT). */
  readonly dosAttributes?: number;
  /** Why the content cannot be read though the file is listed: encrypted, deduplicated, … */
  readonly unreadable?: string;
}

/** Seconds since 1970-01-01 UTC, before it negative, and nanoseconds 0 to 999,999,999 after that. */
export interface Timestamp {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** `windows` targets keep their backslashes: `C:\Users`, `..\other`. */
export interface LinkTarget {
  readonly target: string;
  readonly style: 'posix' | 'windows';
}

export interface ExtendedAttribute {
  readonly name: string;
  readonly value: Uint8Array;
}

export interface StreamEntry {
  readonly name: string;
  readonly size: number;
  readonly allocated: number;
}

/** Bytes of the volume; what a driver does not know is missing. */
export interface SpaceUse {
  readonly totalBytes: number;
  readonly freeBytes?: number;
}
