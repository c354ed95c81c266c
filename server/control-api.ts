import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import path from 'node:path';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import { z } from 'zod';
import { asRestoreError, type ErrorCode, RestoreError, toPlainError } from '../core/index.ts';
import { ExportRequestSchema } from './export-request.ts';
import type { Exports } from './exports.ts';
import type { Overlays } from './overlays.ts';

const HTTP_STATUS = {
  NOT_FOUND: 404,
  EXISTS: 409,
  INVALID: 400,
  CORRUPT: 502,
  UNSUPPORTED: 501,
  WRONG_KEY: 403,
  IO: 503,
  NO_SPACE: 507,
  BUSY: 503,
  CANCELLED: 499,
  DENIED: 403,
  LIMIT: 422,
} as const satisfies Record<ErrorCode, number>;

/** The local control interface: HTTP and JSON over a socket that only its owner can open. */
export function controlApp(exports: Exports, overlays: Overlays): Express {
  const app = express();
  app.disable('x-powered-by');
  app.use(express.json({ limit: '64kb' }));
  app.get('/v1/health', (_request, response) => {
    response.json({ ok: true, processId: process.pid });
  });
  app.get('/v1/exports', async (_request, response) => {
    response.json({ exports: await exports.list() });
  });
  app.post('/v1/exports', async (request, response) => {
    const body = ExportRequestSchema.safeParse(request.body);
    if (!body.success) {
      throw new RestoreError('INVALID', 'not a request for an export', {
        where: { found: z.prettifyError(body.error).slice(0, 300) },
      });
    }
    response.status(201).json(await exports.open(body.data));
  });
  app.delete('/v1/exports/:id', async (request, response) => {
    await exports.revoke(request.params.id);
    response.json({ revoked: request.params.id });
  });
  app.get('/v1/overlays', async (_request, response) => {
    response.json({ overlays: await overlays.list() });
  });
  app.get('/v1/overlays/:id', async (request, response) => {
    response.json(await overlays.get(request.params.id));
  });
  app.delete('/v1/overlays/:id', async (request, response) => {
    response.json({ discarded: await overlays.discard(request.params.id) });
  });
  app.use((request, _response) => {
    throw new RestoreError('NOT_FOUND', `no such resource: ${request.method} ${request.path}`);
  });
  app.use(answerWithError);
  return app;
}

/**
 * Serves on a Unix socket with mode 0600.
 *
 * @throws RestoreError `BUSY` when another service answers there, `EXISTS` when something else than a
 *   socket is there, `DENIED`, `IO`.
 */
export async function listenOnSocket(app: Express, socket: string): Promise<Server> {
  await removeStaleSocket(socket);
  const server = createServer(app);
  try {
    mkdirSync(path.dirname(socket), { recursive: true, mode: 0o700 });
    // From its first moment on, not only after chmod: the mask is what keeps others out till then.
    const mask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(socket, resolve);
      });
    } finally {
      process.umask(mask);
    }
    chmodSync(socket, 0o600);
  } catch (error) {
    throw asRestoreError(error, 'cannot listen on the control socket', { object: socket });
  }
  return server;
}

async function removeStaleSocket(socket: string): Promise<void> {
  // Connecting to any other file is refused just as by a stale socket.
  const existing = lstatSync(socket, { throwIfNoEntry: false });
  if (existing !== undefined && !existing.isSocket()) {
    throw new RestoreError('EXISTS', 'there is a file where the control socket is to be', {
      where: { object: socket, expected: 'a socket, or nothing' },
      hint: 'Give another path with --control.',
    });
  }
  const state = await new Promise<'alive' | 'stale' | 'none'>((resolve) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve('alive');
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ECONNREFUSED' ? 'stale' : 'none');
    });
  });
  if (state === 'alive') {
    throw new RestoreError('BUSY', 'another service answers on the control socket', {
      where: { object: socket },
      hint: 'Stop it, or give this one its own with --control.',
    });
  }
  if (state === 'stale') unlinkSync(socket);
}

function answerWithError(
  cause: unknown,
  _request: Request,
  response: Response,
  _next: NextFunction,
): void {
  const status = (cause as { status?: unknown } | null)?.status;
  const isClientsFault = typeof status === 'number' && status >= 400 && status < 500;
  const error =
    isClientsFault && !(cause instanceof RestoreError)
      ? new RestoreError('INVALID', 'the request cannot be read', { cause })
      : asRestoreError(cause, 'the service failed');
  response.status(HTTP_STATUS[error.code]).json({ error: toPlainError(error) });
}
