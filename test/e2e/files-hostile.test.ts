/** Names, links and volumes made to harm, through the commands. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../fixtures/disks/random.ts';
import { debugfsWrite, makeExt, withExtMounted } from '../fixtures/file-systems/ext.ts';
import { listMounted } from '../fixtures/file-systems/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { Scratch } from '../fixtures/repository.ts';
import { run } from '../fixtures/tools/index.ts';
import { chooseSeed, Cli, EXIT, type Outcome } from './command/harness.ts';
import { comparable, listByCommand } from './inspect/listing.ts';

const MIB = 1024 * 1024;
const LIMIT_STATUS = 11;
const scratch = new Scratch();
const cli = new Cli(scratch);
const repository = scratch.file('repository');
const image = scratch.file('hostile.img');
let missing: string | undefined;

const NAMES: readonly Buffer[] = [
  'line\nbreak',
  '\x1b[2J\x1b[1;1H',
  '\x1b]0;owned\x07',
  'carriage\rreturn',
  'evil\u202egpj.exe',
  '\u2066hidden\u2069',
  'caf\u00e9',
  'cafe\u0301',
  'x'.repeat(255),
  '<script>alert(1)<script>',
  '$(touch owned)',
  "quote'quote",
  '-rf',
  ' leading and trailing ',
  'back\\slash',
  'CON',
  '日本語',
]
  .map((name) => Buffer.from(name))
  .concat([
    Buffer.from([0x61, 0xff, 0xfe, 0x62]),
    Buffer.from([0xc3, 0x28]),
    Buffer.from([0x9b, 0x41]),
  ]);

function fill(root: string): void {
  const under = (name: Buffer): Buffer => Buffer.concat([Buffer.from(`${root}/names/`), name]);
  mkdirSync(path.join(root, 'names'));
  for (const [index, name] of NAMES.entries()) writeFileSync(under(name), `content ${index}\n`);
  mkdirSync(path.join(root, 'etc'));
  writeFileSync(path.join(root, 'etc/passwd'), 'the guest’s own\n');
  mkdirSync(path.join(root, 'links/deep/er'), { recursive: true });
  const links: readonly (readonly [string, string])[] = [
    ['absolute', '/etc/passwd'],
    ['climbing', '../../../../../../../../etc/passwd'],
    ['host', '/proc/self/environ'],
    ['self', 'self'],
    ['ping', 'pong'],
    ['pong', 'ping'],
    ['folder', 'deep/er'],
    ['terminal', '\x1b[31mred'],
    ...Array.from({ length: 42 }, (_, n): [string, string] => [`chain${n}`, `chain${n + 1}`]),
  ];
  for (const [name, target] of links) symlinkSync(target, path.join(root, 'links', name));
  writeFileSync(path.join(root, 'links/chain42'), 'the end of the chain\n');
  fillKinds(path.join(root, 'kinds'));
}

/** Every kind of file, every special bit, and times that a calendar has at its ends. */
function fillKinds(folder: string): void {
  mkdirSync(folder);
  for (const [index, mode] of [
    0o4755, 0o2755, 0o1777, 0, 0o4644, 0o2644, 0o1666, 0o755,
  ].entries()) {
    const file = path.join(folder, `mode${index}`);
    writeFileSync(file, 'x'.repeat(index * 1_000));
    chownSync(file, 1000 + index, 70_000);
    chmodSync(file, mode);
    utimesSync(
      file,
      index,
      [-2_000_000_000, -1, 0, 1, 951_782_400, 4_107_542_399, 1e10, 15e8][index] ?? 0,
    );
  }
  linkSync(path.join(folder, 'mode7'), path.join(folder, 'second'));
  for (const [name, ...kind] of [
    ['pipe', 'p'],
    ['disk', 'b', '259', '1048575'],
    ['null', 'c', '1', '3'],
  ]) {
    spawnSync('mknod', [path.join(folder, name as string), ...kind]);
  }
}

beforeAll(async () => {
  missing = await LoopDevice.missing(scratch.file('loop'));
  if (missing !== undefined) return;
  const made = await makeExt(scratch.path, 'made', {
    ...{ sizeBytes: 24 * MIB, mkfs: ['-t', 'ext4', '-L', '\x1b[5mlabel'], fill },
  });
  copyFileSync(made, image);
  await cli.json('init', repository);
  await cli.json('capture', repository, '--machine', 'evil', image);
});
afterAll(() => scratch[Symbol.dispose]());

