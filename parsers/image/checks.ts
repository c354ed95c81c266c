import { RestoreError } from '../../core/index.ts';
import type { ImageFile } from './image.ts';

interface Trouble {
  readonly structure: string;
  readonly offset?: number;
  readonly expected?: string | number;
  readonly found?: string | number;
  readonly hint?: string;
  readonly cause?: unknown;
}

const DAMAGE_HINT = 'Copy the image again from where it came from, or restore it from a backup.';

/** A `CORRUPT` error that names the file, the place and what was expected. */
export function corrupt(file: ImageFile, message: string, trouble: Trouble): RestoreError {
  return problem('CORRUPT', file, message, { hint: DAMAGE_HINT, ...trouble });
}

/** An `UNSUPPORTED` error that names the file and the feature. */
export function unsupported(file: ImageFile, message: string, trouble: Trouble): RestoreError {
  return problem('UNSUPPORTED', file, message, trouble);
}

/** @throws RestoreError `CORRUPT` unless `[offset, offset + length)` lies inside the file. */
export function needInside(
  file: ImageFile,
  structure: string,
  offset: number,
  length: number,
): void {
  const end = offset + length;
  if (offset >= 0 && length >= 0 && end <= file.source.size) return;
  throw corrupt(file, 'the image is truncated, or a reference in it is wrong', {
    structure,
    offset,
    expected: `a file of at least ${end} bytes`,
    found: `${file.source.size} bytes`,
  });
}

/** @throws RestoreError `CORRUPT` unless `value` is a whole number between the bounds. */
export function needBetween(
  file: ImageFile,
  structure: string,
  value: number,
  low: number,
  high: number,
): void {
  if (Number.isSafeInteger(value) && value >= low && value <= high) return;
  throw corrupt(file, 'a field of the image has an impossible value', {
    structure,
    expected: low === high ? low : `${low} to ${high}`,
    found: value,
  });
}

export function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value));
}

function problem(
  code: 'CORRUPT' | 'UNSUPPORTED',
  file: ImageFile,
  message: string,
  { hint, cause, ...where }: Trouble,
): RestoreError {
  return new RestoreError(code, message, {
    where: { object: file.path, ...where },
    ...(hint === undefined ? {} : { hint }),
    ...(cause === undefined ? {} : { cause }),
  });
}
