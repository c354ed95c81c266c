/** What the target tells of its exports and sessions. */
import type { Session } from './session/session.ts';

export type IscsiEvent =
  | { readonly kind: 'opened' | 'closed'; readonly session: SessionSnapshot }
  | {
      readonly kind: 'refused';
      readonly address: string;
      readonly iqn: string | undefined;
      readonly user: string | undefined;
      readonly status: number;
      readonly reason: string;
    };

export interface SessionSnapshot {
  readonly id: number;
  readonly initiatorName: string;
  /** The initiator's address. */
  readonly address: string;
  /** Absent in a discovery session. */
  readonly iqn: string | undefined;
  readonly openedAt: Date;
  readonly commands: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

export interface ExportSnapshot {
  readonly iqn: string;
  readonly closing: boolean;
  readonly sessions: number;
  readonly commands: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

export function snapshotOf(session: Session): SessionSnapshot {
  const { identity, connection, openedAt, commands, bytesRead, bytesWritten } = session;
  return {
    id: identity.tsih,
    initiatorName: identity.initiatorName,
    address: connection.remoteAddress,
    iqn: identity.live?.options.iqn,
    openedAt,
    commands,
    bytesRead,
    bytesWritten,
  };
}

export function logFields({ id, initiatorName, address, iqn }: SessionSnapshot): object {
  return { session: id, initiator: initiatorName, from: address, iqn };
}