/** Nothing that a terminal obeys, one line for each line break. */
function expectHarmless({ stdout, stderr }: Pick<Outcome, 'stdout' | 'stderr'>): void {
  for (const text of [stdout.toString('latin1'), stderr]) {
    // oxlint-disable-next-line no-control-regex -- what must not be there
    expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
  }
  const text = new TextDecoder('utf-8', { fatal: true }).decode(stdout);
  expect(text).not.toMatch(/[\p{Cf}\p{Co}\p{Cn}\p{Cs}\x80-\x9f]/u);
}

describe('hostile names', () => {
  it('are listed as the kernel lists them, byte for byte', async (context) => {
    context.skip(missing !== undefined, missing);
    await withExtMounted(image, 'loop,ro', async (root) => {
      const listing = await listByCommand(cli, repository, 'evil@latest:/');
      expect(comparable(listing)).toEqual(comparable(listMounted(root)));
    });
    const { stdout } = await cli.run('find', repository, 'evil@latest:/names', '-print0');
    const found = stdout.toString('latin1').split('\0').slice(0, -1).sort();
    expect(found).toEqual(NAMES.map((name) => `/names/${name.toString('latin1')}`).sort());
  });

  it('do nothing to a terminal, and stay one line each', async (context) => {
    context.skip(missing !== undefined, missing);
    for (const args of [
      ['ls', repository, 'evil@latest:/names'],
      ['ls', '-l', repository, 'evil@latest:/names'],
      ['find', repository, 'evil@latest:/names'],
      ['tree', repository, 'evil@latest:/'],
      ['ls', '-lR', repository, 'evil@latest:/'],
      ['stat', repository, 'evil@latest:/links/terminal', 'evil@latest:/names'],
      ['volumes', repository, 'evil@latest'],
    ]) {
      const outcome = await cli.run(...args);
      expect(outcome.status).toBe(EXIT.ok);
      expectHarmless(outcome);
    }
    const { stdout } = await cli.run('ls', repository, 'evil@latest:/names');
    const lines = stdout.toString().split('\n').slice(0, -1);
    expect(lines).toHaveLength(NAMES.length);
    expect(new Set(lines).size).toBe(NAMES.length);
  });

  it('come back through a shell: what ls shows is what cat takes', async (context) => {
    context.skip(missing !== undefined, missing);
    const { stdout } = await cli.run('ls', repository, 'evil@latest:/names');
    const shown = stdout.toString().split('\n').slice(0, -1);
    const command = path.join(import.meta.dirname, '../../bin/rehydrate');
    const words = shown.map((name) => `"$A"${name}`).join(' ');
    const script = `A=evil@latest:/names/; exec ${command} cat ${repository} ${words}`;
    const env = { ...(cli.environment as Record<string, string>), LC_ALL: 'C.UTF-8' };
    const read = await run('bash', ['--norc', '-c', script], { env });
    expect(read.stdout.split('\n').sort()).toEqual(
      ['', ...NAMES.map((_, index) => `content ${index}`)].sort(),
    );
  });

  it('are escaped in errors as well', async (context) => {
    context.skip(missing !== undefined, missing);
    const outcome = await cli.run('cat', repository, 'evil@latest:/names/\x1b[2J\x1b[1;1Hx');
    expect(outcome.status).toBe(EXIT.notFound);
    expectHarmless(outcome);
  });
});

describe('ls -l', () => {
  it('tells what GNU ls tells', async (context) => {
    context.skip(missing !== undefined, missing);
    await withExtMounted(image, 'loop,ro', async (root) => {
      const style = '--time-style=+%Y-%m-%dT%H:%M:%SZ';
      const env = { TZ: 'UTC', LC_ALL: 'C' };
      for (const folder of ['kinds', 'links', 'etc']) {
        const { stdout } = await run('ls', ['-lnA', style, path.join(root, folder)], { env });
        const own = await cli.run('ls', '-l', repository, `evil@latest:/${folder}`);
        expect(columns(own.stdout.toString().replaceAll(/(\d+):(\d+)/g, '$1 $2'))).toEqual(
          columns(
            stdout
              .replace(/^total .*\n/, '')
              .replaceAll(/(\d\d):(\d\d)/g, '$1 $2')
              .replaceAll(/(\d), +(\d)/g, '$1,$2')
              .replaceAll('\x1b[31mred', () => "$'\\x1b[31mred'"),
          ),
        );
      }
    });
  });
});

