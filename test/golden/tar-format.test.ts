/** Archives that our encoder writes, unpacked by GNU tar 1.34, libarchive 3.6 and Python 3.11. */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { nameFromBytes } from '../../core/index.ts';
import { encodeMember, type TarMember, tarEnd } from '../../vfs/index.ts';
import { listMounted } from '../fixtures/file-systems/index.ts';
import { randomBytes } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';

interface Case {
  readonly member: TarMember;
  readonly content?: Uint8Array;
}

const WHEN = { seconds: 1_700_000_000, nanoseconds: 123_456_789 };
const OLD = { seconds: -86_401, nanoseconds: 250_000_000 };
const SPARSE_BYTES = 3_000_000;

function file(path: string, content: Uint8Array, more: Partial<TarMember> = {}): Case {
  const size = content.byteLength;
  const common = { kind: 'file', mode: 0o640, uid: 1000, gid: 100, modified: WHEN } as const;
  return { member: { path, size, ...common, ...more }, content };
}

function other(path: string, more: Partial<TarMember> & Pick<TarMember, 'kind'>): Case {
  return { member: { path, size: 0, mode: 0o755, uid: 0, gid: 0, modified: WHEN, ...more } };
}

function sparseContent(): Uint8Array {
  const content = new Uint8Array(SPARSE_BYTES);
  content.set(randomBytes(10_000, 1), 5_000);
  content.set(randomBytes(70_001, 2), 1_048_576);
  return content;
}

const BYTES_NAME = nameFromBytes(Uint8Array.from([0x62, 0xff, 0xfe, 0x2e, 0x74]));
const DEEP = Array.from({ length: 12 }, (_, index) => `level-${index}-${'x'.repeat(30)}`).join('/');

const CASES: readonly Case[] = [
  other('top', { kind: 'directory', mode: 0o750 }),
  file('top/plain.txt', Buffer.from('hello\n')),
  file('top/empty', new Uint8Array(0)),
  file('top/odd size', randomBytes(1_000_003, 3)),
  file('top/old', Buffer.from('x'), { modified: OLD }),
  file('top/line\nbreak \x1b[31m <script>', Buffer.from('evil')),
  file(`top/${BYTES_NAME}`, Buffer.from('bytes')),
  file(`top/caf\u00e9`, Buffer.from('NFC')),
  file(`top/cafe\u0301`, Buffer.from('NFD')),
  file(`top/${'n'.repeat(255)}`, Buffer.from('long name')),
  file(`top/${'é'.repeat(127)}`, Buffer.from('long name of two-byte characters')),
  file(`top/${DEEP}`, Buffer.from('deep')),
  file('top/sparse', sparseContent(), {
    data: [
      { offset: 4096, length: 16_384 },
      { offset: 1_048_576, length: 131_072 },
    ],
  }),
  file('top/all hole', new Uint8Array(777_777), { data: [] }),
  file('top/big owner', Buffer.from('u'), { uid: 4_000_000_000, gid: 3_000_000 }),
  other('top/link', { kind: 'symlink', target: 'plain.txt', mode: 0o777 }),
  other('top/far link', { kind: 'symlink', target: `/${'far/'.repeat(60)}away`, mode: 0o777 }),
  other('top/bytes link', { kind: 'symlink', target: BYTES_NAME, mode: 0o777 }),
  other('top/twin', { kind: 'hard-link', target: 'top/plain.txt', mode: 0o640 }),
  other('top/pipe', { kind: 'fifo', mode: 0o600 }),
  other('top/null', { kind: 'character-device', device: { major: 1, minor: 3 }, mode: 0o666 }),
];

function archive(cases: readonly Case[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { member, content = new Uint8Array(0) } of cases) {
    const { head, data, paddingBytes } = encodeMember(member);
    parts.push(head);
    for (const { offset, length } of data) parts.push(content.subarray(offset, offset + length));
    parts.push(new Uint8Array(paddingBytes));
  }
  const body = Buffer.concat(parts);
  return Buffer.concat([body, tarEnd(body.byteLength)]);
}

const UNPACKERS: readonly { tool: string; args: (tar: string, into: string) => string[] }[] = [
  {
    tool: 'tar',
    args: (tar, into) => [
      '--numeric-owner',
      '--xattrs',
      '--xattrs-include=*',
      '-xpf',
      tar,
      '-C',
      into,
    ],
  },
  { tool: 'bsdtar', args: (tar, into) => ['--numeric-owner', '-xpf', tar, '-C', into] },
];

