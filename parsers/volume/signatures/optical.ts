import { layout } from '../../../core/index.ts';
import type { Signature } from './signature.ts';
import { hasMagic, labelAt, type Window } from './window.ts';

const DESCRIPTORS_AT = 32 * 1024;
const DESCRIPTOR_BYTES = 2048;
const DESCRIPTORS_MAX = 64;
const ISO_TYPE_PRIMARY = 1;
const ISO_TYPE_END = 255;

/** ECMA-119, section 8.4: the primary volume descriptor. */
export async function isoSignature(window: Window): Promise<Signature | undefined> {
  for (let index = 0; index < DESCRIPTORS_MAX; index += 1) {
    const at = DESCRIPTORS_AT + index * DESCRIPTOR_BYTES;
    const bytes = await window.bytes(at, DESCRIPTOR_BYTES);
    if (bytes === undefined || !hasMagic(bytes, 1, 'CD001') || bytes[0] === ISO_TYPE_END) break;
    if (bytes[0] !== ISO_TYPE_PRIMARY) continue;
    const uuid = isoTime(bytes, 830) || isoTime(bytes, 813);
    return { kind: 'file system', type: 'ISO 9660', label: labelAt(bytes, 40, 32), uuid };
  }
  return undefined;
}

/** Section 8.4.26.1: sixteen digits; all zero when there is no time. */
function isoTime(bytes: Uint8Array, at: number): string {
  const digits = labelAt(bytes, at, 16);
  if (!/^\d{16}$/.test(digits) || /^0+$/.test(digits)) return '';
  return digits.replace(/^(....)(..)(..)(..)(..)(..)(..)$/, '$1-$2-$3-$4-$5-$6-$7');
}

/** How far apart the recognition sequence's descriptors are, and the sectors that go with it. */
const STEPS = [
  { stepBytes: 2048, sectorSizes: [2048, 512, 1024] },
  { stepBytes: 4096, sectorSizes: [4096] },
];
const TAG_ANCHOR = 2;
const TAG_PRIMARY = 1;
const TAG_LOGICAL = 6;
const TAG_TERMINATOR = 8;
const SEQUENCE_MAX = 64;

/** ECMA-167 3/7.2 (tag), 3/10.2 (anchor), 3/10.1 (primary), 3/10.6 (logical volume descriptor). */
const Tag = { id: layout.u16le(0), checksum: layout.u8(4), location: layout.u32le(12) } as const;
const Anchor = { length: layout.u32le(16), at: layout.u32le(20) } as const;

/** UDF by its recognition sequence; label and UUID from the main volume descriptor sequence. */
export async function udfSignature(window: Window): Promise<Signature | undefined> {
  let isUdf = false;
  for (const { stepBytes, sectorSizes } of STEPS) {
    if (!(await isRecognised(window, stepBytes))) continue;
    isUdf = true;
    for (const sectorBytes of sectorSizes) {
      const anchor = await descriptor(window, 256, sectorBytes);
      if (anchor === undefined || Tag.id(anchor) !== TAG_ANCHOR) continue;
      return await namedUdf(window, Anchor.at(anchor), Anchor.length(anchor), sectorBytes);
    }
  }
  return isUdf ? udf('', '') : undefined;
}

async function isRecognised(window: Window, stepBytes: number): Promise<boolean> {
  for (let index = 0; index < DESCRIPTORS_MAX; index += 1) {
    const bytes = await window.bytes(DESCRIPTORS_AT + index * stepBytes, 8);
    if (bytes === undefined) return false;
    if (hasMagic(bytes, 1, 'NSR02') || hasMagic(bytes, 1, 'NSR03')) return true;
    const goesOn = ['BEA01', 'CD001', 'BOOT2', 'CDW02'].some((magic) => hasMagic(bytes, 1, magic));
    if (!goesOn) return false;
  }
  return false;
}

async function namedUdf(
  window: Window,
  at: number,
  length: number,
  sectorBytes: number,
): Promise<Signature> {
  let label = '';
  let uuid = '';
  const count = Math.min(SEQUENCE_MAX, Math.ceil(length / sectorBytes));
  for (let index = 0; index < count; index += 1) {
    const view = await descriptor(window, at + index, sectorBytes);
    if (view === undefined) break;
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    const id = Tag.id(view);
    if (id === TAG_PRIMARY && uuid === '') uuid = udfUuid(dstring(bytes.subarray(72, 200)));
    if (id === TAG_LOGICAL && label === '') label = dstring(bytes.subarray(84, 212));
    if (id === TAG_TERMINATOR) break;
  }
  return udf(label, uuid);
}

async function descriptor(
  window: Window,
  sector: number,
  sectorBytes: number,
): Promise<DataView | undefined> {
  const view = await window.view(sector * sectorBytes, 512);
  if (view === undefined || Tag.location(view) !== sector) return undefined;
  let sum = 0;
  for (let at = 0; at < 16; at += 1) if (at !== 4) sum += view.getUint8(at);
  return (sum & 0xff) === Tag.checksum(view) ? view : undefined;
}

/** UDF 2.60, 2.1.3: a compression id of 8 or 16 bits a character; the last byte is the length. */
function dstring(field: Uint8Array): string {
  const length = Math.min(field[field.length - 1] ?? 0, field.length - 1);
  if (length < 1) return '';
  const text = field.subarray(1, length);
  if (field[0] === 16) return labelAt(text, 0, text.length & ~1, 'utf-16be');
  return Buffer.from(text).toString('latin1').replace(/\0.*$/s, '').trimEnd();
}

/**
 * As `blkid` makes it from the volume set identifier: sixteen hexadecimal digits as they are, else the
 * bytes of what is no digit written in hexadecimal.
 */
function udfUuid(setId: string): string {
  if (Buffer.byteLength(setId) < 8) return '';
  const bytes = Buffer.alloc(16);
  bytes.write(setId, 'utf8');
  const isHex = (from: number, to: number): boolean =>
    /^[0-9a-f]+$/i.test(bytes.subarray(from, to).toString('latin1'));
  if (isHex(0, 16)) return bytes.subarray(0, 16).toString('latin1').toLowerCase();
  if (isHex(0, 8)) {
    return (
      bytes.subarray(0, 8).toString('latin1').toLowerCase() + bytes.subarray(8, 12).toString('hex')
    );
  }
  return bytes.subarray(0, 8).toString('hex');
}

function udf(label: string, uuid: string): Signature {
  return { kind: 'file system', type: 'UDF', label, uuid };
}
