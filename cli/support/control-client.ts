import { request } from 'node:http';
import { ERROR_CODES, fromPlainError, type PlainError, RestoreError } from '../../core/index.ts';

interface ErrorBody {
  readonly error?: PlainError;
}

const TIMEOUT_MS = 60_000;

/**
 * Asks the running service.
 *
 * @throws RestoreError what the service answered, or `NOT_FOUND` when none runs there.
 */
export async function callControl<T>(
  socket: string,
  method: 'GET' | 'POST' | 'DELETE',
  resource: string,
  body?: unknown,
): Promise<T> {
  const { status, text } = await send(socket, method, resource, body);
  const answer = parse(text) as T & ErrorBody;
  if (status < 400) return answer;
  const { error } = answer;
  if (error === undefined || !ERROR_CODES.includes(error.code)) {
    throw new RestoreError('IO', `the service answered ${status}`, { where: { object: socket } });
  }
  throw fromPlainError(error);
}

function send(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
): Promise<{ status: number; text: string }> {
  const payload = body === undefined ? '' : JSON.stringify(body);
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(payload),
  };
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method, path, headers, timeout: TIMEOUT_MS }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
      });
    });
    call.on('timeout', () => call.destroy(new Error('no answer in time')));
    call.on('error', (cause) => reject(notRunning(socketPath, cause)));
    call.end(payload);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

function notRunning(socket: string, cause: Error): RestoreError {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'EACCES') {
    return new RestoreError('DENIED', 'the control socket belongs to someone else', {
      where: { object: socket },
      cause,
    });
  }
  return new RestoreError('NOT_FOUND', `no service answers on ${socket}: ${cause.message}`, {
    hint: 'Start one with `rehydrate serve REPO`, or give its socket with --control.',
    cause,
  });
}
