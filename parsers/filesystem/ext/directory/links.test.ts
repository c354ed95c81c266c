import { describe, expect, it } from 'vitest';
import { isRestoreError } from '../../../../core/index.ts';
import { addLinks, type Link, type LinkRules, plainName } from './links.ts';

const RULES: LinkRules = {
  directory: 2,
  inodeCount: 100,
  hasTypes: true,
  trailerBytes: 0,
  decode: plainName,
};

interface Stored {
  readonly inode: number;
  readonly length: number;
  readonly name: string;
  readonly nameLength?: number;
}

function block(size: number, entries: readonly Stored[]): Uint8Array {
  const bytes = Buffer.alloc(size);
  let at = 0;
  for (const { inode, length, name, nameLength } of entries) {
    bytes.writeUInt32LE(inode, at);
    bytes.writeUInt16LE(length, at + 4);
    bytes[at + 6] = nameLength ?? name.length;
    bytes[at + 7] = 1;
    bytes.write(name, at + 8);
    at += length & 0xfffc;
  }
  return bytes;
}

function read(bytes: Uint8Array): { names: string[]; isDamaged: boolean } {
  const links: Link[] = [];
  const damage = addLinks(bytes, RULES, 0, links);
  return { names: links.map(({ name }) => name), isDamaged: isRestoreError(damage, 'CORRUPT') };
}

const first = { inode: 12, length: 16, name: 'first' };

describe('entries of a directory block', () => {
  it('are all that are in use, without the dots', () => {
    const entries = [
      { inode: 2, length: 12, name: '.' },
      { inode: 2, length: 12, name: '..' },
      first,
      { inode: 0, length: 12, name: 'gone' },
      { inode: 13, length: 1024 - 52, name: 'last' },
    ];
    expect(read(block(1024, entries))).toEqual({ names: ['first', 'last'], isDamaged: false });
  });

  it('may be as long as a block of 64 KiB, which 16 bits do not say', () => {
    const bytes = block(65_536, [{ inode: 12, length: 0, name: 'only' }]);
    for (const stored of [0, 0xffff]) {
      Buffer.from(bytes.buffer, bytes.byteOffset).writeUInt16LE(stored, 4);
      expect(read(bytes)).toEqual({ names: ['only'], isDamaged: false });
    }
  });

  it.each([
    ['a length of zero', { inode: 13, length: 0, name: 'x' }],
    ['a length that is no multiple of four', { inode: 13, length: 1006, name: 'x' }],
    ['a length beyond the block', { inode: 13, length: 1012, name: 'x' }],
    ['a name longer than its entry', { inode: 13, length: 12, name: 'x', nameLength: 200 }],
    ['an inode that there is not', { inode: 101, length: 1008, name: 'x' }],
    ['no name', { inode: 13, length: 1008, name: '' }],
  ])('are given up to %s, which is damage', (_, second) => {
    expect(read(block(1024, [first, second]))).toEqual({ names: ['first'], isDamaged: true });
  });
});
