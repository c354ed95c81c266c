import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { randomBytes } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { Cli, EXIT, type Service } from './command/harness.ts';

/** Writable exports from end to end: the command, the service, and qemu-io as the initiator. */
const MIB = 1024 * 1024;
const reason = findTool('qemu-io') === undefined ? 'qemu-io is not installed' : undefined;

interface Opened {
  readonly id: string;
  readonly iqn: string;
  readonly portal: string;
  readonly lun: number;
  readonly readOnly: boolean;
  readonly overlay: string;
  readonly chap: { readonly user: string; readonly secret: string };
}

describe('a disk opened writable', () => {
  const scratch = new Scratch();
  const cli = new Cli(scratch);
  const repository = scratch.file('repository');
  const control = scratch.file('control.sock');
  const disk = scratch.file('disk.raw');
  const content = randomBytes(64 * MIB, 7);
  let service: Service;

  beforeAll(async () => {
    writeFileSync(disk, content);
    await cli.json('init', repository);
    await cli.json(
      'capture',
      repository,
      disk,
      '--machine',
      'db01',
      '--at',
      '2026-11-01T00:00:00Z',
    );
  });
  afterAll(() => scratch[Symbol.dispose]());

  beforeEach(async (context) => {
    context.skip(reason !== undefined, reason);
    service = await cli.serve(repository, control);
  });
  afterEach(async () => {
    await service.stop();
  });

  const ask = <T>(...args: string[]): Promise<T> => cli.json<T>(...args, '--control', control);
  const open = (...more: string[]): Promise<Opened> =>
    ask('export', 'db01@2026-11-01', '--iscsi', '--writable', ...more);
  const urlOf = ({ chap, portal, iqn, lun }: Opened): string =>
    `iscsi://${chap.user}%${chap.secret}@${portal}/${iqn}/${lun}`;
  const io = async (opened: Opened, ...commands: string[]): Promise<string> => {
    const args = ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), urlOf(opened)];
    const { stdout, stderr } = await run('qemu-io', args, { accept: [0, 1] });
    return stdout + stderr;
  };

  test('takes writes, keeps them, commits and exports them, and leaves the backup alone', async () => {
    const opened = await open('--note', 'trial');
    expect(opened.readOnly).toBe(false);
    expect(await io(opened, 'write -P 0x5a 1M 64k', 'write -P 0x33 2M 4k', 'flush')).not.toMatch(
      /fail|error/i,
    );
    const busy = await cli.failure('overlay', 'commit', opened.overlay, '--control', control);
    expect(busy.status).toBe(EXIT.busy);
    await ask('revoke', opened.id);

    const committed = await ask<{ address: string; readBytes: number }>(
      ...['overlay', 'commit', opened.overlay, '--at', '2026-11-02T00:00:00Z'],
    );
    expect(committed.readBytes).toBeLessThanOrEqual(2 * 65_536);
    const expected = Buffer.from(content);
    expected.fill(0x5a, MIB, MIB + 65_536);
    expected.fill(0x33, 2 * MIB, 2 * MIB + 4096);
    const out = scratch.file('committed.raw');
    await cli.json('restore', repository, committed.address, out);
    expect(sha256(readFileSync(out))).toBe(sha256(expected));
    const qcow2 = scratch.file('merged.qcow2');
    await ask('overlay', 'export', opened.overlay, qcow2, '--format', 'qcow2', '--verify');
    await run('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', qcow2, out]);
    const original = await cli.run('read', repository, 'db01@2026-11-01');
    expect(sha256(original.stdout)).toBe(sha256(content));

    await ask('overlay', 'discard', opened.overlay);
    expect(await ask('overlay', 'list')).toEqual({ overlays: [] });
  }, 120_000);

  test('comes back after the service ended, and after its process was killed', async () => {
    const opened = await open();
    expect(await io(opened, 'write -P 0x77 3M 8k', 'flush')).not.toMatch(/fail|error/i);
    process.kill(service.ready.iscsiProcessId, 'SIGKILL');
    await expect
      .poll(() => io(opened, 'read -P 0x77 3M 8k'), { timeout: 20_000, interval: 500 })
      .toContain('read 8192/8192');
    await service.stop();
    const [, port] = service.ready.portal.split(':');
    service = await cli.serve(repository, control, '--iscsi-listen', `127.0.0.1:${port}`);
    expect(await io(opened, 'read -P 0x77 3M 8k')).toMatch(/read 8192\/8192(?![^]*failed)/);
    const { exports } = await ask<{ exports: { id: string }[] }>('exports');
    expect(exports.map(({ id }) => id)).toContain(opened.id);
    await ask('revoke', opened.id);
    const again = await ask<Opened>('export', '--iscsi', '--overlay', opened.overlay);
    expect(again.iqn).toBe(opened.iqn);
    expect(await io(again, 'read -P 0x77 3M 8k')).toContain('read 8192/8192');
    await ask('revoke', again.id);
    await ask('overlay', 'discard', opened.overlay);
  }, 120_000);

  test('two of one point are apart from each other', async () => {
    const [one, two] = [await open(), await open()];
    expect(one.iqn).not.toBe(two.iqn);
    await io(one, 'write -P 0x11 0 4k', 'flush');
    await io(two, 'write -P 0x22 0 4k', 'flush');
    expect(await io(one, 'read -P 0x11 0 4k')).not.toContain('Pattern verification failed');
    expect(await io(two, 'read -P 0x22 0 4k')).not.toContain('Pattern verification failed');
    for (const { id, overlay } of [one, two]) {
      await ask('revoke', id);
      await ask('overlay', 'discard', overlay);
    }
  }, 120_000);

  test('refuses writes at its limit, and reads on', async () => {
    const opened = await open('--size-limit', '0.0009765625');
    const outcome = await io(opened, 'write -P 1 0 512k', 'flush', 'write -P 2 8M 1M');
    expect(outcome).toMatch(/No space left|failed/i);
    expect(await io(opened, 'read -P 1 0 512k')).not.toContain('Pattern verification failed');
    await ask('revoke', opened.id);
    await ask('overlay', 'discard', opened.overlay);
  }, 120_000);

  test('closes by itself when its time is over', async () => {
    const opened = await open('--expires', '2s');
    await expect
      .poll(async () => (await ask<{ exports: unknown[] }>('exports')).exports, { timeout: 20_000 })
      .toEqual([]);
    expect(await io(opened, 'read 0 4k')).toMatch(/Failed to (log in|connect)|failed/i);
    await ask('overlay', 'discard', opened.overlay);
  }, 120_000);

  test('lets in only whom it may', async () => {
    const opened = await open('--allow-initiator', 'iqn.2026-01.example:trusted');
    expect(await io(opened, 'read 0 4k')).toMatch(/failed/i);
    expect(await io(opened, 'read 0 4k')).not.toContain('read 4096/4096');
    await ask('revoke', opened.id);
    await ask('overlay', 'discard', opened.overlay);
  }, 120_000);

  test('takes no options that mean nothing', async () => {
    const plain = await cli.failure(
      ...['export', 'db01@latest', '--iscsi', '--new-identity', '--control', control],
    );
    expect(plain.status).toBe(EXIT.invalid);
    const unknown = await cli.failure('overlay', 'discard', 'ffff', '--control', control);
    expect(unknown.status).toBe(EXIT.notFound);
  });
});

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
