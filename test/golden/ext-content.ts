/** What the golden images of ext hold: files that are hard to read, put there by the kernel. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { nameToBytes } from '../../core/index.ts';
import { randomBytes } from '../fixtures/random.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Every kind of file, sizes about the limits of inline data and fast links, all modes and owners. */
export function everyKind(root: string): void {
  const at = (name: string): string => path.join(root, name);
  mkdirSync(at('inner/deeper'), { recursive: true });
  for (const size of [0, 1, 59, 60, 61, 100, 150, 159, 160, 161, 200, 1023, 4096, 100_000]) {
    writeFileSync(at(`size-${size}`), randomBytes(size, size + 1));
    if (size > 0) symlinkSync('t'.repeat(Math.min(size, 1000)), at(`inner/link-${size}`));
  }
  linkSync(at('size-61'), at('inner/deeper/hard link'));
  execFileSync('mknod', [at('character'), 'c', '4', '64']);
  execFileSync('mknod', [at('block'), 'b', '300', '70000']);
  execFileSync('mkfifo', [at('fifo')]);
  execFileSync('chmod', ['6751', at('size-1')]);
  execFileSync('chown', ['70000:99999', at('size-59')]);
}

/** Names of bytes that are no text, or look like other names. */
export function everyName(root: string): void {
  const names = [
    'newline\nin it',
    '\u{1b}[31mred',
    '<script>alert(1)<',
    ' leading and trailing ',
    'é as one',
    'é as two',
    'CON',
    'a\\b:c*?"|',
    'x'.repeat(255),
    'ü'.repeat(127),
    '\udcff\udcfe not UTF-8 \udc80',
    '...',
    '🦄',
  ];
  const folder = Buffer.from(`${root}/`);
  for (const [index, name] of names.entries()) {
    writeFileSync(Buffer.concat([folder, nameToBytes(name)]), `number ${index}`);
  }
}

/** Times at and beyond what 32 bits of seconds hold. `utimes` takes seconds since 1970. */
export function everyTime(root: string): void {
  const times = [
    -2_147_483_648, -1.5, 0, 2_147_483_647, 2_147_483_648, 4_294_967_296, 8_589_934_590,
  ];
  for (const seconds of times) {
    const name = path.join(root, `at ${seconds}`);
    writeFileSync(name, '');
    utimesSync(name, seconds, seconds);
  }
  symlinkSync('nowhere', path.join(root, 'old link'));
  lutimesSync(path.join(root, 'old link'), -1_000_000, -1_000_000);
}

/** A file of every second block, so that its extent tree is deep or its pointers are many. */
export function everySecondBlock(root: string, blockSize: number, count: number): void {
  const file = openSync(path.join(root, 'every second block'), 'w');
  for (let index = 0; index < count; index += 1) {
    writeSync(file, randomBytes(blockSize, index + 1), 0, blockSize, index * 2 * blockSize);
  }
  ftruncateSync(file, (count * 2 + 3) * blockSize);
  closeSync(file);
}

/** Blocks that were full of data, and belong unwritten to another file now: they read as zeros. */
export function unwrittenOverData(root: string): void {
  const at = (name: string): string => path.join(root, name);
  writeFileSync(at('old'), Buffer.alloc(8 * MIB, 0xa5));
  execFileSync('sync', ['-f', root]);
  execFileSync('rm', [at('old')]);
  execFileSync('sync', ['-f', root]);
  execFileSync('fallocate', ['-l', String(20 * MIB), at('unwritten')]);
  const file = openSync(at('unwritten'), 'r+');
  writeSync(file, 'in the middle', 5 * MIB + 1000);
  closeSync(file);
  writeFileSync(at('unwritten behind the end'), 'short');
  execFileSync('fallocate', ['-n', '-l', String(MIB), at('unwritten behind the end')]);
  execFileSync('fallocate', ['-p', '-o', '4096', '-l', '8192', at('unwritten')]);
}

/** Single bytes in each part of a map of blocks, up to the largest offset given. */
export function sparse(root: string, offsets: readonly number[]): void {
  const file = openSync(path.join(root, 'sparse'), 'w');
  for (const offset of offsets) writeSync(file, Buffer.from([1 + (offset % 255)]), 0, 1, offset);
  closeSync(file);
  truncateSync(path.join(root, 'sparse'), (offsets.at(-1) ?? 0) + 5000);
}

/** A directory with so many names that it is a hash tree, then with most of them gone. */
export function manyNames(root: string, count: number): void {
  const folder = path.join(root, 'many');
  mkdirSync(folder);
  for (let index = 0; index < count; index += 1) {
    writeFileSync(path.join(folder, `${'n'.repeat(index % 60)}${index}`), '');
  }
}

/** Extended attributes in the inode, in a block, and both; POSIX ACLs; attributes of links. */
export function attributed(root: string): void {
  const at = (name: string): string => path.join(root, name);
  for (const name of ['few', 'many', 'with acl']) writeFileSync(at(name), name);
  mkdirSync(at('folder'));
  const set = (name: string, key: string, value: string): void => {
    execFileSync('setfattr', ['-h', '-n', key, '-v', value, at(name)]);
  };
  set('few', 'user.short', 'value');
  set('few', 'user.empty', '');
  set('few', 'security.some', '0sAAECAwT/');
  set('few', 'trusted.thing', 'only root sees it');
  for (let index = 0; index < 12; index += 1)
    set('many', `user.number-${index}`, 'v'.repeat(index * 8));
  execFileSync('setfacl', ['-m', 'u:1000:r,g:70000:rwx,m::rw', at('with acl')]);
  execFileSync('setfacl', ['-m', 'u:5:rwx', '-m', 'd:u:7:rx,d:g::r', at('folder')]);
  symlinkSync('few', at('link'));
  set('link', 'trusted.of-link', 'value');
}
