import {
  type ErrorCode,
  isRestoreError,
  jsonText,
  type RestoreError,
  showText,
} from '../../core/index.ts';

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

/**
 * Tells the user what went wrong, on standard error. Messages may hold names that a guest chose, those of
 * the system among them: nothing in them moves a cursor. @returns the exit status.
 */
export function reportError(error: unknown, json: boolean): number {
  if (!isRestoreError(error)) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const lines = text.split('\n').map(showText).join('\n');
    process.stderr.write(`rehydrate: an unexpected failure, please report it: ${lines}\n`);
    return 1;
  }
  const { code, message, where, hint } = error;
  if (json) {
    process.stderr.write(`${jsonText({ error: { code, message, where, hint } })}\n`);
  } else {
    process.stderr.write(`rehydrate: ${showText(message)}\n`);
    if (hint !== undefined) process.stderr.write(`  ${showText(hint)}\n`);
  }
  return EXIT_STATUS[code];
}
