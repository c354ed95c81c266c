import type { Timestamp } from '../../../core/index.ts';

/**
 * FAT keeps local time and does not say of which zone: it is given as if it were UTC ("Date and Time
 * Formats"). A date of 0 means that none was recorded; it reads as the first day there is, which is
 * what Linux makes of it.
 *
 * @param hundredths of a second to add, 0 to 199: seconds are stored by twos.
 */
export function timestampOf(date: number, time: number, hundredths = 0): Timestamp {
  const month = Math.max(1, (date >> 5) & 0x0f);
  const day = Math.max(1, date & 0x1f);
  const midnightMs = Date.UTC(1980 + (date >> 9), month - 1, day);
  const seconds = (time >> 11) * 3600 + ((time >> 5) & 0x3f) * 60 + (time & 0x1f) * 2;
  return {
    seconds: midnightMs / 1000 + seconds + Math.floor(hundredths / 100),
    nanoseconds: (hundredths % 100) * 10_000_000,
  };
}