/** Columns without their widths. */
function columns(text: string): string[][] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ +/));
}

describe('links', () => {
  it.for(['absolute', 'climbing'])('stay inside the machine: %s', async (name, context) => {
    context.skip(missing !== undefined, missing);
    const { status, stdout } = await cli.run('cat', repository, `evil@latest:/links/${name}`);
    expect({ status, text: stdout.toString() }).toEqual({ status: 0, text: 'the guest’s own\n' });
  });

  it('never lead to the host', async (context) => {
    context.skip(missing !== undefined, missing);
    const { status } = await cli.failure('cat', repository, 'evil@latest:/links/host');
    expect(status).toBe(EXIT.notFound);
  });

  it.for(['self', 'ping', 'self/x', 'chain0'])(
    'that go on for ever end: %s',
    async (name, context) => {
      context.skip(missing !== undefined, missing);
      const { status, error } = await cli.failure('cat', repository, `evil@latest:/links/${name}`);
      expect({ status, code: error.code }).toEqual({ status: LIMIT_STATUS, code: 'LIMIT' });
    },
  );

  it('are followed up to forty times, and on the way', async (context) => {
    context.skip(missing !== undefined, missing);
    const chain = await cli.run('cat', repository, 'evil@latest:/links/chain2');
    expect(chain.stdout.toString()).toBe('the end of the chain\n');
    const through = await cli.run(
      'cat',
      repository,
      'evil@latest:/links/folder/../../../etc/passwd',
    );
    expect(through.stdout.toString()).toBe('the guest’s own\n');
    const { stdout } = await cli.run('ls', '-l', repository, 'evil@latest:/links/folder');
    expect(stdout.toString()).toMatch(/^lrwx.* -> deep\/er\n$/);
  });
});

describe('damaged volumes', () => {
  it('with a directory inside itself are walked to the end, and said to be damaged', async (context) => {
    context.skip(missing !== undefined, missing);
    const looped = scratch.file('looped.img');
    copyFileSync(image, looped);
    // debugfs links the root into a directory below it, and twice the same directory.
    await debugfsWrite(looped, ['link / /links/deep/er/root', 'link /etc /links/deep/etc']);
    await cli.json('capture', repository, '--machine', 'looped', looped);
    for (const args of [
      ['ls', '-R', repository, 'looped@latest:/'],
      ['find', repository, 'looped@latest:/'],
      ['tree', repository, 'looped@latest:/'],
    ]) {
      const { status, stdout, stderr } = await cli.run(...args);
      expect([args[0], status]).toEqual([args[0], EXIT.corrupt]);
      expect(stdout.toString()).toContain('passwd');
      expect(stderr).toMatch(/two places/);
    }
  });

  it('never crash a command, whatever bytes are changed', async (context) => {
    context.skip(missing !== undefined, missing);
    const seed = chooseSeed();
    process.stderr.write(`seed ${seed}: replay with REHYDRATE_TEST_SEED=${seed}\n`);
    const random = new Random(String(seed), 'files-hostile');
    const original = readFileSync(image);
    for (let round = 0; round < 4; round += 1) {
      const bytes = Buffer.from(original);
      for (let count = 0; count < 200; count += 1) bytes[random.below(MIB)] = random.below(256);
      const file = scratch.file('mutated.img');
      writeFileSync(file, bytes);
      const machine = `mutated${round}`;
      await cli.json('capture', repository, '--machine', machine, file);
      for (const command of [['volumes'], ['ls', '-lR'], ['find'], ['tree']]) {
        const address = command[0] === 'volumes' ? `${machine}@latest` : `${machine}@latest:/`;
        const outcome = await cli.run(...command, repository, address);
        expect([0, 3, 5, 6, 11, 2]).toContain(outcome.status);
        expect(outcome.stderr).not.toMatch(/unexpected failure|ended before|at file:/);
        expectHarmless(outcome);
      }
    }
  });
});
