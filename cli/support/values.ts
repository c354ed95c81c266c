/** Values of options, checked. */
import { RestoreError } from '../../core/index.ts';

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const RFC_3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:\d{2})$/;

/** A time with its offset; now when absent. */
export function parseTime(text: string | undefined): Date {
  if (text === undefined) return new Date();
  const time = new Date(text);
  if (RFC_3339.test(text) && !Number.isNaN(time.getTime())) return time;
  throw new RestoreError('INVALID', 'not a time', {
    where: { found: text, expected: 'RFC 3339 with its offset, such as 2026-11-03T22:00:00Z' },
  });
}

const DATE = /^\d{4}-\d{2}-\d{2}$/;

/** A time with its offset, or a date: its first moment in UTC, as all times are shown. */
export function parseMoment(text: string): Date {
  return parseTime(DATE.test(text) ? `${text}T00:00:00Z` : text);
}

/** `KEY=VALUE` each. */
export function parseTags(tags: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    tags.map((tag) => {
      const at = tag.indexOf('=');
      if (at > 0) return [tag.slice(0, at), tag.slice(at + 1)];
      throw new RestoreError('INVALID', 'not a tag', {
        where: { found: tag, expected: 'KEY=VALUE' },
      });
    }),
  );
}

/** `30m`, `8h`, `2d` in milliseconds. */
export function parseDuration(option: string, text: string): number {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  const ms = Number(match?.[1]) * UNITS[(match?.[2] ?? 's') as keyof typeof UNITS];
  if (match !== null && ms > 0) return ms;
  throw new RestoreError('INVALID', `${option} takes a duration`, {
    where: { found: text, expected: 'such as 30m, 8h or 2d' },
  });
}

/** `20`, `1.5` GiB in bytes. */
export function parseGibibytes(option: string, text: string): number {
  const bytes = Math.floor(Number(text) * 1024 ** 3);
  if (text.trim() !== '' && Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new RestoreError('INVALID', `${option} takes GiB`, { where: { found: text } });
}

/** Levels, at least one; `undefined` for all. */
export function parseDepth(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const levels = Number(text);
  if (/^\d{1,6}$/.test(text) && levels > 0) return levels;
  throw new RestoreError('INVALID', `${option} takes a number of levels`, {
    where: { found: text },
  });
}

const SIZE_UNITS = { '': 1, c: 1, k: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 } as const;

/** Sizes as of find: `+10M` more than, `-4k` less than, `512` exactly. Several hold together. */
export function parseSizeCondition(texts: readonly string[]): {
  readonly sizeMin: number | undefined;
  readonly sizeMax: number | undefined;
} {
  let sizeMin: number | undefined;
  let sizeMax: number | undefined;
  for (const text of texts) {
    const match = /^([+-]?)(\d{1,12})([ckMGT]?)$/.exec(text);
    const bytes = Number(match?.[2]) * SIZE_UNITS[(match?.[3] ?? '') as keyof typeof SIZE_UNITS];
    if (match === null || !Number.isSafeInteger(bytes)) {
      throw new RestoreError('INVALID', '--size takes sizes', {
        where: { found: text, expected: 'such as +10M, -4k or 512' },
      });
    }
    if (match[1] !== '-') sizeMin = Math.max(sizeMin ?? 0, match[1] === '+' ? bytes + 1 : bytes);
    if (match[1] !== '+')
      sizeMax = Math.min(sizeMax ?? Infinity, match[1] === '-' ? bytes - 1 : bytes);
  }
  return { sizeMin, sizeMax };
}
