import type { Timestamp } from '../../../core/index.ts';

const NEVER: Timestamp = { seconds: 0, nanoseconds: 0 };
const QUARTER_HOUR_SECONDS = 15 * 60;
/** Offsets from Greenwich are from -48 to +52 quarters of an hour; others are noise. */
const OFFSET_MAX = 52;
export const SHORT_TIME_BYTES = 7;
export const LONG_TIME_BYTES = 17;

/** ECMA-119 9.1.5: seven numbers. A month of 0 means that no time was recorded. */
export function shortTime(bytes: Uint8Array): Timestamp {
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, offset = 0] = bytes;
  return timeOf([1900 + year, month, day, hour, minute, second, 0], offset);
}

/** ECMA-119 8.4.26.1: sixteen digits and the offset. */
export function longTime(bytes: Uint8Array): Timestamp {
  const digits = String.fromCharCode(...bytes.subarray(0, 16));
  if (!/^\d{16}$/.test(digits)) return NEVER;
  const part = (from: number, to: number): number => Number(digits.slice(from, to));
  const fields = [part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 12), part(12, 14)];
  return timeOf([...fields, part(14, 16)], bytes[16] ?? 0);
}

/** What `blkid` makes an identity of; empty when the time is not recorded. */
export function timeIdentity(bytes: Uint8Array): string {
  const digits = String.fromCharCode(...bytes.subarray(0, 16));
  if (!/^\d{16}$/.test(digits) || /^0+$/.test(digits)) return '';
  return [digits.slice(0, 4), ...(digits.slice(4).match(/../g) ?? [])].join('-');
}

function timeOf(fields: readonly number[], offsetByte: number): Timestamp {
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, hundredths = 0] = fields;
  if (month === 0) return NEVER;
  const offset = (offsetByte ^ 0x80) - 0x80;
  const quarters = Math.abs(offset) <= OFFSET_MAX ? offset : 0;
  const local = Date.UTC(year, month - 1, day, hour, minute, second) / 1000;
  return { seconds: local - quarters * QUARTER_HOUR_SECONDS, nanoseconds: hundredths * 10_000_000 };
}
