/** Sense data. SPC-4 section 4.5; codes of its annex D. */

export interface Sense {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  /** Of a command that was answered before. SPC-4 section 4.5.7. */
  readonly deferred?: true;
  /** Usually the logical block address that failed. */
  readonly information?: number;
  /** The byte (and highest bit) of the CDB that is wrong. */
  readonly cdbField?: { readonly byte: number; readonly bit?: number };
}

const SENSE_KEY = {
  noSense: 0x0,
  notReady: 0x2,
  mediumError: 0x3,
  hardwareError: 0x4,
  illegalRequest: 0x5,
  unitAttention: 0x6,
  dataProtect: 0x7,
  abortedCommand: 0xb,
  miscompare: 0xe,
} as const;

export const SENSE = {
  none: { key: SENSE_KEY.noSense, asc: 0x00, ascq: 0x00 },
  becomingReady: { key: SENSE_KEY.notReady, asc: 0x04, ascq: 0x01 },
  unrecoveredReadError: { key: SENSE_KEY.mediumError, asc: 0x11, ascq: 0x00 },
  internalTargetFailure: { key: SENSE_KEY.hardwareError, asc: 0x44, ascq: 0x00 },
  /** Another amount of data was announced than the command takes. */
  invalidInformationUnit: { key: SENSE_KEY.illegalRequest, asc: 0x0e, ascq: 0x03 },
  parameterListLength: { key: SENSE_KEY.illegalRequest, asc: 0x1a, ascq: 0x00 },
  invalidOpcode: { key: SENSE_KEY.illegalRequest, asc: 0x20, ascq: 0x00 },
  lbaOutOfRange: { key: SENSE_KEY.illegalRequest, asc: 0x21, ascq: 0x00 },
  invalidFieldInCdb: { key: SENSE_KEY.illegalRequest, asc: 0x24, ascq: 0x00 },
  logicalUnitNotSupported: { key: SENSE_KEY.illegalRequest, asc: 0x25, ascq: 0x00 },
  invalidFieldInParameters: { key: SENSE_KEY.illegalRequest, asc: 0x26, ascq: 0x00 },
  invalidRelease: { key: SENSE_KEY.illegalRequest, asc: 0x26, ascq: 0x04 },
  savingNotSupported: { key: SENSE_KEY.illegalRequest, asc: 0x39, ascq: 0x00 },
  insufficientRegistrations: { key: SENSE_KEY.illegalRequest, asc: 0x55, ascq: 0x04 },
  powerOnOrReset: { key: SENSE_KEY.unitAttention, asc: 0x29, ascq: 0x00 },
  deviceReset: { key: SENSE_KEY.unitAttention, asc: 0x29, ascq: 0x03 },
  modeParametersChanged: { key: SENSE_KEY.unitAttention, asc: 0x2a, ascq: 0x01 },
  reservationsPreempted: { key: SENSE_KEY.unitAttention, asc: 0x2a, ascq: 0x03 },
  reservationsReleased: { key: SENSE_KEY.unitAttention, asc: 0x2a, ascq: 0x04 },
  registrationsPreempted: { key: SENSE_KEY.unitAttention, asc: 0x2a, ascq: 0x05 },
  writeProtected: { key: SENSE_KEY.dataProtect, asc: 0x27, ascq: 0x00 },
  softwareWriteProtected: { key: SENSE_KEY.dataProtect, asc: 0x27, ascq: 0x02 },
  accessDenied: { key: SENSE_KEY.dataProtect, asc: 0x20, ascq: 0x02 },
  spaceAllocationFailed: { key: SENSE_KEY.dataProtect, asc: 0x27, ascq: 0x07 },
  targetFailedCommand: { key: SENSE_KEY.abortedCommand, asc: 0x44, ascq: 0x00 },
  /** RFC 7143 section 11.4.7.2: more unsolicited data than agreed. */
  unexpectedUnsolicitedData: { key: SENSE_KEY.abortedCommand, asc: 0x0c, ascq: 0x0c },
  /** RFC 7143 section 11.4.7.2: the unsolicited data end too early or lie wrong. */
  incorrectAmountOfData: { key: SENSE_KEY.abortedCommand, asc: 0x0c, ascq: 0x0d },
  dataPhaseError: { key: SENSE_KEY.abortedCommand, asc: 0x4b, ascq: 0x00 },
  miscompareDuringVerify: { key: SENSE_KEY.miscompare, asc: 0x1d, ascq: 0x00 },
} as const satisfies Record<string, Sense>;

const FIXED_BYTES = 18;
const INFORMATION_BYTES = 12;
const KEY_SPECIFIC_BYTES = 8;
const MAX_FIXED_INFORMATION = 0xffffffff;

/** Fixed format, SPC-4 section 4.5.3: what every initiator reads while D_SENSE is 0. */
export function encodeSense(sense: Sense): Uint8Array {
  const bytes = new Uint8Array(FIXED_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0] = sense.deferred === true ? 0x71 : 0x70;
  bytes[2] = sense.key;
  bytes[7] = FIXED_BYTES - 8;
  bytes[12] = sense.asc;
  bytes[13] = sense.ascq;
  // The field has 32 bits; an address beyond them is left out rather than cut.
  if (sense.information !== undefined && sense.information <= MAX_FIXED_INFORMATION) {
    bytes[0] |= 0x80;
    view.setUint32(3, sense.information);
  }
  if (sense.cdbField !== undefined) setFieldPointer(view, 15, sense.cdbField);
  return bytes;
}

/** Descriptor format, SPC-4 section 4.5.2: where D_SENSE or REQUEST SENSE asks for it. */
export function encodeDescriptorSense(sense: Sense): Uint8Array {
  const informationBytes = sense.information === undefined ? 0 : INFORMATION_BYTES;
  const fieldBytes = sense.cdbField === undefined ? 0 : KEY_SPECIFIC_BYTES;
  const bytes = new Uint8Array(8 + informationBytes + fieldBytes);
  const view = new DataView(bytes.buffer);
  bytes.set([sense.deferred === true ? 0x73 : 0x72, sense.key, sense.asc, sense.ascq]);
  bytes[7] = bytes.length - 8;
  if (sense.information !== undefined) {
    bytes.set([0x00, INFORMATION_BYTES - 2, 0x80], 8);
    view.setBigUint64(12, BigInt(sense.information));
  }
  if (sense.cdbField !== undefined) {
    const at = 8 + informationBytes;
    bytes.set([0x02, KEY_SPECIFIC_BYTES - 2], at);
    setFieldPointer(view, at + 4, sense.cdbField);
  }
  return bytes;
}

function setFieldPointer(
  view: DataView,
  at: number,
  field: { readonly byte: number; readonly bit?: number },
): void {
  const bit = field.bit === undefined ? 0 : 0x08 | field.bit;
  view.setUint8(at, 0x80 | 0x40 | bit);
  view.setUint16(at + 1, field.byte);
}
