import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  AttachedDisk,
  PostgresServer,
  type PostgresSession,
  postgresMissing,
} from '../fixtures/postgres/index.ts';
import { Scratch } from '../fixtures/repository.ts';
import { run } from '../fixtures/tools/index.ts';
import { Cli, type Service } from './command/harness.ts';

/** A database administrator's worst day, with Debian's own PostgreSQL on both sides. */
const scratch = new Scratch();
const reason = await postgresMissing(scratch);

interface Opened {
  readonly id: string;
  readonly iqn: string;
  readonly portal: string;
  readonly lun: number;
  readonly overlay: string;
  readonly chap: { readonly user: string; readonly secret: string };
}

/** One line that is the same for the same rows, whatever their order on disk. */
const FACTS = `SELECT count(*), min(id), max(id), md5(string_agg(id || body, ',' ORDER BY id)) FROM facts`;

describe('an old point of a running PostgreSQL', () => {
  const cli = new Cli(scratch);
  const cleanup = new AsyncDisposableStack();
  const repository = scratch.file('repository');
  const control = scratch.file('control.sock');
  const before = scratch.file('before.qcow2');
  let original: AttachedDisk;
  let live: PostgresServer;
  let service: Service;

  beforeAll(async () => {
    if (reason !== undefined) return;
    // The server's user must reach its own folders; names alone open nothing else.
    chmodSync(scratch.path, 0o711);
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', before, '512M']);
    original = await attach('original', {
      driver: 'qcow2',
      file: { driver: 'file', filename: before },
    });
    await run('mkfs.ext4', ['-q', original.device]);
    await original.mount();
    await run('chown', ['postgres', original.mountPoint]);
    const data = `${original.mountPoint}/data`;
    await PostgresServer.create(data);
    live = await startServer(data, 'live');
    await cli.json('init', repository);
    service = await cli.serve(repository, control);
    cleanup.defer(async () => {
      await service.stop();
    });
  }, 120_000);

  afterAll(async () => {
    try {
      await cleanup.disposeAsync();
    } finally {
      scratch[Symbol.dispose]();
    }
  }, 120_000);

  beforeEach((context) => context.skip(reason !== undefined, reason));

  async function attach(
    name: string,
    blockdev: Readonly<Record<string, unknown>>,
    secret?: string,
  ): Promise<AttachedDisk> {
    const more = secret === undefined ? {} : { secret };
    const disk = await AttachedDisk.attach({ folder: scratch.path, name, blockdev, ...more });
    cleanup.defer(() => disk.detach());
    return disk;
  }

  async function startServer(data: string, name: string): Promise<PostgresServer> {
    const sockets = scratch.file(`${name}.sockets`);
    mkdirSync(sockets);
    await run('chown', ['postgres', sockets]);
    const server = await PostgresServer.start(data, sockets);
    cleanup.defer(() => server.stop());
    return server;
  }

  const backupHash = async (address: string): Promise<string> => {
    const { status, stdout } = await cli.run('read', repository, address);
    expect(status).toBe(0);
    return createHash('sha256').update(stdout).digest('hex');
  };

  const open = (address: string): Promise<Opened> =>
    cli.json('export', address, '--iscsi', '--writable', '--control', control);

  test('starts beside the live server, recovers, answers as of then, and takes writes', async () => {
    const transaction = await writeRows(live);
    cleanup.defer(() => transaction.end());
    const then = await live.query(FACTS);
    expect(then).toMatch(/^6001\|1\|6001\|/);

    await original.snapshot(scratch.file('after.qcow2'));
    await transaction.run('COMMIT');
    await live.query(`UPDATE facts SET body = 'changed since' WHERE id % 3 = 0;
      INSERT INTO facts VALUES (7000, 'after the backup'); CHECKPOINT`);
    const now = await live.query(FACTS);
    const { address } = await cli.json<{ address: string }>(
      ...['capture', repository, before, '--machine', 'sql01', '--consistency', 'crash'],
    );
    const hash = await backupHash(address);
    expect(hash).toBe(await hashByQemu(before, scratch.file('before.raw')));

    const opened = await open(address);
    const restored = await attach('restored', iscsiDisk(opened), opened.chap.secret);
    await restored.mount();
    const data = `${restored.mountPoint}/data`;
    // It names the live server's process, which on this machine is alive: a copy beside the original
    // needs this file gone, and PostgreSQL refuses to start until it is.
    await expect(startServer(data, 'refused')).rejects.toThrow(/postmaster\.pid" already exists/);
    await rm(`${data}/postmaster.pid`);
    const copy = await startServer(data, 'restored');
    expect(copy.log).toContain('was not properly shut down; automatic recovery in progress');
    expect(copy.log).toContain('redo done');
    expect(await copy.query(FACTS)).toBe(then);
    expect(await copy.query('SELECT count(*) FROM facts WHERE id IN (900001, 7000)')).toBe('0');
    expect(await live.query(FACTS)).toBe(now);

    await copy.query(`DELETE FROM facts WHERE id > 100; INSERT INTO facts VALUES (-1, 'repaired')`);
    const repaired = await copy.query(FACTS);
    await copy.stop();
    await restored.detach();
    expect(await backupHash(address)).toBe(hash);

    // Attached anew, the overlay still holds what was written, cleanly shut down this time.
    const again = await attach('again', iscsiDisk(opened), opened.chap.secret);
    await again.mount();
    const second = await startServer(`${again.mountPoint}/data`, 'again');
    expect(second.log).not.toContain('recovery in progress');
    expect(await second.query(FACTS)).toBe(repaired);
    await second.stop();
    await again.detach();
    await cli.json('revoke', opened.id, '--control', control);
    const merged = scratch.file('merged.raw');
    await cli.json(
      'overlay',
      'export',
      opened.overlay,
      merged,
      '--format',
      'raw',
      '--control',
      control,
    );
    await run('e2fsck', ['-fn', merged]);
    expect(await backupHash(address)).toBe(hash);

    expect(await live.query(FACTS)).toBe(now);
    expect(live.log).not.toMatch(/PANIC|FATAL|ERROR/);
  }, 180_000);
});

/** Rows in the tables' files, rows in the write-ahead log alone, and a transaction left open. */
async function writeRows(server: PostgresServer): Promise<PostgresSession> {
  await server.query(`CREATE TABLE facts(id int PRIMARY KEY, body text);
    INSERT INTO facts SELECT n, md5(n::text) FROM generate_series(1, 5000) n`);
  await server.query('CHECKPOINT');
  // Only in the write-ahead log: the tables' own files know nothing of these.
  await server.query(`INSERT INTO facts SELECT n, 'late' || n FROM generate_series(5001, 6000) n`);
  const transaction = server.session();
  await transaction.run(`BEGIN; INSERT INTO facts VALUES (900001, 'never committed then');
    DELETE FROM facts WHERE id <= 10`);
  // Its commit carries the open transaction's records to the disk too.
  await server.query(`INSERT INTO facts VALUES (6001, 'the last one')`);
  return transaction;
}

function iscsiDisk({ portal, iqn, lun, chap }: Opened): Readonly<Record<string, unknown>> {
  const login = { user: chap.user, 'password-secret': 'chap' };
  return { driver: 'iscsi', transport: 'tcp', portal, target: iqn, lun, ...login };
}

/** What the disk holds as qemu decodes it. */
async function hashByQemu(image: string, raw: string): Promise<string> {
  await run('qemu-img', ['convert', '--force-share', '-f', 'qcow2', '-O', 'raw', image, raw]);
  const { stdout } = await run('sha256sum', [raw]);
  return stdout.slice(0, 64);
}
