import { type ErrorPlace, RestoreError } from '../../../core/index.ts';

/** What every part of this driver throws on a structure that contradicts itself. */
export function corrupt(message: string, where: ErrorPlace, cause?: unknown): RestoreError {
  return new RestoreError('CORRUPT', message, { where, cause });
}
