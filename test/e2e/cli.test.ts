/** The command on repositories: what each subcommand prints, and what bad input gets. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { randomBytes } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { Cli, EXIT, filesIn } from './command/harness.ts';

const BLOCK = 65_536;
const FIRST = '2026-03-01T22:00:00.000Z';
const SECOND = '2026-03-02T22:00:00.000Z';

const scratch = new Scratch();
const cli = new Cli(scratch);
const repository = scratch.file('repository');
const disk = scratch.file('system.raw');
const dataDisk = scratch.file('data.raw');
const content = Buffer.from(randomBytes(40 * BLOCK, 1));
const dataContent = Buffer.concat([randomBytes(8 * BLOCK, 2), Buffer.alloc(8 * BLOCK)]);
let firstId: string;

beforeAll(async () => {
  writeFileSync(disk, content);
  writeFileSync(dataDisk, dataContent);
  writeFileSync(scratch.file('vm.xml'), '<domain>sql02</domain>');
  await cli.json('init', repository);
  const { id } = await cli.json<{ id: string }>(
    ...['capture', repository, disk, dataDisk, '--machine', 'sql02', '--at', FIRST, '--archived'],
    ...['--tag', 'site=north', '--tag', 'why=before upgrade', '--consistency', 'application'],
    ...['--config', scratch.file('vm.xml')],
  );
  firstId = id;
});
afterAll(() => scratch[Symbol.dispose]());

describe('init', () => {
  it('makes a repository as it was asked to, and says so', async () => {
    const made = scratch.file('made');
    expect(await cli.json('init', made, '--codec', 'lz4', '--block-size', '256')).toMatchObject({
      repository: made,
      blockSize: 262_144,
      codec: 'lz4',
      encrypted: false,
    });
    expect(await cli.json('info', made)).toMatchObject({ codec: 'lz4', points: 0, machines: 0 });
    const { status, error } = await cli.failure('init', made);
    expect({ status, code: error.code }).toEqual({ status: EXIT.exists, code: 'EXISTS' });
  });

  it.each([
    [['--block-size', '100']],
    [['--block-size', '8']],
    [['--level', '0']],
    [['--level', 'high']],
    [['--codec', 'gzip']],
    [['--encrypt']],
    [['--passphrase-file', disk]],
  ])('refuses %j and makes nothing', async (options) => {
    const target = scratch.file('refused');
    const { status } = await cli.run('init', target, ...options);
    expect(status).toBe(EXIT.invalid);
    expect(() => statSync(target)).toThrow(/ENOENT/);
  });
});

describe('ls and info', () => {
  it('list machines, points and disks', async () => {
    expect(await cli.json('ls', repository)).toEqual({
      machines: [{ machine: 'sql02', points: 1, first: FIRST, latest: FIRST }],
    });
    expect(await cli.json('ls', repository, 'sql02')).toMatchObject({
      machine: 'sql02',
      points: [{ id: firstId, takenAt: FIRST, consistency: 'application', disks: 2 }],
    });
    expect(await cli.json('ls', repository, 'sql02@latest')).toMatchObject({
      disks: [
        { id: 'disk0', name: 'system.raw', sizeBytes: content.length, sourceFormat: 'raw' },
        { id: 'disk1', name: 'data.raw', sizeBytes: dataContent.length },
      ],
    });
    const { stdout } = await cli.run('ls', repository, 'sql02');
    expect(stdout.toString()).toMatch(/archived site=north why=before upgrade/);
  });

  it('show time, tags, archived flag and configuration of a point', async () => {
    expect(await cli.json('info', repository, `sql02@${FIRST}`)).toMatchObject({
      id: firstId,
      takenAt: FIRST,
      archived: true,
      consistency: 'application',
      tags: { site: 'north', why: 'before upgrade' },
      configuration: { name: 'vm.xml', content: '<domain>sql02</domain>' },
      statistics: { readBytes: content.length + dataContent.length, zeroBytes: 8 * BLOCK },
    });
  });

  it.each([
    ['ls', 'sql03', 'sql02'],
    ['info', 'sqll02@latest', 'sql02'],
    ['read', 'sql02@2026-04', FIRST],
    ['read', 'sql02@latest/disk3', 'disk1'],
    ['restore', 'sql2@latest/disk0', 'sql02'],
  ])('%s of %s: not found, and the nearest name', async (command, address, near) => {
    const out = command === 'restore' ? [scratch.file('never.raw')] : [];
    const { status, error } = await cli.failure(command, repository, address, ...out);
    expect({ status, code: error.code }).toEqual({ status: EXIT.notFound, code: 'NOT_FOUND' });
    expect(error.hint).toContain(near);
  });

  it('say that there is no repository where there is none', async () => {
    for (const command of ['ls', 'info', 'verify']) {
      const { status, error } = await cli.failure(command, scratch.file('nowhere'));
      expect(status).toBe(EXIT.notFound);
      expect(error.message).toContain(scratch.file('nowhere'));
    }
  });
});

describe('read and restore', () => {
  it('read exactly the range asked for', async () => {
    const range = ['--offset', '65000', '--length', '70001'];
    const { stdout } = await cli.run('read', repository, 'sql02@latest/disk0', ...range);
    expect(stdout.equals(content.subarray(65_000, 135_001))).toBe(true);
    const json = await cli.json<{ length: number; base64: string }>(
      ...['read', repository, 'sql02@latest/disk1', '--offset', '512', '--length', '512'],
    );
    expect(json.length).toBe(512);
    expect(Buffer.from(json.base64, 'base64').equals(dataContent.subarray(512, 1024))).toBe(true);
  });

  it.each([
    [['--offset', String(40 * BLOCK), '--length', '1']],
    [['--offset', '-1']],
    [['--offset', '1e3']],
    [['--length', '99999999999999999999']],
  ])('refuse the range %j', async (range) => {
    const { status, stdout } = await cli.run('read', repository, 'sql02@latest/disk0', ...range);
    expect(status).toBe(EXIT.invalid);
    expect(stdout).toHaveLength(0);
  });

  it('ask which disk where there are several', async () => {
    const { status, error } = await cli.failure('read', repository, 'sql02@latest');
    expect(status).toBe(EXIT.invalid);
    expect(error.hint).toContain('sql02@latest/disk0');
  });

  it('restore to a sparse file, verified, and never over one that exists', async () => {
    const out = scratch.file('restored.raw');
    const restore = ['restore', repository, 'sql02@latest/disk1', out] as const;
    expect(await cli.json(...restore, '--verify')).toMatchObject({
      out,
      sizeBytes: dataContent.length,
      writtenBytes: 8 * BLOCK,
      verified: true,
    });
    expect(readFileSync(out).equals(dataContent)).toBe(true);
    expect(statSync(out).blocks * 512).toBeLessThan(9 * BLOCK);
    writeFileSync(out, 'precious');
    expect((await cli.failure(...restore)).status).toBe(EXIT.exists);
    expect(readFileSync(out, 'utf8')).toBe('precious');
    await cli.json(...restore, '--force');
    expect(readFileSync(out).equals(dataContent)).toBe(true);
  });

  it('restore to a qcow2 that qemu finds whole and identical', async (context) => {
    context.skip(findTool('qemu-img') === undefined, 'not installed: qemu-img');
    const out = scratch.file('restored.qcow2');
    await cli.json('restore', repository, 'sql02@latest/disk0', out, '--format', 'qcow2');
    await run('qemu-img', ['check', '-f', 'qcow2', out]);
    await run('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', out, disk]);
  });
});

describe('capture of what is no disk', () => {
  let before: string[];
  beforeEach(() => {
    before = filesIn(repository);
  });

  async function expectRefused(file: string, ...more: readonly string[]): Promise<string> {
    const args = ['capture', repository, ...more, file, '--machine', 'bad01'];
    const { status, error } = await cli.failure(...args);
    expect(status).not.toBe(EXIT.io);
    expect(filesIn(repository)).toEqual(before);
    expect(error.message).toContain(file);
    return error.message;
  }

  it('a folder, a text file, a device that is none, a missing file: named, nothing published', async () => {
    mkdirSync(scratch.file('folder'));
    writeFileSync(scratch.file('notes.txt'), 'not a disk\n');
    expect(await expectRefused(scratch.file('folder'))).toMatch(/folder/);
    expect(await expectRefused(scratch.file('notes.txt'))).toMatch(/multiple of 512.*11 bytes/);
    expect(await expectRefused('/dev/null')).toMatch(/character device/);
    await expectRefused(scratch.file('missing.raw'));
  });

  it('the second of two disks: nothing of the first is published either', async () => {
    await expectRefused(scratch.file('notes.txt'), disk);
  });

  it('a qcow2 whose backing file is gone, or that is cut short: named with the place', async (context) => {
    context.skip(findTool('qemu-img') === undefined, 'not installed: qemu-img');
    const base = scratch.file('base.qcow2');
    const child = scratch.file('child.qcow2');
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', disk, base]);
    await run('qemu-img', ['create', '-f', 'qcow2', '-b', base, '-F', 'qcow2', child]);
    const moved = scratch.file('moved.qcow2');
    spawnSync('mv', [base, moved]);
    expect(
      (await cli.failure('capture', repository, child, '--machine', 'bad01')).error.message,
    ).toContain(base);
    expect(filesIn(repository)).toEqual(before);
    truncateSync(moved, Math.floor(statSync(moved).size / 2));
    const { status, error } = await cli.failure('capture', repository, moved, '--machine', 'bad01');
    expect(status).toBe(EXIT.corrupt);
    expect(error.where.object).toBe(moved);
    expect(error.where.offset).toBeGreaterThan(0);
    expect(filesIn(repository)).toEqual(before);
  });

  it.each([
    [['--at', 'yesterday']],
    [['--at', '2026-02-30T00:00:00']],
    [['--tag', 'novalue']],
    [['--consistency', 'perfect']],
    [['--config', '/nonexistent/vm.xml']],
    [['--verify-unchanged']],
    [['--machine', 'a@b']],
    [['--machine', '']],
  ])('bad options %j: refused, nothing published', async (options) => {
    const { status } = await cli.run('capture', repository, disk, '--machine', 'bad01', ...options);
    expect([EXIT.invalid, EXIT.notFound]).toContain(status);
    expect(filesIn(repository)).toEqual(before);
  });

  it('a second point of one machine at one time: refused', async () => {
    const args = ['capture', repository, disk, '--machine', 'sql02', '--at', FIRST];
    expect((await cli.failure(...args)).status).toBe(EXIT.exists);
    expect(filesIn(repository)).toEqual(before);
  });
});

describe('capture with a list of changed blocks', () => {
  const list = scratch.file('changes.json');
  const capture = [
    'capture',
    repository,
    disk,
    dataDisk,
    '--machine',
    'sql02',
    '--changed-blocks',
    list,
  ];
  const next = Buffer.from(content);

  it('refuses lists that make no sense', async () => {
    const before = filesIn(repository);
    const bad = [
      'not json',
      '{"disk0": [{"offset": -1, "length": 5}]}',
      '{"disk7": []}',
      '[{"offset": 0, "length": 65536}]',
      `{"disk0": [{"offset": ${content.length}, "length": 65536}]}`,
    ];
    for (const text of bad) {
      writeFileSync(list, text);
      const { status } = await cli.run(...capture);
      expect(status, `list ${text}`).toBe(EXIT.invalid);
    }
    expect(filesIn(repository)).toEqual(before);
  });

  it('fails with --verify-unchanged where the list left a change out, and publishes nothing', async () => {
    randomBytes(BLOCK, 7).forEach((byte, at) => {
      next[5 * BLOCK + at] = byte;
      next[30 * BLOCK + at] = byte ^ 0xff;
    });
    writeFileSync(disk, next);
    writeFileSync(list, JSON.stringify({ disk0: [{ offset: 5 * BLOCK, length: BLOCK }] }));
    const before = filesIn(repository);
    const { status, error } = await cli.failure(...capture, '--verify-unchanged');
    expect(status).toBe(EXIT.invalid);
    expect(error.message).toContain(`${30 * BLOCK}+${BLOCK}`);
    expect(filesIn(repository)).toEqual(before);
  });

  it('reads nothing but what is listed, and takes over the rest', async () => {
    const ranges = [5, 30].map((block) => ({ offset: block * BLOCK + 100, length: 10 }));
    writeFileSync(list, JSON.stringify({ disk0: ranges }));
    const result = await cli.json(...capture, '--at', SECOND);
    expect(result).toMatchObject({ readBytes: 2 * BLOCK, newBytes: 2 * BLOCK });
    const read = await cli.run('read', repository, 'sql02@latest/disk0');
    expect(read.stdout.equals(next)).toBe(true);
    const old = await cli.run('read', repository, `sql02@${FIRST}/disk0`);
    expect(old.stdout.equals(content)).toBe(true);
    const other = await cli.run('read', repository, 'sql02@latest/disk1');
    expect(other.stdout.equals(dataContent)).toBe(true);
  });
});

describe('the command line', () => {
  it('explains every subcommand', async () => {
    const { stdout } = await cli.run('--help');
    const commands = ['init', 'capture', 'ls', 'info', 'verify', 'restore', 'read', 'serve'];
    for (const name of [...commands, 'export', 'exports', 'revoke']) {
      expect(stdout.toString()).toMatch(new RegExp(`^ +${name}\\b`, 'm'));
    }
    const { status, stdout: help } = await cli.run('capture', '--help');
    expect(status).toBe(EXIT.ok);
    expect(help.toString()).toContain('--changed-blocks');
  });

  it('ends with status 2 for what it does not know', async () => {
    for (const args of [
      ['frobnicate'],
      ['ls'],
      ['ls', repository, '--nope'],
      ['capture', repository, disk],
    ]) {
      expect((await cli.run(...args)).status).toBe(EXIT.invalid);
    }
  });

  it('finds the repository clean after all this', async () => {
    expect(await cli.json('verify', repository, '--all')).toMatchObject({
      clean: true,
      points: 2,
      unreferencedPacks: 0,
    });
    const { stdout } = await cli.run('verify', repository, '--new');
    expect(stdout.toString()).toContain('clean');
  });
});
