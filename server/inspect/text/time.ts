import type { Timestamp } from '../../../core/index.ts';

const DAY_SECONDS = 86_400;
/** What `Date` can hold, in days from 1970 either way. ECMA-262 section 21.4.1.1. */
const DAYS_MAX = 100_000_000;
const DAYS_KEPT_MAX = 4_096;
const PAIRS = Array.from({ length: 60 }, (_, value) => String(value).padStart(2, '0'));
const days = new Map<number, string>();

/** `2026-11-03T22:00:00Z`. Listings have many files and few days. */
export function formatTime({ seconds }: Timestamp): string {
  const day = Math.floor(seconds / DAY_SECONDS);
  const rest = seconds - day * DAY_SECONDS;
  const hours = Math.floor(rest / 3600);
  const minutes = Math.floor((rest - hours * 3600) / 60);
  const date = days.get(day) ?? keepDay(day);
  if (date === '') return `@${seconds}`;
  return `${date}T${PAIRS[hours]}:${PAIRS[minutes]}:${PAIRS[rest % 60]}Z`;
}

/** `2026-11-03T22:00:00.123456789Z`. */
export function formatExactTime(time: Timestamp): string {
  const nanoseconds = String(time.nanoseconds).padStart(9, '0');
  const text = formatTime(time);
  return text.startsWith('@') ? `${text}.${nanoseconds}` : `${text.slice(0, -1)}.${nanoseconds}Z`;
}

/** Empty for what no calendar of ours holds. */
function keepDay(day: number): string {
  if (days.size >= DAYS_KEPT_MAX) days.clear();
  const isKnown = Math.abs(day) <= DAYS_MAX;
  const text = isKnown ? new Date(day * DAY_SECONDS * 1000).toISOString() : '';
  const date = text.slice(0, text.indexOf('T') < 0 ? 0 : text.indexOf('T'));
  days.set(day, date);
  return date;
}
