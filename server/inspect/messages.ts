/** What an inspector and the process that started it say to each other over the IPC channel. */
import type { PlainError } from '../../core/index.ts';
import type { Credential } from '../../store-reader/index.ts';

/** First message to the inspector: which repository it looks into. */
export interface InspectStart {
  readonly kind: 'start';
  readonly repository: string;
  readonly credential: Credential | undefined;
}

/** What was written to the output, and what could not be. */
export interface InspectOutcome {
  /** Errors told as remarks on the way: the rest of the output is there. */
  readonly failures: number;
  /** The first of them. */
  readonly first?: PlainError;
}

interface Common {
  readonly addresses: readonly string[];
  /** Write one JSON document instead of text. */
  readonly json: boolean;
}

/** Which of a file's times is shown. */
export const TIMES = ['modified', 'accessed', 'changed', 'created'] as const;
export type TimeKind = (typeof TIMES)[number];

export interface ListRequest extends Common {
  readonly long: boolean;
  readonly recursive: boolean;
  /** Tell of a directory itself, not of what is in it. */
  readonly directory: boolean;
  readonly time: TimeKind;
}

export interface ReadRequest extends Common {
  readonly stream: string | undefined;
}

export type StatRequest = Common;

export interface TreeRequest extends Common {
  readonly depthMax: number | undefined;
}

export interface FindRequest extends Common, FindConditions {
  readonly long: boolean;
  /** Paths as their bytes, each with a NUL behind it. */
  readonly separateByNul: boolean;
  readonly depthMax: number | undefined;
}

/** What a file must be; all that are given hold. */
export interface FindConditions {
  readonly name: string | undefined;
  readonly ignoreCase: boolean;
  readonly types: readonly string[] | undefined;
  readonly sizeMin: number | undefined;
  readonly sizeMax: number | undefined;
  /** Modified after, and before; seconds since 1970. */
  readonly newerThan: number | undefined;
  readonly olderThan: number | undefined;
}

export type VolumesRequest = Common;

/** Two states of a machine. */
export interface DiffRequest {
  readonly before: string;
  readonly after: string;
  /** Where to compare; instead of what the addresses say. */
  readonly path: string | undefined;
  /** How many there are, and not which. */
  readonly summary: boolean;
  readonly json: boolean;
}

/** All states of one file. */
export interface HistoryRequest {
  readonly address: string;
  /** SHA-256 of each version's content. */
  readonly hash: boolean;
  /** Go by the file's number, whatever it was called, instead of its path. */
  readonly follow: boolean;
  readonly json: boolean;
}

/** The answer is frames (`copy/frames.ts`), for the process that writes the files. */
export interface CopyRequest extends Common {
  /** What is in a directory too, not the directory alone. */
  readonly recursive: boolean;
  /** Extended attributes, ACLs and security descriptors too. */
  readonly acls: boolean;
  /** Named streams as extended attributes. */
  readonly streams: boolean;
}

/** The answer is an archive. */
export interface ArchiveRequest extends Common {
  /** Extended attributes and ACLs too, where the archive can hold them. */
  readonly acls: boolean;
  /** Read large files twice, to leave out those that cannot be read whole. */
  readonly skipDamaged: boolean;
}

/** Requests by name. Each writes to the output and answers what happened. */
export interface InspectRequests {
  copy: CopyRequest;
  diff: DiffRequest;
  history: HistoryRequest;
  list: ListRequest;
  read: ReadRequest;
  stat: StatRequest;
  tar: ArchiveRequest;
  tree: TreeRequest;
  find: FindRequest;
  volumes: VolumesRequest;
  zip: ArchiveRequest;
}
export type InspectRequestName = keyof InspectRequests;

export interface InspectRequest {
  readonly kind: 'request';
  readonly number: number;
  readonly name: InspectRequestName;
  readonly body: unknown;
}

/** Something worth telling while a request runs: a volume's health, a file that cannot be read. */
export type InspectRemark =
  | { readonly kind: 'warning'; readonly message: string }
  | { readonly kind: 'failure'; readonly error: PlainError };

export type ToInspector = InspectStart | InspectRequest;

export type FromInspector =
  /** It has given up what it must not have when it reads; nothing is sent to it before. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'alive' }
  | { readonly kind: 'remark'; readonly remark: InspectRemark }
  | {
      readonly kind: 'reply';
      readonly number: number;
      readonly ok: true;
      readonly outcome: InspectOutcome;
    }
  | {
      readonly kind: 'reply';
      readonly number: number;
      readonly ok: false;
      readonly error: PlainError;
    };

/** How often an inspector shows that it lives. */
export const ALIVE_INTERVAL_MS = 1_000;
