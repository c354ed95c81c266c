/** `rehydrate cp` in the hands of people: what it says, what it refuses, and what it leaves behind. */
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ExtRecipe } from '../fixtures/file-systems/ext.ts';
import { randomBytes } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { type CapturedMachine, extMachine } from './command/ext-machine.ts';
import { EXIT, REHYDRATE } from './command/harness.ts';

const MIB = 1024 * 1024;
const CANCELLED = 130;
const SHARE: ExtRecipe = {
  sizeBytes: 16 * MIB,
  mkfs: ['-t', 'ext4'],
  fill: (root) => {
    mkdirSync(`${root}/share/below`, { recursive: true });
    writeFileSync(`${root}/share/one.txt`, 'one');
    writeFileSync(`${root}/share/below/two.txt`, 'two');
    symlinkSync('one.txt', `${root}/share/link`);
  },
};

describe('cp', () => {
  let scratch: Scratch;
  let machine: CapturedMachine;
  let out: string;

  beforeEach(async (context) => {
    scratch = new Scratch();
    machine = await extMachine(scratch, context, SHARE);
    out = scratch.file('out');
    return () => scratch[Symbol.dispose]();
  });

  const copy = (...args: readonly string[]): ReturnType<typeof machine.cli.run> =>
    machine.cli.run('cp', machine.repository, ...args);

  it('refuses a directory without -r, and leaves no folder behind', async () => {
    const { status, stdout, stderr } = await copy('web01@latest:/share', out);
    expect([status, stdout.toString()]).toEqual([EXIT.invalid, '']);
    expect(stderr).toBe(
      'rehydrate: /share is a directory\n  Copy it with all that is in it: cp -r.\n',
    );
    expect((await copy('web01@latest:/nothing', out)).status).toBe(EXIT.notFound);
    expect(existsSync(out)).toBe(false);
  });

  it('says how much was copied, how much was left out, and why', async () => {
    const first = await copy('-r', 'web01@latest:/share', out);
    expect([first.status, first.stdout.toString(), first.stderr]).toEqual([
      EXIT.ok,
      `copied 2 files, 1 directory, 1 link (6 B) into ${out}\n`,
      '',
    ]);
    const second = await copy('-r', 'web01@latest:/share', out);
    expect([second.status, second.stdout.toString()]).toEqual([
      EXIT.exists,
      `copied 0 files (0 B) into ${out}\nleft out 3: 3 there already (--force replaces them)\n`,
    ]);
    // Each is named; the advice is the same for all.
    expect(second.stderr.match(/is there already/g)).toHaveLength(3);
    expect(second.stderr.match(/replace files with --force/g)).toHaveLength(1);
    const third = await copy('-r', 'web01@latest:/share', out, '--json');
    expect(JSON.parse(third.stdout.toString())).toMatchObject({
      ...{ folder: out, files: 0, bytes: 0, leftOut: 3 },
      reasons: { EXISTS: 3 },
    });
  });

  it('tells that it copies into folders, where a file is named', async () => {
    writeFileSync(out, 'mine');
    const { status, stderr } = await copy('web01@latest:/share/one.txt', out);
    expect([status, stderr]).toEqual([
      EXIT.exists,
      `rehydrate: ${out} is no folder\n  Name a folder: what is copied keeps its own name in it.\n`,
    ]);
    expect(readFileSync(out, 'utf8')).toBe('mine');
  });
});

describe('the folder of a copy', () => {
  it('is made with those above it, or cannot be, and that is said', async (context) => {
    using scratch = new Scratch();
    const { cli, repository } = await extMachine(scratch, context, SHARE);
    const copy = ['cp', repository, 'web01@latest:/share/one.txt'];
    const deep = scratch.file('some/folders/down');
    expect((await cli.run(...copy, deep)).status).toBe(EXIT.ok);
    expect(readFileSync(`${deep}/one.txt`, 'utf8')).toBe('one');
    for (const nowhere of ['/proc/nowhere', `${deep}/one.txt/below`]) {
      const { status, stderr } = await cli.run(...copy, nowhere);
      expect([status === EXIT.ok, stderr]).toEqual([
        false,
        expect.stringContaining('cannot write to the folder'),
      ]);
    }
  });
});

describe('a long copy', () => {
  const files = ['a', 'b', 'c', 'd', 'e', 'f'];
  const LARGE: ExtRecipe = {
    sizeBytes: 400 * MIB,
    mkfs: ['-t', 'ext4'],
    fill: (root) => {
      for (const name of files) {
        writeFileSync(`${root}/${name}`, randomBytes(48 * MIB, name.charCodeAt(0)));
      }
    },
  };

  it('ends at Ctrl-C with status 130, and nothing half-made has a name', async (context) => {
    using scratch = new Scratch();
    const { cli, repository } = await extMachine(scratch, context, LARGE);
    const out = scratch.file('out');
    const child = cli.spawn('cp', '-r', repository, 'web01@latest:/', out);
    let told = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      told += chunk.toString();
    });
    const ended = once(child, 'close') as Promise<[number | null, string | null]>;
    const begun = (): string[] =>
      (existsSync(out) ? readdirSync(out) : []).filter((name) => name.endsWith('.partial'));
    await expect.poll(begun, { timeout: 30_000, interval: 2 }).not.toEqual([]);
    child.kill('SIGINT');
    const [status] = await ended;
    expect([status, told]).toEqual([
      CANCELLED,
      expect.stringMatching(/interrupted after \d files/),
    ]);
    const left = readdirSync(out).filter((name) => name !== 'lost+found');
    expect(left.length).toBeLessThan(files.length);
    for (const name of left) {
      const expected = randomBytes(48 * MIB, name.charCodeAt(0));
      expect(Buffer.compare(readFileSync(`${out}/${name}`), expected)).toBe(0);
    }
  });

  it('shows on a terminal how far it is, and nowhere else unless asked', async (context) => {
    context.skip(findTool('script') === undefined, 'script is not installed');
    using scratch = new Scratch();
    const { cli, repository } = await extMachine(scratch, context, LARGE);
    const copy = ['cp', '-r', repository, 'web01@latest:/'];
    const silent = await cli.run(...copy, scratch.file('silent'));
    expect([silent.status, silent.stderr]).toEqual([EXIT.ok, '']);
    const shown = scratch.file('shown');
    // Held up in its middle: however quick the machine, it takes more than a second.
    const command = [
      `stty cols 100; export XDG_CACHE_HOME=${scratch.file('xdg-cache')}`,
      `${[REHYDRATE, ...copy, shown].join(' ')} & p=$!`,
      `until [ -e ${shown} ]; do sleep 0.01; done`,
      'kill -STOP $p; sleep 1.2; kill -CONT $p; wait $p',
    ].join('; ');
    const options = { timeoutMs: 60_000 };
    const { stdout } = await run('script', ['-qec', command, '/dev/null'], options);
    const frames = stdout.split('\r\u001B[K');
    const figures = frames.filter((frame) =>
      /^[\d.]+ [KM]iB {2}[\d.]+ [KM]iB\/s {2}\d files? {2}[a-f]$/.test(frame),
    );
    expect(figures.length).toBeGreaterThan(0);
    expect(frames.at(-1)).toMatch(/^copied 6 files, 1 directory \(288\.0 MiB\) into /);
  });
});
