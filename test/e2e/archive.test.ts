/** `rehydrate tar` and `zip`, unpacked by foreign programs and held against what the kernel reads. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { withExtMounted } from '../fixtures/file-systems/ext.ts';
import {
  attributesOf,
  comparable,
  fillHostile,
  flipStored,
} from '../fixtures/file-systems/hostile-tree.ts';
import { listMounted } from '../fixtures/file-systems/index.ts';
import { randomBytes } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { extMachine } from './command/ext-machine.ts';
import { EXIT } from './command/harness.ts';

const MIB = 1024 * 1024;
const notRoot = (file: string): boolean => file !== '/';

const HOSTILE = { sizeBytes: 128 * MIB, mkfs: ['-t', 'ext4'], fill: fillHostile };

async function unpack(
  scratch: Scratch,
  name: string,
  tool: string,
  args: string[],
): Promise<string> {
  const into = scratch.file(name);
  mkdirSync(into);
  await run(tool, [...args, '-C', into], { env: { LC_ALL: 'C.UTF-8' } });
  return into;
}

describe('tar', () => {
  it('unpacked by GNU tar is what the kernel shows, attributes and ACLs included', async (context) => {
    using scratch = new Scratch();
    context.skip(findTool('setfacl') === undefined, 'setfacl not installed');
    const { cli, repository, image } = await extMachine(scratch, context, HOSTILE);
    const { status, stdout } = await cli.run('tar', '--acls', repository, 'web01@latest:/');
    expect(status).toBe(EXIT.ok);
    writeFileSync(scratch.file('a.tar'), stdout);
    const flags = ['--numeric-owner', '--acls', '--xattrs', '--xattrs-include=*', '-xpf'];
    const into = await unpack(scratch, 'gnu', 'tar', [...flags, scratch.file('a.tar')]);
    await withExtMounted(image, 'loop,ro', async (root) => {
      expect(comparable(listMounted(into))).toEqual(comparable(listMounted(root)));
      expect(await attributesOf(into)).toBe(await attributesOf(root));
    });
    const sparse = lstatSync(`${into}/d/sparse`);
    expect(sparse.blocks * 512).toBeLessThan(MIB);
  });

  it('unpacked by libarchive is what the kernel shows', async (context) => {
    using scratch = new Scratch();
    const { cli, repository, image } = await extMachine(scratch, context, HOSTILE);
    const { status, stdout } = await cli.run('tar', repository, 'web01@latest:/d');
    expect(status).toBe(EXIT.ok);
    writeFileSync(scratch.file('a.tar'), stdout);
    const flags = ['--numeric-owner', '-xpf', scratch.file('a.tar')];
    const into = await unpack(scratch, 'bsd', 'bsdtar', flags);
    await withExtMounted(image, 'loop,ro', (root) => {
      // A twin lies above what was asked for; the folder itself was there before.
      const links = (listing: ReturnType<typeof listMounted>) =>
        new Map([...listing].map(([file, found]) => [file, { ...found, links: 0 }]));
      expect(comparable(links(listMounted(into)), notRoot)).toEqual(
        comparable(links(listMounted(`${root}/d`)), notRoot),
      );
    });
  });
});

describe('zip', () => {
  it('is sound to unzip and Python, holds every file, and no name that is a path', async (context) => {
    using scratch = new Scratch();
    const { cli, repository, image } = await extMachine(scratch, context, HOSTILE);
    const { status, stdout } = await cli.run('zip', repository, 'web01@latest:/');
    expect(status).toBe(EXIT.ok);
    const archive = scratch.file('a.zip');
    writeFileSync(archive, stdout);
    await run('unzip', ['-tqq', archive], { env: { LC_ALL: 'C.UTF-8' } });
    const names = (await run('python3', ['-c', LIST_ZIP, archive])).stdout.trim().split('\n');
    const decoded = new Map(names.map((line) => [unescapeName(line), line]));
    expect(decoded.size).toBe(names.length);
    for (const name of names) expect(name).not.toMatch(/\\|^\/|(^|\/)\.\.?(\/|$)|[<>:"|?*\p{C}]/u);
    expect(new Set(names.map((name) => name.normalize('NFC').toLowerCase())).size).toBe(
      names.length,
    );
    expect(names.find((name) => name.endsWith('ON'))).toBe('d/%43ON');
    const into = scratch.file('into');
    mkdirSync(into);
    await run('unzip', ['-qq', archive, '-d', into], { env: { LC_ALL: 'C.UTF-8' } });
    await withExtMounted(image, 'loop,ro', (root) => {
      for (const [path, { kind, sha256 }] of listMounted(root)) {
        if (
          path === '/' ||
          path.startsWith('/lost+found') ||
          path.endsWith('ull') ||
          path.endsWith('pipe')
        )
          continue;
        const bytes = pathBytes(path.slice(1));
        const stored = decoded.get(kind === 'directory' ? `${bytes}2f` : bytes);
        if (stored === undefined) throw new Error(`${JSON.stringify(path)} is missing`);
        if (kind === 'file') {
          const found = execFileSync('sha256sum', { input: readFileSync(`${into}/${stored}`) });
          expect([path, found.toString().slice(0, 64)]).toEqual([path, sha256]);
        }
        if (kind === 'symlink') expect(lstatSync(`${into}/${stored}`).isSymbolicLink()).toBe(true);
      }
    });
    expect(readdirSync(scratch.path)).not.toContain('etc');
  });
});

describe('an archive that nobody reads to its end', () => {
  it.for(['tar', 'zip'])('%s ends without a word', async (format, context) => {
    using scratch = new Scratch();
    const { cli, repository } = await extMachine(scratch, context, {
      sizeBytes: 32 * MIB,
      mkfs: ['-t', 'ext4'],
      fill: (root) => {
        for (const name of ['a', 'b', 'c']) {
          writeFileSync(`${root}/${name}`, randomBytes(6 * MIB, name.charCodeAt(0)));
        }
      },
    });
    const child = cli.spawn(format, repository, 'web01@latest:/');
    let told = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      told += chunk.toString();
    });
    child.stdout?.once('data', () => child.stdout?.destroy());
    const [status] = (await once(child, 'close')) as [number | null];
    expect([status, told]).toEqual([EXIT.ok, '']);
  });
});

describe('an archive of several addresses', () => {
  it('keeps what each directory holds under its name, and files beside them', async (context) => {
    using scratch = new Scratch();
    const { cli, repository } = await extMachine(scratch, context, {
      sizeBytes: 16 * MIB,
      mkfs: ['-t', 'ext4'],
      fill: (root) => {
        for (const name of ['x', 'y']) {
          mkdirSync(`${root}/${name}`);
          writeFileSync(`${root}/${name}/x`, name);
        }
        writeFileSync(`${root}/alone`, 'alone');
      },
    });
    const addresses = ['x', 'y', 'alone'].map((name) => `web01@latest:/${name}`);
    for (const [format, tool, flag] of [
      ['tar', 'tar', '-tf'],
      ['zip', 'unzip', '-Z1'],
    ] as const) {
      const { status, stdout } = await cli.run(format, repository, ...addresses);
      expect(status).toBe(EXIT.ok);
      writeFileSync(scratch.file(format), stdout);
      const listed = (await run(tool, [flag, scratch.file(format)])).stdout.trim().split('\n');
      const names = listed.map((name) => name.replace(/^\.\//, '')).sort();
      expect([format, names]).toEqual([format, ['alone', 'x/', 'x/x', 'y/', 'y/x']]);
    }
  });
});

describe('an archive of a damaged disk', () => {
  it.for(['tar', 'zip'])(
    '%s leaves a small damaged file out, and ends within a large one',
    async (format, context) => {
      using scratch = new Scratch();
      const small = randomBytes(2 * MIB, 1);
      const large = randomBytes(24 * MIB, 2);
      const { cli, repository } = await extMachine(scratch, context, {
        sizeBytes: 64 * MIB,
        mkfs: ['-t', 'ext4'],
        fill: (root) => {
          writeFileSync(`${root}/a-sound`, 'sound');
          writeFileSync(`${root}/b-small`, small);
          writeFileSync(`${root}/c-large`, large);
          writeFileSync(`${root}/d-sound`, 'sound too');
        },
      });
      await flipStored(repository, small.subarray(MIB));
      await flipStored(repository, large.subarray(20 * MIB));
      const list = format === 'tar' ? (['tar', ['-tf']] as const) : (['unzip', ['-tqq']] as const);
      const cut = await cli.run(format, repository, 'web01@latest:/');
      expect(cut.status).toBe(EXIT.corrupt);
      expect(cut.stderr).toContain('b-small');
      expect(cut.stderr).toContain('--skip-damaged');
      writeFileSync(scratch.file('cut'), cut.stdout);
      const { exitCode } = await run(list[0], [...list[1], scratch.file('cut')], {
        accept: [0, 1, 2, 3, 9, 51],
      });
      expect(exitCode).not.toBe(0);
      const whole = await cli.run(format, '--skip-damaged', repository, 'web01@latest:/');
      expect(whole.status).toBe(EXIT.corrupt);
      writeFileSync(scratch.file('whole'), whole.stdout);
      const tool = format === 'tar' ? ['tar', '-tf'] : ['unzip', '-Z1'];
      const { stdout } = await run(tool[0] as string, [tool[1] as string, scratch.file('whole')]);
      const found = stdout.split('\n').map((name) => name.replace(/^\.\//, ''));
      expect(found.filter((name) => /^[a-d]-/.test(name))).toEqual(['a-sound', 'd-sound']);
    },
  );
});

const LIST_ZIP = `
import sys, zipfile
for name in zipfile.ZipFile(sys.argv[1]).namelist(): print(name)
`;

/** Undoes the escapes as the archive's comment tells: the bytes, in hexadecimal. */
function unescapeName(name: string): string {
  const parts = name.split(/(%[0-9A-F]{2})/);
  return parts
    .map((part) =>
      /^%[0-9A-F]{2}$/.test(part) ? part.slice(1).toLowerCase() : Buffer.from(part).toString('hex'),
    )
    .join('');
}

function pathBytes(path: string): string {
  return [...path]
    .map((character) => {
      const code = character.codePointAt(0) as number;
      return code >= 0xdc80 && code <= 0xdcff
        ? (code - 0xdc00).toString(16)
        : Buffer.from(character).toString('hex');
    })
    .join('');
}
