import type { Timestamp } from '../../../core/index.ts';
import { timestampOf } from '../fat/times.ts';

const OFFSET_IS_VALID = 0x80;
const QUARTER_HOUR_SECONDS = 15 * 60;

/**
 * Sections 7.4.5 to 7.4.10: local time as FAT has it, and how far that is ahead of UTC. Where the
 * offset is not recorded, the time is given as if it were UTC.
 *
 * @param stamp date in the upper half, time in the lower.
 * @param utcOffset bit 7: it is recorded; below that quarters of an hour, in two's complement.
 */
export function exfatTimestamp(stamp: number, tenMs: number, utcOffset: number): Timestamp {
  const { seconds, nanoseconds } = timestampOf(stamp >>> 16, stamp & 0xffff, tenMs);
  if ((utcOffset & OFFSET_IS_VALID) === 0) return { seconds, nanoseconds };
  const quarters = ((utcOffset & 0x7f) ^ 0x40) - 0x40;
  return { seconds: seconds - quarters * QUARTER_HOUR_SECONDS, nanoseconds };
}
