/** What the gateway and its iSCSI process say to each other over the IPC channel. */
import type { PlainError } from '../core/index.ts';
import type { IdentityReport } from '../parsers/index.ts';
import type { Credential, PointName } from '../store-reader/index.ts';
import type { CreateOverlayOptions } from '../store-writer/index.ts';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** First message to the process. */
export interface IscsiStart {
  readonly repository: string;
  readonly credential: Credential | undefined;
  readonly listen: HostPort;
  readonly advertise: HostPort | undefined;
  readonly cacheBytes: number;
}

/** A disk to open as a LUN. */
export interface IscsiExport {
  readonly iqn: string;
  readonly alias: string;
  readonly point: PointName;
  readonly disk: string;
  /** Equal for equal bytes: repository, restore point and disk. */
  readonly identitySeed: string;
  readonly chap: {
    readonly user: string;
    readonly secret: string;
    /** How the target proves itself in turn. */
    readonly mutual?: { readonly user: string; readonly secret: string };
  };
  /** Who may log in at all; anyone with the secret when absent. */
  readonly allow?: {
    readonly initiators?: readonly string[];
    readonly addresses?: readonly string[];
  };
  /** Makes the LUN writable. */
  readonly overlay?: IscsiOverlay;
}

/** A private layer that takes the writes of one export. */
export interface IscsiOverlay {
  readonly folder: string;
  /** What to make, where the folder holds none yet. */
  readonly create: CreateOverlayOptions['meta'] & RoomLimits;
  /** Gives the copy a partition table identity of its own, when it is first opened. */
  readonly newIdentity: boolean;
}

type RoomLimits = Pick<CreateOverlayOptions, 'sizeLimitBytes' | 'freeSpaceFloorBytes'>;

/** What opening a disk told. */
export interface IscsiOpened {
  readonly sizeBytes: number;
  /** What a new identity changed, and what else of the copy clashes with the original. */
  readonly identity?: IdentityReport;
}

/** What there is to see of an export while it is open. */
export interface IscsiActivity {
  readonly iqn: string;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly commands: number;
  readonly sessions: readonly {
    readonly initiatorName: string;
    readonly address: string;
    readonly openedAt: string;
  }[];
}

/** Requests by name: what goes in, what comes out. */
export interface IscsiRequests {
  start: { in: IscsiStart; out: { readonly portal: HostPort } };
  export: { in: IscsiExport; out: IscsiOpened };
  revoke: { in: { readonly iqn: string; readonly graceMs: number }; out: null };
  activity: { in: null; out: readonly IscsiActivity[] };
}
export type IscsiRequestName = keyof IscsiRequests;

export interface RequestMessage {
  readonly number: number;
  readonly name: IscsiRequestName;
  readonly body: unknown;
}

export type ReplyMessage =
  | { readonly number: number; readonly ok: true; readonly body: unknown }
  | { readonly number: number; readonly ok: false; readonly error: PlainError };
