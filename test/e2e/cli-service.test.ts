/** The service through the command, read by a stock initiator. */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { randomBytes } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { Cli, EXIT, isAlive, type Service } from './command/harness.ts';

const USER = 'eva';
const SECRET = 'Horse-Battery-1!';
const DISK_BYTES = 6 * 1024 * 1024;
const MISSING = ['qemu-img', 'qemu-io'].filter((tool) => findTool(tool) === undefined);

interface ExportShape {
  readonly id: string;
  readonly iqn: string;
  readonly portal: string;
  readonly lun: number;
  readonly chap: { readonly user: string; readonly secret: string };
}

const scratch = new Scratch();
const control = scratch.file('control.sock');
const cli = new Cli(scratch, { REHYDRATE_CONTROL: control });
const repository = scratch.file('repository');
const disk = scratch.file('disk.raw');
let service: Service;

beforeAll(async () => {
  writeFileSync(disk, randomBytes(DISK_BYTES, 1));
  await cli.json('init', repository);
  await cli.json('capture', repository, disk, '--machine', 'web01', '--at', '2026-03-01T00:00:00Z');
});
afterAll(() => scratch[Symbol.dispose]());
let state: string;
let services = 0;
beforeEach(async (context) => {
  context.skip(MISSING.length > 0, `not installed: ${MISSING.join(', ')}`);
  // What is open outlives a service: each test begins with nothing open.
  services += 1;
  state = scratch.file(`state-${services}`);
  service = await cli.serve(repository, control, '--state', state);
});
afterEach(async () => {
  await service?.stop();
});

function open(...more: readonly string[]): Promise<ExportShape> {
  return cli.json<ExportShape>('export', 'web01@latest', '--iscsi', ...more);
}

/** libiscsi takes the secret as it stands: it undoes no escapes. */
function urlOf({ iqn, portal, lun, chap }: ExportShape, secret: string = chap.secret): string {
  return `iscsi://${chap.user}%${secret}@${portal}/${iqn}/${lun}`;
}

function compare(url: string): ReturnType<typeof run> {
  return run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', disk, url], { accept: [0, 1, 2] });
}

