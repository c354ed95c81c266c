/** Addresses as people mistype them: what is meant is found, or told. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeExt } from '../fixtures/file-systems/ext.ts';
import { captureRaw } from '../fixtures/file-systems/hostile-tree.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { Scratch } from '../fixtures/repository.ts';
import { Cli, EXIT } from './command/harness.ts';

const MIB = 1024 * 1024;
const scratch = new Scratch();
const cli = new Cli(scratch);
let repository = '';
let missing: string | undefined;

beforeAll(async () => {
  missing = await LoopDevice.missing(scratch.file('loop'));
  if (missing !== undefined) return;
  const image = await makeExt(scratch.path, 'disk', {
    sizeBytes: 16 * MIB,
    mkfs: ['-t', 'ext4', '-L', 'data'],
    fill: (root) => {
      mkdirSync(`${root}/etc`);
      writeFileSync(`${root}/etc/hosts`, '127.0.0.1 localhost\n');
      writeFileSync(`${root}/etc/Übung.txt`.normalize('NFD'), 'decomposed');
      symlinkSync('/etc', `${root}/here`);
      symlinkSync('/gone', `${root}/etc/broken`);
    },
  });
  repository = await captureRaw(cli, scratch, image);
});
afterAll(() => scratch[Symbol.dispose]());

describe('what is meant is listed', () => {
  it.for([
    'web01@latest:/etc',
    'web01@latest:/etc/',
    'web01@latest://etc/.',
    'web01@latest:/here',
    'web01@latest:\\etc',
    'web01@latest/disk0/p1:/etc',
    'web01@latest/disk0/p1:\\etc\\',
    'web01@latest/data:/etc',
  ])('%s', async (address, context) => {
    context.skip(missing !== undefined, missing);
    const { status, stdout } = await cli.run('ls', repository, address);
    expect([status, stdout.toString()]).toEqual([EXIT.ok, "$'U\\u0308bung.txt'\nbroken\nhosts\n"]);
  });

  it.for(['web01@latest:/', 'web01@latest/disk0/p1', 'web01@latest/data'])(
    '%s',
    async (address, context) => {
      context.skip(missing !== undefined, missing);
      const { status, stdout } = await cli.run('ls', repository, address);
      expect([status, stdout.toString()]).toEqual([EXIT.ok, 'etc\nhere\nlost+found\n']);
    },
  );
});

describe('what is not found is told with what to write', () => {
  it.for([
    ['ls', 'web01@latest:etc', EXIT.invalid, 'Write web01@latest:/etc.'],
    ['ls', 'web01:/etc', EXIT.invalid, 'Write web01@latest:/etc.'],
    ['ls', 'web01@latest/etc', EXIT.notFound, 'behind a colon: web01@latest:/etc.'],
    ['cat', 'web01@latest/etc/hosts', EXIT.notFound, 'a colon: web01@latest:/etc/hosts.'],
    ['ls', 'web01@latest/disk0/p9', EXIT.notFound, 'There are disk0/p1 (ext4 data).'],
    ['ls', 'web01@latest:/etc/*.conf', EXIT.notFound, '`rehydrate find`'],
    ['ls', 'web01@latest:C:\\Users', EXIT.notFound, 'web01@latest/disk0/p1:/'],
    ['cat', 'web01@latest:/etc/Hosts', EXIT.notFound, 'Did you mean hosts?'],
    // Composed here, decomposed there: both look alike, so the one that is there is spelled out.
    ['cat', 'web01@latest:/etc/\u00dcbung.txt', EXIT.notFound, "$'U\\u0308bung.txt'"],
    ['cat', 'web01@latest:/etc/broken', EXIT.notFound, '/gone, where /etc/broken leads'],
    ['cat', 'web01@latest:/etc', EXIT.invalid, 'List it with `rehydrate ls`.'],
    ['ls', 'web02@latest:/etc', EXIT.notFound, 'Did you mean web01?'],
    ['ls', 'web01@2019:/etc', EXIT.notFound, '`rehydrate ls` lists what there is.'],
  ] as const)('%s %s', async ([command, address, status, hint], context) => {
    context.skip(missing !== undefined, missing);
    const found = await cli.run(command, repository, address);
    expect([found.status, found.stdout.toString()]).toEqual([status, '']);
    expect(found.stderr).toContain(hint);
  });
});

describe('two machines', () => {
  it('are not compared as if they were one', async (context) => {
    context.skip(missing !== undefined, missing);
    const image = scratch.file('disk.img');
    await cli.json('capture', repository, image, '--machine', 'web02', '--format', 'raw');
    const { status, error } = await cli.failure('diff', repository, 'web01@latest', 'web02@latest');
    expect([status, error.message]).toEqual([
      EXIT.invalid,
      expect.stringContaining('the addresses name two machines'),
    ]);
  });
});
