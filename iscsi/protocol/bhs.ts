/**
 * The 48-byte basic header segment and its codes. RFC 7143 section 11; names are the RFC's.
 */
import { layout } from '../../core/index.ts';

const { u8, u16be, u32be } = layout;

export const BHS_BYTES = 48;

/** "No tag": what a tag field holds when it names nothing. */
export const RESERVED_TAG = 0xffffffff;

/** RFC 7143 section 11.2.1.2, initiator opcodes. */
export const INITIATOR = {
  nopOut: 0x00,
  scsiCommand: 0x01,
  taskManagement: 0x02,
  login: 0x03,
  text: 0x04,
  dataOut: 0x05,
  logout: 0x06,
  snack: 0x10,
} as const;

/** RFC 7143 section 11.2.1.2, target opcodes. */
export const TARGET = {
  nopIn: 0x20,
  scsiResponse: 0x21,
  taskManagementResponse: 0x22,
  loginResponse: 0x23,
  textResponse: 0x24,
  dataIn: 0x25,
  logoutResponse: 0x26,
  r2t: 0x31,
  asyncMessage: 0x32,
  reject: 0x3f,
} as const;

/** Bits of byte 0 and of the flags byte that are shared by several PDUs. */
export const FLAG = {
  immediate: 0x40,
  final: 0x80,
  continueText: 0x40,
  /** SCSI Command. */
  read: 0x40,
  write: 0x20,
  /** Data-In and SCSI Response. */
  residualOverflow: 0x04,
  residualUnderflow: 0x02,
  status: 0x01,
  /** Login. */
  transit: 0x80,
} as const;

/** RFC 7143 section 11.17.1. */
export const REJECT_REASON = {
  dataDigestError: 0x02,
  snackReject: 0x03,
  protocolError: 0x04,
  commandNotSupported: 0x05,
  tooManyImmediateCommands: 0x06,
  taskInProgress: 0x07,
  invalidPduField: 0x09,
} as const;

/** RFC 7143 section 11.13.5: class in the high byte, detail in the low one. */
export const LOGIN_STATUS = {
  success: 0x0000,
  initiatorError: 0x0200,
  authenticationFailure: 0x0201,
  authorizationFailure: 0x0202,
  targetNotFound: 0x0203,
  targetRemoved: 0x0204,
  unsupportedVersion: 0x0205,
  tooManyConnections: 0x0206,
  missingParameter: 0x0207,
  sessionTypeNotSupported: 0x0209,
  sessionDoesNotExist: 0x020a,
  invalidDuringLogin: 0x020b,
  targetError: 0x0300,
  serviceUnavailable: 0x0301,
  outOfResources: 0x0302,
} as const;

export type LoginStatus = (typeof LOGIN_STATUS)[keyof typeof LOGIN_STATUS];

/** RFC 7143 section 11.9.1. */
export const ASYNC_EVENT = { requestLogout: 1, dropConnection: 2, dropSession: 3 } as const;

/** Fields that mean the same in most PDUs, and those of single ones, at their offsets. */
export const Bhs = {
  opcode: u8(0),
  flags: u8(1),
  totalAhsLength: u8(4),
  /** DataSegmentLength is the low 24 bits. */
  lengths: u32be(4),
  initiatorTaskTag: u32be(16),
  targetTransferTag: u32be(20),
  cmdSn: u32be(24),
  expStatSn: u32be(28),
  /** SCSI Command. */
  expectedDataTransferLength: u32be(20),
  /** Data-Out. */
  dataSn: u32be(36),
  bufferOffset: u32be(40),
  /** Task management. */
  referencedTaskTag: u32be(20),
  refCmdSn: u32be(32),
  /** Login. */
  versionMin: u8(3),
  tsih: u16be(14),
  cid: u16be(20),
} as const;

/** One received PDU. Its memory is only good during the call that hands it over. */
export interface IncomingPdu {
  readonly view: DataView;
  /** Where the header starts in `view`. */
  readonly at: number;
  readonly data: Uint8Array;
}

export function opcodeOf(pdu: IncomingPdu): number {
  return Bhs.opcode(pdu.view, pdu.at) & 0x3f;
}

export function isImmediate(pdu: IncomingPdu): boolean {
  return (Bhs.opcode(pdu.view, pdu.at) & FLAG.immediate) !== 0;
}

/** `length` bytes of the header, as a view. */
export function headerBytes(pdu: IncomingPdu, offset: number, length: number): Uint8Array {
  return new Uint8Array(pdu.view.buffer, pdu.view.byteOffset + pdu.at + offset, length);
}

/** `bytes` rounded up to the next multiple of four, as segments are padded on the wire. */
export function padded(bytes: number): number {
  return (bytes + 3) & ~3;
}