describe.each(UNPACKERS)('an archive unpacked by $tool', ({ tool, args }) => {
  it('is what went in', async (context) => {
    context.skip(findTool(tool) === undefined, `${tool} not installed`);
    using scratch = new Scratch();
    const tar = scratch.file('a.tar');
    const into = scratch.file('into');
    mkdirSync(into);
    writeFileSync(tar, archive(CASES));
    // libarchive turns names into the locale's own encoding.
    await run(tool, args(tar, into), { env: { LC_ALL: 'C.UTF-8' } });
    const found = listMounted(into);
    for (const { member, content } of CASES) {
      const { path, kind, target, modified, mode, uid, gid, device } = member;
      const entry = found.get(`/${path}`);
      if (entry === undefined) throw new Error(`${JSON.stringify(path)} is missing`);
      expect({ path, owner: entry.owner }).toEqual({
        path,
        owner: kind === 'hard-link' ? '1000:100' : `${uid}:${gid}`,
      });
      expect(entry.mode).toBe(mode.toString(8));
      if (kind === 'symlink') expect(entry.target).toBe(target);
      if (device !== undefined) expect(entry.device).toBe(`${device.major}:${device.minor}`);
      if (content === undefined) continue;
      const name = Buffer.concat([Buffer.from(`${into}/`), bytesOf(path)]);
      expect([path, Buffer.compare(readFileSync(name), content)]).toEqual([path, 0]);
      // libarchive 3.6 adds the fraction of a time before 1970 where it is to be taken away.
      if (tool === 'bsdtar' && modified === OLD) continue;
      const { seconds, nanoseconds } = modified;
      expect(statSync(name, { bigint: true }).mtimeNs).toBe(
        BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds),
      );
    }
    const sparse = statSync(`${into}/top/sparse`);
    expect(sparse.blocks * 512).toBeLessThan(SPARSE_BYTES / 4);
    expect(statSync(`${into}/top/twin`).ino).toBe(statSync(`${into}/top/plain.txt`).ino);
  });
});

/** What the escapes of `nameFromBytes` stand for, without asking it. */
function bytesOf(path: string): Buffer {
  return Buffer.concat(
    [...path].map((character) => {
      const code = character.codePointAt(0) as number;
      return code >= 0xdc80 && code <= 0xdcff
        ? Buffer.of(code - 0xdc00)
        : Buffer.from(character, 'utf8');
    }),
  );
}

describe('an archive', () => {
  it('carries attributes and ACLs that GNU tar and libarchive set', async (context) => {
    context.skip(findTool('getfattr') === undefined, 'getfattr not installed');
    context.skip(findTool('getfacl') === undefined, 'getfacl not installed');
    using scratch = new Scratch();
    const acl = Buffer.alloc(4 + 5 * 8);
    acl.writeUInt32LE(2, 0);
    const entries = [
      [0x01, 6, 0xffff_ffff],
      [0x02, 7, 12_345],
      [0x04, 4, 0xffff_ffff],
      [0x10, 7, 0xffff_ffff],
      [0x20, 0, 0xffff_ffff],
    ] as const;
    entries.forEach(([tag, permissions, id], index) => {
      acl.writeUInt16LE(tag, 4 + index * 8);
      acl.writeUInt16LE(permissions, 6 + index * 8);
      acl.writeUInt32LE(id, 8 + index * 8);
    });
    const xattrs = [
      { name: 'user.note', value: Uint8Array.from([0, 1, 0xff, 10, 0x3d]) },
      { name: 'system.posix_acl_access', value: acl },
    ];
    writeFileSync(
      scratch.file('a.tar'),
      archive([file('noted', Buffer.from('n'), { xattrs, mode: 0o670 })]),
    );
    for (const [tool, flags] of [
      ['tar', ['--acls', '--xattrs', '--xattrs-include=*']],
      ['bsdtar', ['--acls', '--xattrs']],
    ] as const) {
      const into = scratch.file(tool);
      mkdirSync(into);
      await run(tool, [...flags, '-xpf', scratch.file('a.tar'), '-C', into]);
      const { stdout: hex } = await run('getfattr', [
        '-e',
        'hex',
        '-n',
        'user.note',
        `${into}/noted`,
      ]);
      expect(hex).toContain('0x0001ff0a3d');
      const { stdout: granted } = await run('getfacl', ['-n', '-p', `${into}/noted`]);
      expect(granted).toContain('user:12345:rwx');
      expect(granted).toContain('other::---');
    }
  });

  it('is listed by Python with the sizes that its sparse files have', async () => {
    using scratch = new Scratch();
    writeFileSync(scratch.file('a.tar'), archive(CASES));
    const { stdout } = await run('python3', [
      '-c',
      'import sys,tarfile\nfor m in tarfile.open(sys.argv[1]): print(m.size, m.name.encode("utf-8","surrogateescape").hex())',
      scratch.file('a.tar'),
    ]);
    const sizes = new Map(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ').toReversed() as [string, string]),
    );
    for (const { member, content } of CASES) {
      const key = bytesOf(member.path).toString('hex');
      expect([member.path, sizes.get(key)]).toEqual([
        member.path,
        String(content?.byteLength ?? 0),
      ]);
    }
  });
});