describe('the service', () => {
  it('opens a disk that a stock initiator finds identical, lists it, and closes it', async () => {
    const opened = await open('--chap-user', USER, '--chap-secret', SECRET);
    expect(opened).toMatchObject({ lun: 0, chap: { user: USER, secret: SECRET } });
    expect(opened.iqn).toMatch(/^iqn\.2026-11\.org\.rehydrate:web01-/);
    expect(opened.portal).toBe(service.ready.portal);
    const same = await compare(urlOf(opened));
    expect(same.stdout + same.stderr).toContain('Images are identical');

    const { stdout } = await cli.run('exports', '--json');
    const listing = JSON.parse(stdout.toString()) as { exports: { bytesRead: number }[] };
    // The disk, and the few hundred bytes of what else an initiator asks.
    expect(listing.exports[0]?.bytesRead).toBeGreaterThanOrEqual(DISK_BYTES);
    expect(listing.exports[0]?.bytesRead).toBeLessThan(DISK_BYTES + 65_536);
    expect(listing).toMatchObject({
      exports: [{ id: opened.id, iqn: opened.iqn, chap: { user: USER } }],
    });
    expect(stdout.toString()).not.toContain(SECRET);
    expect(service.log).not.toContain(SECRET);

    expect(await cli.json('revoke', opened.id)).toEqual({ revoked: opened.id });
    const gone = await compare(urlOf(opened));
    expect(gone.exitCode).toBe(2);
    expect(await cli.json('exports')).toEqual({ exports: [] });
    expect((await cli.failure('revoke', opened.id)).status).toBe(EXIT.notFound);
  });

  it('makes a secret that works, and refuses a wrong secret and a wrong user', async () => {
    const opened = await open();
    expect(opened.chap.secret).toMatch(/^[\w]{16}$/);
    expect((await compare(urlOf(opened))).exitCode).toBe(0);
    for (const wrong of [
      urlOf(opened, 'WrongSecret12345'),
      urlOf({ ...opened, chap: { ...opened.chap, user: 'mallory' } }),
      `iscsi://${opened.portal}/${opened.iqn}/0`,
    ]) {
      const { exitCode, stderr } = await compare(wrong);
      expect(exitCode).toBe(2);
      expect(stderr).toMatch(/Failed to (connect|log ?in)|login failed|Authentication/i);
    }
  });

  it('gives each export of one disk a name and a secret of its own', async () => {
    const [one, other] = [await open(), await open()];
    expect(one.iqn).not.toBe(other.iqn);
    expect(one.chap.secret).not.toBe(other.chap.secret);
    await cli.json('revoke', one.iqn);
    expect((await compare(urlOf(one))).exitCode).toBe(2);
    expect((await compare(urlOf(other))).exitCode).toBe(0);
  });

  it('sees points captured while it runs', async () => {
    const next = scratch.file('next.raw');
    writeFileSync(next, randomBytes(DISK_BYTES, 2));
    await cli.json('capture', repository, next, '--machine', 'web02');
    const opened = await cli.json<ExportShape>('export', 'web02@latest', '--iscsi');
    const { exitCode } = await run(
      'qemu-img',
      ['compare', '-f', 'raw', '-F', 'raw', next, urlOf(opened)],
      { accept: [0, 1, 2] },
    );
    expect(exitCode).toBe(0);
  });

  it('answers bad requests with their reason and their exit status', async () => {
    const cases: readonly (readonly [readonly string[], number])[] = [
      [['export', 'web03@latest', '--iscsi'], EXIT.notFound],
      [['export', 'web01@2020', '--iscsi'], EXIT.notFound],
      [['export', 'web01@latest/disk1', '--iscsi'], EXIT.notFound],
      [['export', 'web01@latest', '--iscsi', '--chap-secret', 'short'], EXIT.invalid],
      [['export', 'web01@latest', '--iscsi', '--chap-user', 'a b'], EXIT.invalid],
      [['export', 'web01@latest'], EXIT.invalid],
      [['revoke', 'nothing'], EXIT.notFound],
    ];
    for (const [args, expected] of cases) {
      const { status, error } = await cli.failure(...args);
      expect(status, `of ${args.join(' ')}`).toBe(expected);
      expect(error.hint, `of ${args.join(' ')}`).toBeTruthy();
    }
    expect(await cli.json('exports')).toEqual({ exports: [] });
  });

  const secrets = [SECRET, 'Horse,Bat@1/#', `$(id)%41\\'"&;x`];
  it.each(secrets)('prints commands that can be pasted, for the secret %s', async (secret) => {
    const chap = ['--chap-user', USER, '--chap-secret', secret];
    const args = ['export', 'web01@latest', '--iscsi', ...chap];
    const { stdout } = await cli.run(...args);
    const text = stdout.toString();
    expect(text).toMatch(/iscsiadm -m node -T iqn\.\S+ -p 127\.0\.0\.1:\d+ --login/);
    expect(text).toContain('Connect-IscsiTarget');
    const pasted = /^ +(qemu-img info .+)$/m.exec(text)?.[1];
    if (pasted === undefined) throw new Error('no qemu command was printed');
    const { stdout: info } = await run('sh', ['-c', pasted]);
    expect(info).toContain(`(${DISK_BYTES} bytes)`);
  });

  it('lets no second service have its socket, and goes on serving', async () => {
    const second = ['serve', repository, '--control', control, '--iscsi-listen', '127.0.0.1:0'];
    const { status, error } = await cli.failure(...second);
    expect({ status, code: error.code }).toEqual({ status: EXIT.busy, code: 'BUSY' });
    expect((await compare(urlOf(await open()))).exitCode).toBe(0);
  });

  it('refuses a portal that is taken', async () => {
    const args = ['serve', repository, '--control', scratch.file('other.sock')];
    const { status, error } = await cli.failure(...args, '--iscsi-listen', service.ready.portal);
    expect(status).not.toBe(EXIT.ok);
    expect(error.message).toMatch(/EADDRINUSE|in use/);
  });

  it('takes over a socket that a killed service left, whose processes are gone too', async () => {
    const { id, iqn } = await open();
    const { processId, iscsiProcessId } = service.ready;
    process.kill(processId, 'SIGKILL');
    await untilGone(processId, iscsiProcessId);
    service = await cli.serve(repository, control, '--state', state);
    // What was open is open again, under its name.
    expect(await cli.json('exports')).toMatchObject({ exports: [{ id, iqn, sessions: [] }] });
  });

  it('never removes a file that is no socket', async () => {
    const file = scratch.file('precious');
    writeFileSync(file, 'precious');
    const args = ['serve', repository, '--control', file, '--iscsi-listen', '127.0.0.1:0'];
    expect((await cli.failure(...args)).status).toBe(EXIT.exists);
    expect((await run('cat', [file])).stdout).toBe('precious');
  });

  it('ends on SIGTERM with everything it started, and leaves no socket', async () => {
    const opened = await open();
    const { processId, iscsiProcessId } = service.ready;
    expect(await service.stop()).toBe(EXIT.ok);
    await untilGone(processId, iscsiProcessId);
    expect((await compare(urlOf(opened))).exitCode).toBe(2);
    expect((await cli.failure('exports')).status).toBe(EXIT.notFound);
    // The portal is free again.
    const port = Number(opened.portal.split(':')[1]);
    await new Promise<void>((resolve, reject) => {
      const probe = createServer().once('error', reject);
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve()));
    });
  });

  it('brings its iSCSI process back with all that was open, when that is killed', async () => {
    const opened = await open();
    process.kill(service.ready.iscsiProcessId, 'SIGKILL');
    await untilGone(service.ready.iscsiProcessId);
    const deadline = Date.now() + 20_000;
    while ((await compare(urlOf(opened))).exitCode !== 0) {
      expect(Date.now(), 'the export stays away').toBeLessThan(deadline);
      await sleep(250);
    }
  });
});

async function untilGone(...processIds: readonly number[]): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (processIds.some((id) => isAlive(id))) {
    expect(Date.now(), `processes ${processIds.join(', ')} live on`).toBeLessThan(deadline);
    await sleep(50);
  }
}
