/** Members made to mislead unpackers: GNU tar, libarchive and Python say what they make of them. */
import { mkdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { nameFromBytes } from '../../core/index.ts';
import { encodeMember, type TarMember, tarEnd } from '../../vfs/index.ts';
import { Scratch } from '../fixtures/repository.ts';
import { run } from '../fixtures/tools/index.ts';

const WHEN = { seconds: 1_700_000_000, nanoseconds: 0 };

function archiveOf(members: readonly { member: TarMember; data: Uint8Array }[]): Uint8Array {
  const parts = members.flatMap(({ member, data }) => {
    const { head, paddingBytes } = encodeMember(member);
    return [head, data, new Uint8Array(paddingBytes)];
  });
  const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  return Buffer.concat([...parts, tarEnd(bytes)]);
}

function file(path: string, more: Partial<TarMember> = {}): TarMember {
  const size = more.data?.reduce((sum, { length }) => sum + length, 0) ?? 0;
  return {
    ...{ path, kind: 'file', size, mode: 0o644, uid: 0, gid: 0, modified: WHEN },
    ...more,
  };
}

/** Unpacks with a tool and returns the folder. */
async function unpack(scratch: Scratch, tool: 'tar' | 'bsdtar', flags: readonly string[] = []) {
  const into = scratch.file(tool);
  mkdirSync(into);
  await run(tool, [...flags, '-xpf', scratch.file('a.tar'), '-C', into]);
  return into;
}

describe('a tar archive of hostile files', () => {
  it('keeps attributes of odd names apart, and their values whole', async () => {
    using scratch = new Scratch();
    const names = [
      'user.a=b',
      'user.a',
      'user.%3D',
      'user.100%25',
      'user.100%',
      'user.line\nbreak',
    ];
    const values = [...names.keys()].map((index) =>
      Buffer.from(`=value\n${index} hdrcharset=BINARY\n`),
    );
    const xattrs = names.map((name, index) => ({ name, value: values[index] as Buffer }));
    const data = new Uint8Array(0);
    writeFileSync(scratch.file('a.tar'), archiveOf([{ member: file('f', { xattrs }), data }]));
    const into = await unpack(scratch, 'tar', ['--xattrs', '--xattrs-include=*']);
    const script =
      'import os,sys,json; f=sys.argv[1]; print(json.dumps({n: os.getxattr(f,n).decode() for n in os.listxattr(f)}))';
    const { stdout } = await run('python3', ['-c', script, `${into}/f`]);
    expect(JSON.parse(stdout)).toEqual(
      Object.fromEntries(names.map((name, index) => [name, String(values[index])])),
    );
  });

  it('holds megabytes of attributes of one file', async () => {
    using scratch = new Scratch();
    const xattrs = Array.from({ length: 16 }, (_, index) => ({
      name: `user.large${index}`,
      value: Buffer.alloc(65_000, index + 1),
    }));
    const data = new Uint8Array(0);
    const members = [file('f', { xattrs }), file('after')].map((member) => ({ member, data }));
    writeFileSync(scratch.file('a.tar'), archiveOf(members));
    expect(statSync(`${await unpack(scratch, 'tar')}/after`).isFile()).toBe(true);
    // Listed only: file systems take fewer attributes.
    const { stdout } = await run('bsdtar', ['-tf', scratch.file('a.tar')]);
    expect(stdout.trim().split('\n')).toEqual(['f', 'after']);
  });

  it('holds a file of 100,000 holes', async () => {
    using scratch = new Scratch();
    const extents = Array.from({ length: 100_000 }, (_, index) => ({
      offset: index * 8192 + 4096,
      length: 512,
    }));
    const data = Buffer.alloc(100_000 * 512);
    for (let index = 0; index < 100_000; index += 1) data.writeUInt32LE(index + 1, index * 512);
    const size = 100_000 * 8192 + 5;
    const member = file('holes', { size, data: extents });
    const startedMs = performance.now();
    const bytes = archiveOf([
      { member, data },
      { member: file('after'), data: Buffer.alloc(0) },
    ]);
    expect(performance.now() - startedMs).toBeLessThan(3_000);
    writeFileSync(scratch.file('a.tar'), bytes);
    for (const tool of ['tar', 'bsdtar'] as const) {
      const into = await unpack(scratch, tool);
      expect([tool, statSync(`${into}/holes`).size]).toEqual([tool, size]);
      expect(statSync(`${into}/after`).isFile()).toBe(true);
      const content = readFileSync(`${into}/holes`);
      for (const index of [0, 1, 77_777, 99_999]) {
        expect(content.readUInt32LE(index * 8192 + 4096)).toBe(index + 1);
        expect(content.readUInt32LE(index * 8192)).toBe(0);
      }
    }
  });

  it.each([
    ['far before 1970', { seconds: -62_135_596_800, nanoseconds: 1 }],
    ['a moment before 1970', { seconds: -1, nanoseconds: 999_999_999 }],
    ['past 33 bits', { seconds: 8_589_934_592, nanoseconds: 5 }],
  ])('has times as they are: %s', async (_, modified) => {
    using scratch = new Scratch();
    const members = [{ member: file('f', { modified }), data: new Uint8Array(0) }];
    writeFileSync(scratch.file('a.tar'), archiveOf(members));
    const script =
      'import sys,tarfile; print(tarfile.open(sys.argv[1]).getmembers()[0].pax_headers["mtime"])';
    const { stdout } = await run('python3', ['-c', script, scratch.file('a.tar')]);
    const exact = BigInt(modified.seconds) * 1_000_000_000n + BigInt(modified.nanoseconds);
    const [whole = '', part = ''] = stdout.trim().replace('-', '').split('.');
    const read = BigInt(whole) * 1_000_000_000n + BigInt(part.padEnd(9, '0'));
    expect(stdout.trim().startsWith('-') ? -read : read).toBe(exact);
  });

  it('says sizes of more than 8 GiB as they are', async () => {
    using scratch = new Scratch();
    const size = 2 ** 43 + 7;
    const { head } = encodeMember(file('large', { size }));
    writeFileSync(scratch.file('a.tar'), head);
    const script = 'import sys,tarfile; print(tarfile.open(sys.argv[1]).next().size)';
    const { stdout } = await run('python3', ['-c', script, scratch.file('a.tar')]);
    expect(Number(stdout)).toBe(size);
  });

  it('keeps targets of links that are no text', async () => {
    using scratch = new Scratch();
    const target = nameFromBytes(Uint8Array.from([0x2f, 0xff, 0x0a, 0x9b]));
    const member: TarMember = { ...file('l'), kind: 'symlink', target };
    writeFileSync(scratch.file('a.tar'), archiveOf([{ member, data: new Uint8Array(0) }]));
    for (const tool of ['tar', 'bsdtar'] as const) {
      const into = await unpack(scratch, tool);
      const found = readlinkSync(`${into}/l`, { encoding: 'buffer' });
      expect([tool, found.toString('hex')]).toEqual([tool, '2fff0a9b']);
    }
  });
});
