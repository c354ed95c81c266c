/** INQUIRY and its vital product data. SPC-4 sections 6.6 and 7.8, SBC-3 section 6.6. */
import {
  type CommandContext,
  invalidField,
  parameterData,
  type ScsiCommand,
  type ScsiOutcome,
} from './command.ts';
import {
  LOG_GRAIN_EXPONENT,
  MAX_COMPARE_BLOCKS,
  MAX_UNMAP_DESCRIPTORS,
  maxSameBlocks,
  maxUnmapBlocks,
  UNMAP_GRAIN_BYTES,
} from './limits-of-unit.ts';
import type { LogicalUnit } from './logical-unit.ts';

const STANDARD_BYTES = 96;
const OPTIMAL_TRANSFER_BYTES = 1024 * 1024;

export const INQUIRY: ScsiCommand = {
  name: 'INQUIRY',
  opcode: 0x12,
  usage: '12 01 ff ffff 00',
  ignoresUnitAttention: true,
  reservationRule: 'always',
  run(context) {
    const { cdb } = context;
    const wantsPage = (cdb.getUint8(1) & 1) !== 0;
    const page = cdb.getUint8(2);
    const allocationBytes = cdb.getUint16(3);
    if ((cdb.getUint8(1) & 2) !== 0) return invalidField(1, 1);
    if (wantsPage) return vitalPage(context, page, allocationBytes);
    if (page !== 0) return invalidField(2);
    return parameterData(standardInquiry(context.unit), allocationBytes);
  },
};

/** What INQUIRY says of a LUN that does not exist. SPC-4 section 6.6.2. */
export function inquiryOfNothing(allocationBytes: number): ScsiOutcome {
  const data = new Uint8Array(36);
  data[0] = 0x7f;
  data[2] = 0x06;
  data[3] = 0x02;
  data[4] = data.length - 5;
  data.fill(0x20, 8, 36);
  return parameterData(data, allocationBytes);
}

function standardInquiry(unit: LogicalUnit): Uint8Array {
  const data = new Uint8Array(STANDARD_BYTES);
  const view = new DataView(data.buffer);
  data[2] = 0x06; // SPC-4
  data[3] = 0x12; // HISUP, response data format 2
  data[4] = STANDARD_BYTES - 5;
  data[5] = 0x10; // TPGS: implicit, told by REPORT TARGET PORT GROUPS
  data[6] = 0x10; // MULTIP
  data[7] = 0x02; // CMDQUE
  putText(data, 8, 8, unit.vendor);
  putText(data, 16, 16, unit.product);
  putText(data, 32, 4, unit.revision);
  // Version descriptors: SAM-5, iSCSI, SPC-4, SBC-3.
  [0x00a0, 0x0960, 0x0460, 0x04c0].forEach((standard, index) => {
    view.setUint16(58 + index * 2, standard);
  });
  return data;
}

type PageBuilder = (context: CommandContext) => Uint8Array;

/** By page code; page 00 lists them in this ascending order. */
const VITAL_PAGES: ReadonlyMap<number, PageBuilder> = new Map<number, PageBuilder>([
  [0x00, () => Uint8Array.from(VITAL_PAGES.keys())],
  [0x80, ({ unit }) => ascii(unit.serial)],
  [0x83, ({ unit }) => deviceIdentification(unit)],
  [0x86, () => extendedInquiry()],
  [0xb0, blockLimits],
  [0xb1, () => deviceCharacteristics()],
  [0xb2, ({ unit }) => provisioning(unit)],
]);

function vitalPage(context: CommandContext, code: number, allocationBytes: number): ScsiOutcome {
  const build = VITAL_PAGES.get(code);
  if (build === undefined) return invalidField(2);
  const body = build(context);
  const data = new Uint8Array(4 + body.length);
  data[1] = code;
  new DataView(data.buffer).setUint16(2, body.length);
  data.set(body, 4);
  return parameterData(data, allocationBytes);
}

/** SPC-4 section 7.8.6: the disk itself (NAA, T10 vendor id), then the port it is seen through. */
function deviceIdentification(unit: LogicalUnit): Uint8Array {
  const port = `${unit.targetName},t,0x0001`;
  return Buffer.concat([
    designator(0x01, 0x03, unit.naa),
    designator(0x02, 0x01, ascii(unit.vendor.padEnd(8) + unit.serial)),
    designator(0x51, 0x14, Uint8Array.of(0, 0, 0, 1)),
    designator(0x51, 0x15, Uint8Array.of(0, 0, 0, 1)),
    designator(0x53, 0x18, nulPadded(port)),
    designator(0x53, 0x28, nulPadded(unit.targetName)),
  ]);
}

/**
 * @param codeSet protocol identifier (5 is iSCSI) and code set: 1 binary, 2 ASCII, 3 UTF-8
 * @param kind association (0 unit, 1 port, 2 device) and type, with PIV for the last two
 */
function designator(codeSet: number, kind: number, value: Uint8Array): Uint8Array {
  const hasProtocol = (kind & 0x30) !== 0;
  return Buffer.concat([
    Uint8Array.of(codeSet, hasProtocol ? kind | 0x80 : kind, 0, value.length),
    value,
  ]);
}

function extendedInquiry(): Uint8Array {
  const body = new Uint8Array(0x3c);
  body[1] = 0x07; // HEADSUP, ORDSUP, SIMPSUP
  return body;
}

function blockLimits({ unit, maxTransferBytes }: CommandContext): Uint8Array {
  const body = new Uint8Array(0x3c);
  const view = new DataView(body.buffer);
  view.setUint16(2, Math.max(1, unit.peekBytes / unit.blockBytes) & 0xffff);
  view.setUint32(4, maxTransferBytes / unit.blockBytes);
  view.setUint32(8, OPTIMAL_TRANSFER_BYTES / unit.blockBytes);
  if (unit.readOnly) return body;
  view.setUint8(1, MAX_COMPARE_BLOCKS);
  view.setUint32(16, maxUnmapBlocks(unit));
  view.setUint32(20, MAX_UNMAP_DESCRIPTORS);
  view.setUint32(24, Math.max(1, UNMAP_GRAIN_BYTES / unit.blockBytes));
  view.setBigUint64(32, BigInt(maxSameBlocks(unit)));
  return body;
}

function deviceCharacteristics(): Uint8Array {
  const body = new Uint8Array(0x3c);
  body[1] = 0x01; // not rotating
  return body;
}

/** SBC-3 section 6.6.4: holes read as zeros; a writable unit makes them. */
function provisioning(unit: LogicalUnit): Uint8Array {
  const body = new Uint8Array(4);
  if (!unit.thin) return body;
  body[0] = unit.space === undefined ? 0 : LOG_GRAIN_EXPONENT;
  body[1] = unit.readOnly ? 0x04 : 0xc4; // LBPRZ; LBPU, LBPWS
  body[2] = 0x02; // thin
  return body;
}

function putText(target: Uint8Array, at: number, length: number, text: string): void {
  target.set(ascii(text.padEnd(length)), at);
}

function ascii(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

/** SCSI name strings end in NUL and are padded to four bytes. SPC-4 section 7.8.6.11. */
function nulPadded(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'utf8');
  const data = new Uint8Array((bytes.length + 4) & ~3);
  data.set(bytes);
  return data;
}
