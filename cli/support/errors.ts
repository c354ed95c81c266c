import { type ErrorCode, isRestoreError, type RestoreError } from '../../core/index.ts';

/** Exit status by error; 2 is for a command line that makes no sense. */
const EXIT_STATUS = {
  NOT_FOUND: 3,
  EXISTS: 4,
  INVALID: 2,
  CORRUPT: 5,
  UNSUPPORTED: 6,
  WRONG_KEY: 7,
  IO: 1,
  NO_SPACE: 8,
  BUSY: 9,
  CANCELLED: 130,
  DENIED: 10,
  LIMIT: 11,
} as const satisfies Record<ErrorCode, number>;

export function exitStatus({ code }: RestoreError): number {
  return EXIT_STATUS[code];
}

/** Tells the user what went wrong, on standard error. @returns the exit status. */
export function reportError(error: unknown, json: boolean): number {
  if (!isRestoreError(error)) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`rehydrate: an unexpected failure, please report it: ${text}\n`);
    return 1;
  }
  const { code, message, where, hint } = error;
  if (json) {
    process.stderr.write(`${JSON.stringify({ error: { code, message, where, hint } })}\n`);
  } else {
    process.stderr.write(`rehydrate: ${message}\n`);
    if (hint !== undefined) process.stderr.write(`  ${hint}\n`);
  }
  return EXIT_STATUS[code];
}
