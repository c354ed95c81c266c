import type { Timestamp } from '../../../core/index.ts';

/** Units of 100 ns. */
const TICKS_PER_SECOND = 10_000_000;
const SECONDS_1601_TO_1970 = 11_644_473_600;
/** 2^32 ticks are 429 seconds and this many ticks. */
const HIGH_SECONDS = 429;
const HIGH_TICKS = 4_967_296;
/** Beyond this high word, in the year 13,000 or so, products below would not be exact. */
const HIGH_EXACT_MAX = 1_000_000_000;

/** A `FILETIME` ([MS-DTYP] 2.3.3): 64 bits, units since 1601-01-01 UTC. No bit is lost. */
export function timestampAt(view: DataView, at: number): Timestamp {
  const low = view.getUint32(at, true);
  const high = view.getInt32(at + 4, true);
  if (high < 0 || high > HIGH_EXACT_MAX) return farTimestamp(view.getBigInt64(at, true));
  const ticks = high * HIGH_TICKS + low;
  const whole = Math.floor(ticks / TICKS_PER_SECOND);
  return {
    seconds: high * HIGH_SECONDS + whole - SECONDS_1601_TO_1970,
    nanoseconds: (ticks - whole * TICKS_PER_SECOND) * 100,
  };
}

function farTimestamp(ticks: bigint): Timestamp {
  const perSecond = BigInt(TICKS_PER_SECOND);
  const part = ((ticks % perSecond) + perSecond) % perSecond;
  return {
    seconds: Number((ticks - part) / perSecond) - SECONDS_1601_TO_1970,
    nanoseconds: Number(part) * 100,
  };
}
