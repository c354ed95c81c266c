/** What the gateway and its iSCSI process say to each other over the IPC channel. */
import type { ErrorCode, ErrorPlace } from '../core/index.ts';
import type { Credential, PointName } from '../store-reader/index.ts';

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
  readonly chap: { readonly user: string; readonly secret: string };
}

/** What there is to see of an export while it is open. */
export interface IscsiActivity {
  readonly iqn: string;
  readonly bytesRead: number;
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
  export: { in: IscsiExport; out: { readonly sizeBytes: number } };
  revoke: { in: { readonly iqn: string; readonly graceMs: number }; out: null };
  activity: { in: null; out: readonly IscsiActivity[] };
}
export type IscsiRequestName = keyof IscsiRequests;

export interface RequestMessage {
  readonly number: number;
  readonly name: IscsiRequestName;
  readonly body: unknown;
}

export interface SerializedError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly where: ErrorPlace;
  readonly hint: string | undefined;
}

export type ReplyMessage =
  | { readonly number: number; readonly ok: true; readonly body: unknown }
  | { readonly number: number; readonly ok: false; readonly error: SerializedError };
