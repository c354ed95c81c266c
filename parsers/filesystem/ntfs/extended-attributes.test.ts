import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { missingForNtfs, withNtfsMounted } from '../../../test/fixtures/file-systems/index.ts';
import { extendedAttributesValue, words } from '../../../test/fixtures/file-systems/ntfs-links.ts';
import {
  extendedAttribute,
  NtfsScratch,
} from '../../../test/fixtures/file-systems/ntfs-scratch.ts';
import { linuxMetadataOf, parseExtendedAttributes } from './extended-attributes.ts';

describe('parseExtendedAttributes', () => {
  const stream = extendedAttributesValue([
    ['ONE', Buffer.from('first')],
    ['$LXMOD', words(0o100644)],
    ['EMPTY', Buffer.alloc(0)],
  ]);

  it('reads each attribute, whether the last entry tells its length or 0', () => {
    const last = stream.length - 16;
    for (const nextOffset of [16, 0]) {
      const copy = Buffer.from(stream);
      expect(copy.readUInt32LE(last)).toBe(16);
      copy.writeUInt32LE(nextOffset, last);
      const read = parseExtendedAttributes(copy);
      expect(read.map(({ name, value }) => [name, Buffer.from(value).toString('hex')])).toEqual([
        ['ONE', Buffer.from('first').toString('hex')],
        ['$LXMOD', 'a4810000'],
        ['EMPTY', ''],
      ]);
    }
    expect(parseExtendedAttributes(new Uint8Array(0))).toEqual([]);
  });

  it.each([
    ['an entry cut off', stream.subarray(0, 5)],
    ['a value behind the end', patched(6, 0xff)],
    ['a next entry inside this one', patched(0, 4)],
    ['a next entry behind the end', patched(1, 0x40)],
    ['an attribute without a name', patched(5, 0)],
    ['more than 64 KiB', Buffer.alloc(65_537)],
  ])('refuses %s', (_, bytes) => {
    expect(() => parseExtendedAttributes(bytes)).toThrow(
      expect.objectContaining({ code: 'CORRUPT' }),
    );
  });

  function patched(at: number, value: number): Buffer {
    const copy = Buffer.from(stream);
    copy[at] = value;
    return copy;
  }
});

describe('linuxMetadataOf', () => {
  it('refuses numbers that are cut off', () => {
    const short = [{ name: '$LXDEV', value: words(5) }];
    expect(() => linuxMetadataOf(short)).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
  });

  it('leaves out what is not there', () => {
    expect(linuxMetadataOf([{ name: 'OTHER', value: words(1) }])).toEqual({});
  });
});

const reason = missingForNtfs('getfattr');

describe(`attributes on a volume${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  const scratch = reason === undefined ? new NtfsScratch() : undefined;
  beforeEach((context) => context.skip(scratch === undefined, reason));
  afterAll(() => scratch?.remove());

  it.each([
    ['tty', { mode: 0o020000, device: { major: 5, minor: 1 } }],
    ['disk', { mode: 0o060000, device: { major: 259, minor: 70_000 } }],
    ['script', { uid: 1000, gid: 0xffff_fffe, mode: 0o104755 }],
  ])('are those that ntfs-3g made or took: %s', async (name, expected) => {
    const image = await (scratch as NtfsScratch).image('WSL files');
    const value = await withNtfsMounted(image, ['ro'], (mountPoint) =>
      extendedAttribute(`${mountPoint}/${name}`, 'system.ntfs_ea'),
    );
    const found = linuxMetadataOf(parseExtendedAttributes(value));
    expect({
      ...found,
      mode: (found.mode as number) & (name === 'script' ? -1 : 0o170000),
    }).toEqual(expect.objectContaining(expected));
  });
});
