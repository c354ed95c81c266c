import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BytesSource } from '../core/index.ts';
import { randomBytes } from '../test/fixtures/random.ts';
import { Scratch, TestRepository } from '../test/fixtures/repository.ts';
import { type Gateway, type GatewayOptions, startGateway } from './index.ts';

interface Answer {
  readonly status: number;
  readonly body: {
    readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
    readonly [name: string]: unknown;
  };
}

const log: string[] = [];
const note = (fields: object, message: string): void => {
  log.push(`${message} ${JSON.stringify(fields)}`);
};

let scratch: Scratch;
let gateway: Gateway;
let options: GatewayOptions;
beforeAll(async () => {
  scratch = new Scratch();
  const made = await TestRepository.create(scratch);
  await made.capture('web01', [new BytesSource(randomBytes(512, 1))]);
  options = {
    repository: made.location,
    credential: undefined,
    iscsiListen: { host: '127.0.0.1', port: 0 },
    iscsiAdvertise: { host: '192.0.2.7', port: 3260 },
    state: scratch.file('state'),
    control: scratch.file('run/control.sock'),
    cacheBytes: 1_000_000,
    logger: { info: note, warn: note, error: note },
  };
  gateway = await startGateway(options);
});
afterAll(async () => {
  await gateway.close();
  scratch[Symbol.dispose]();
});

function ask(
  method: string,
  path: string,
  body?: string,
  type = 'application/json',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': type };
    const call = request(
      { socketPath: gateway.control, method, path, headers, timeout: 10_000 },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Answer['body'] });
        });
      },
    );
    call.on('error', reject);
    call.end(body);
  });
}

const open = (body: object): Promise<Answer> => ask('POST', '/v1/exports', JSON.stringify(body));

describe('the control interface', () => {
  it('opens, lists without secrets, and revokes', async () => {
    const { status, body } = await open({ address: 'web01@latest' });
    expect(status).toBe(201);
    const { id, chap } = body as { id: string; chap: { user: string; secret: string } };
    expect(body).toMatchObject({ portal: '192.0.2.7:3260', lun: 0, readOnly: true });
    const list = await ask('GET', '/v1/exports');
    expect(list.body).toMatchObject({ exports: [{ id, chap: { user: chap.user }, sessions: [] }] });
    expect(JSON.stringify(list.body)).not.toContain(chap.secret);
    expect(log.join('\n')).not.toContain(chap.secret);
    expect((await ask('DELETE', `/v1/exports/${id}`)).status).toBe(200);
    expect((await ask('GET', '/v1/exports')).body).toEqual({ exports: [] });
    expect((await ask('DELETE', `/v1/exports/${id}`)).status).toBe(404);
  });

  it.each([
    ['no JSON', '{', undefined],
    ['no object', '[]', undefined],
    ['no body of JSON', 'address=web01', 'application/x-www-form-urlencoded'],
    ['no address', '{}', undefined],
    ['a field that nobody knows', '{"address":"web01@latest","colour":"red"}', undefined],
    ['an address that is none', '{"address":"@"}', undefined],
    ['an address without end', JSON.stringify({ address: 'x'.repeat(5000) }), undefined],
    ['more than it reads', JSON.stringify({ address: 'x'.repeat(100_000) }), undefined],
    ['a short secret', '{"address":"web01@latest","chapSecret":"short"}', undefined],
    ['a user with a blank', '{"address":"web01@latest","chapUser":"a b"}', undefined],
  ])('answers 400 INVALID to %s', async (_, body, type) => {
    const answer = await ask('POST', '/v1/exports', body, type);
    expect([answer.status, answer.body.error?.code]).toEqual([400, 'INVALID']);
    expect((await ask('GET', '/v1/exports')).body).toEqual({ exports: [] });
  });

  it('names the nearest machine and point where there is none', async () => {
    const { status, body } = await open({ address: 'wbe01@latest' });
    expect([status, body.error?.code]).toEqual([404, 'NOT_FOUND']);
    expect(body.error?.hint).toContain('web01');
    const point = await open({ address: 'web01@1999-01' });
    expect([point.status, point.body.error?.code]).toEqual([404, 'NOT_FOUND']);
  });

  it.each([
    ['GET', '/v1/nothing'],
    ['PUT', '/v1/exports'],
    ['GET', '/'],
    ['DELETE', '/v1/exports/%2e%2e'],
  ])('answers 404 to %s %s', async (method, path) => {
    const { status, body } = await ask(method, path);
    expect([status, body.error?.code]).toEqual([404, 'NOT_FOUND']);
  });

  it('answers 400, not 500, to a path that does not decode', async () => {
    const { status, body } = await ask('DELETE', '/v1/exports/%ff');
    expect([status, body.error?.code]).toEqual([400, 'INVALID']);
  });
});

describe('the control socket', () => {
  it('opens for its owner alone', () => {
    expect(statSync(gateway.control).mode & 0o777).toBe(0o600);
  });

  it('is not taken from a service that answers on it', async () => {
    await expect(startGateway(options)).rejects.toMatchObject({ code: 'BUSY' });
    expect((await ask('GET', '/v1/health')).status).toBe(200);
  });

  it('is taken over from a service that died, and goes with its own', async () => {
    const control = scratch.file('stale.sock');
    leaveStaleSocket(control);
    const other = await startGateway({ ...options, control });
    expect(statSync(control).isSocket()).toBe(true);
    await other.close();
    expect(() => statSync(control)).toThrow(/ENOENT/);
  });

  it('is not put over a file', async () => {
    const control = scratch.file('precious');
    writeFileSync(control, 'precious');
    await expect(startGateway({ ...options, control })).rejects.toMatchObject({
      name: 'RestoreError',
    });
    expect(statSync(control).isFile()).toBe(true);
    mkdirSync(scratch.file('folder'));
    await expect(
      startGateway({ ...options, control: scratch.file('folder') }),
    ).rejects.toMatchObject({ name: 'RestoreError' });
  });
});

/** A socket's file without its server, as a killed process leaves it. */
function leaveStaleSocket(file: string): void {
  const script = `require('node:net').createServer().listen(${JSON.stringify(file)}, () => process.kill(process.pid, 'SIGKILL'))`;
  expect(() => execFileSync(process.execPath, ['-e', script])).toThrow(/SIGKILL|failed/);
  expect(statSync(file).isSocket()).toBe(true);
}
