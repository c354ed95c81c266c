/** Every bound of the target. All are per target unless their name says otherwise. */
export interface IscsiLimits {
  /** From accept to full feature phase; the connection is closed after it. */
  readonly loginTimeoutMs: number;
  /** Silence after which an initiator is pinged. */
  readonly idleBeforePingMs: number;
  /** How long an initiator may leave a ping unanswered. */
  readonly pingTimeoutMs: number;
  readonly maxSessions: number;
  readonly maxPendingLogins: number;
  readonly maxPendingLoginsPerAddress: number;
  /** Commands an initiator may have outstanding in one session. */
  readonly commandWindow: number;
  /** What we declare: the longest data segment an initiator may send in one PDU. */
  readonly maxRecvDataSegmentLengthBytes: number;
  readonly maxBurstLengthBytes: number;
  readonly firstBurstLengthBytes: number;
  /** False lets initiators send unsolicited Data-Out PDUs up to the first burst. */
  readonly initialR2T: boolean;
  readonly immediateData: boolean;
  /** The longest text (all continuations together) in login and text requests. */
  readonly maxTextBytes: number;
  /** The longest transfer of one SCSI command, told in VPD page B0. */
  readonly maxTransferBytes: number;
  /** Read data held for one connection: being read, or waiting in its socket. */
  readonly connectionBufferBytes: number;
  /** The same for all connections together; each may always have one chunk. */
  readonly totalBufferBytes: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

export const DEFAULT_LIMITS: IscsiLimits = {
  loginTimeoutMs: 15_000,
  idleBeforePingMs: 15_000,
  pingTimeoutMs: 30_000,
  maxSessions: 256,
  maxPendingLogins: 256,
  maxPendingLoginsPerAddress: 32,
  commandWindow: 128,
  maxRecvDataSegmentLengthBytes: 256 * KIB,
  maxBurstLengthBytes: MIB,
  firstBurstLengthBytes: 256 * KIB,
  initialR2T: true,
  immediateData: true,
  maxTextBytes: 64 * KIB,
  maxTransferBytes: 32 * MIB,
  connectionBufferBytes: 8 * MIB,
  totalBufferBytes: 256 * MIB,
};
