/**
 * What can go wrong, as a closed list. Doors map each code to their own words (errno, SCSI sense,
 * HTTP status) in a table that fails to compile when a code has no entry.
 */
export const ERROR_CODES = [
  /** The named thing does not exist. */
  'NOT_FOUND',
  /** It exists already and is not to be replaced. */
  'EXISTS',
  /** The caller asked for something that makes no sense (a range past the end, a bad option). */
  'INVALID',
  /** Stored bytes contradict themselves or their checksum. Never retried, never read as zeros. */
  'CORRUPT',
  /** Well-formed, but of a kind this version does not read. */
  'UNSUPPORTED',
  /** The key or passphrase does not open this repository. */
  'WRONG_KEY',
  /** The storage below failed; a retry may help. */
  'IO',
  /** No space left where the result was to be written. */
  'NO_SPACE',
  /** Someone else holds what is needed; a retry may help. */
  'BUSY',
  /** The caller's signal aborted the work. */
  'CANCELLED',
  /** The caller may not do this. */
  'DENIED',
  /** The work would read, take or hold more than one call may. */
  'LIMIT',
] as const;

/** One of {@link ERROR_CODES}. Match on this, never on message text. */
export type ErrorCode = (typeof ERROR_CODES)[number];

/** Where an error was found; every field that is known is given. */
export interface ErrorPlace {
  /** The file, object or address that holds the trouble. */
  readonly object?: string;
  /** The structure's name in its specification, e.g. `L2 table`. */
  readonly structure?: string;
  /** Byte offset in `object`. */
  readonly offset?: number;
  readonly expected?: string | number;
  readonly found?: string | number;
}

export interface RestoreErrorOptions {
  readonly where?: ErrorPlace;
  /** What the reader of the message can do next, as an imperative sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The one error type that this project throws on purpose. */
export class RestoreError extends Error {
  readonly code: ErrorCode;
  readonly where: ErrorPlace;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: RestoreErrorOptions = {}) {
    super(
      describe(message, options.where ?? {}),
      options.cause === undefined ? {} : { cause: options.cause },
    );
    this.name = 'RestoreError';
    this.code = code;
    this.where = options.where ?? {};
    this.hint = options.hint;
  }
}

/** True when `error` is a {@link RestoreError}, of `code` when one is given. */
export function isRestoreError(error: unknown, code?: ErrorCode): error is RestoreError {
  return error instanceof RestoreError && (code === undefined || error.code === code);
}

/** Wraps whatever was thrown below as a {@link RestoreError}, keeping one that already is. */
export function asRestoreError(
  error: unknown,
  message: string,
  where: ErrorPlace = {},
): RestoreError {
  if (error instanceof RestoreError) return error;
  const systemCode = (error as NodeJS.ErrnoException | undefined)?.code;
  const reason = error instanceof Error ? error.message : String(error);
  return new RestoreError(codeOfSystemError(systemCode), `${message}: ${reason}`, {
    where,
    cause: error,
  });
}

/** A {@link RestoreError} as plain data, for crossing threads, processes and sockets. */
export interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly where: ErrorPlace;
  readonly hint: string | undefined;
}

/** Structured clone keeps an error's message alone; this keeps all but its cause. */
export function toPlainError({ code, message, where, hint }: RestoreError): PlainError {
  return { code, message, where, hint };
}

/** The error again. Its message tells the place already. */
export function fromPlainError({ code, message, where, hint }: PlainError): RestoreError {
  const error = new RestoreError(code, message, hint === undefined ? {} : { hint });
  return Object.assign(error, { where });
}

/** Throws `CANCELLED` when the signal has been aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new RestoreError('CANCELLED', 'the operation was cancelled', {
      cause: signal.reason,
    });
  }
}

function codeOfSystemError(systemCode: string | undefined): ErrorCode {
  if (systemCode === 'ENOENT') return 'NOT_FOUND';
  if (systemCode === 'EEXIST') return 'EXISTS';
  if (systemCode === 'ENOSPC' || systemCode === 'EDQUOT') return 'NO_SPACE';
  if (systemCode === 'EACCES' || systemCode === 'EPERM') return 'DENIED';
  if (systemCode === 'ABORT_ERR') return 'CANCELLED';
  return 'IO';
}

function describe(message: string, where: ErrorPlace): string {
  const parts: string[] = [];
  if (where.object !== undefined) parts.push(where.object);
  if (where.structure !== undefined) parts.push(where.structure);
  if (where.offset !== undefined) parts.push(`offset ${where.offset}`);
  if (where.expected !== undefined) parts.push(`expected ${where.expected}`);
  if (where.found !== undefined) parts.push(`found ${where.found}`);
  return parts.length === 0 ? message : `${message} (${parts.join(', ')})`;
}
