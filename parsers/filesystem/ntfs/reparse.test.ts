import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { isRestoreError } from '../../../core/index.ts';
import { missingForNtfs, withNtfsMounted } from '../../../test/fixtures/file-systems/index.ts';
import {
  REPARSE_CASES,
  reparseValue,
  twoNamesData,
  words,
} from '../../../test/fixtures/file-systems/ntfs-links.ts';
import {
  extendedAttribute,
  NtfsScratch,
} from '../../../test/fixtures/file-systems/ntfs-scratch.ts';
import { seededRandom } from '../../../test/fixtures/random.ts';
import { missingContent, parseReparsePoint, type ReparsePoint } from './reparse.ts';

const ARCHIVE = 0x20;
const OFFLINE = 0x1000;
const RECALL_ON_DATA_ACCESS = 0x40_0000;

const EXPECTED: Readonly<Record<string, object>> = {
  junction: { kind: 'junction', target: '\\??\\C:\\Users\\eva', printName: 'C:\\Users\\eva' },
  'volume-mount': {
    kind: 'junction',
    target: '\\??\\Volume{11111111-2222-3333-4444-555555555555}\\',
    printName: '',
  },
  'link-absolute': {
    kind: 'symbolic-link',
    target: '\\??\\D:\\data\\file.txt',
    printName: 'D:\\data\\file.txt',
    isRelative: false,
  },
  'link-relative': { kind: 'symbolic-link', target: '..\\folder\\ünïcode', isRelative: true },
  'link-folder': { kind: 'symbolic-link', target: 'folder', isRelative: true },
  'wof-lzx': { kind: 'overlay', provider: 'file', algorithm: 'LZX' },
  'wof-xpress16k': { kind: 'overlay', provider: 'file', algorithm: 'XPRESS16K' },
  'wof-archive': { kind: 'overlay', provider: 'WIM' },
  deduplicated: { kind: 'other', name: 'DEDUP' },
  cloud: { kind: 'other', name: 'CLOUD' },
  program: { kind: 'program-alias', executable: 'C:\\Apps\\app.exe' },
  archived: { kind: 'other', name: 'HSM' },
};

describe('parseReparsePoint', () => {
  it.each(REPARSE_CASES)('tells what $name is', ({ name, tag, data }) => {
    expect(parseReparsePoint(reparseValue(tag, data))).toMatchObject({ tag, ...EXPECTED[name] });
    expect(EXPECTED[name]).toBeDefined();
  });

  it.each([
    ['a link', '4c4e4b0100000000', '2e002e002f007800', { kind: 'posix-link', target: '../x' }],
    ['a FIFO', '4649464f00000000', '', { kind: 'special', special: 'fifo' }],
    ['a socket', '534f434b00000000', '', { kind: 'special', special: 'socket' }],
    [
      'a terminal',
      '4348520000000000',
      '0500000001000000',
      { kind: 'special', special: 'character-device', device: { major: 5, minor: 1 } },
    ],
    [
      'a disk',
      '424c4b0000000000',
      '0800000011000000',
      { kind: 'special', special: 'block-device', device: { major: 8, minor: 17 } },
    ],
  ])('reads %s as a server for NFS leaves it', (_, type, rest, expected) => {
    // [MS-FSCC] 2.1.2.6 writes the types as 64-bit numbers: LNK is 0x00000000014B4E4C.
    const data = Buffer.from(type + rest, 'hex');
    expect(parseReparsePoint(reparseValue(0x80000014, data))).toMatchObject(expected);
  });

  it('knows the tags of others by their number', () => {
    const value = Buffer.concat([reparseValue(0x00001234, Buffer.alloc(0)), Buffer.alloc(16, 1)]);
    expect(parseReparsePoint(value)).toEqual({ tag: 0x1234, kind: 'other', name: '0x00001234' });
  });

  it('keeps a lone surrogate in a target', () => {
    const value = reparseValue(0xa0000003, twoNamesData('\\??\\C:\\\ud800', ''));
    expect(parseReparsePoint(value)).toMatchObject({ target: '\\??\\C:\\\ud800' });
  });

  it.each([
    ['no header', Buffer.alloc(7), 'CORRUPT'],
    ['more data than there is', Buffer.from('0c0000a0ff000000', 'hex'), 'CORRUPT'],
    ['a tag of others without its GUID', reparseValue(0x1234, Buffer.alloc(0)), 'CORRUPT'],
    ['names that are not there', reparseValue(0xa000000c, Buffer.alloc(4)), 'CORRUPT'],
    ['a name of half a unit', reparseValue(0xa0000003, oddName()), 'CORRUPT'],
    ['a name behind the end', reparseValue(0xa0000003, farName()), 'CORRUPT'],
    ['a link of WSL without its version', reparseValue(0xa000001d, Buffer.alloc(2)), 'CORRUPT'],
    ['a link of WSL of another version', reparseValue(0xa000001d, words(3)), 'UNSUPPORTED'],
    ['an overlay of another version', reparseValue(0x80000017, words(9, 2, 1, 1)), 'UNSUPPORTED'],
    ['a special file of no type', reparseValue(0x80000014, words(1, 2)), 'CORRUPT'],
  ])('refuses %s', (_, value, code) => {
    expect(() => parseReparsePoint(value)).toThrow(expect.objectContaining({ code }));
  });

  it('gives an error of ours or a meaning for any damage', () => {
    for (let seed = 0; seed < 5000; seed += 1) {
      const random = seededRandom(seed);
      const { tag, data } = REPARSE_CASES[seed % REPARSE_CASES.length] as (typeof REPARSE_CASES)[0];
      const value = reparseValue(tag, data).subarray(0, random() < 0.3 ? seed % 40 : undefined);
      for (let count = 0; count < 3 && value.length > 0; count += 1) {
        value[Math.floor(random() * value.length)] = Math.floor(random() * 256);
      }
      expect(outcome(value), `seed ${seed}`).toMatch(/^(CORRUPT|UNSUPPORTED|read)$/);
    }
  });
});

describe('missingContent', () => {
  const reasonOf = (
    tag: number,
    attributes: number,
    data: Buffer = Buffer.alloc(0),
  ): string | undefined => missingContent(parseReparsePoint(reparseValue(tag, data)), attributes);

  it('refuses what filters keep elsewhere, and what nobody knows', () => {
    expect(reasonOf(0x80000013, ARCHIVE)).toContain('DEDUP');
    expect(reasonOf(0x80000017, ARCHIVE, words(1, 2, 1, 0))).toContain('XPRESS4K');
    expect(reasonOf(0x80000017, ARCHIVE, words(1, 1))).toContain('WIM');
    expect(reasonOf(0x8000abcd, ARCHIVE)).toContain('0x8000abcd');
    expect(reasonOf(0x80000007, ARCHIVE)).toContain('SIS');
  });

  it('lets a cloud file be read when it is here', () => {
    for (const tag of [0x9000001a, 0x9000f01a, 0x80000021, 0x8000001e, 0xc0000004]) {
      expect(reasonOf(tag, ARCHIVE)).toBeUndefined();
      expect(reasonOf(tag, OFFLINE)).toBeDefined();
      expect(reasonOf(tag, RECALL_ON_DATA_ACCESS)).toBeDefined();
    }
  });

  it('says nothing of links and special files', () => {
    expect(reasonOf(0x80000024, 0)).toBeUndefined();
    expect(reasonOf(0xa0000003, OFFLINE, twoNamesData('\\??\\C:\\', ''))).toBeUndefined();
  });
});

const reason = missingForNtfs('getfattr');

describe(`what ntfs-3g writes for WSL${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  const scratch = reason === undefined ? new NtfsScratch() : undefined;
  beforeEach((context) => context.skip(scratch === undefined, reason));
  afterAll(() => scratch?.remove());

  it.each([
    ['link', { kind: 'posix-link', target: '../some/where ünï' }],
    ['tty', { kind: 'special', special: 'character-device' }],
    ['disk', { kind: 'special', special: 'block-device' }],
    ['fifo', { kind: 'special', special: 'fifo' }],
  ])('%s', async (name, expected) => {
    const image = await (scratch as NtfsScratch).image('WSL files');
    const value = await withNtfsMounted(image, ['ro'], (mountPoint) =>
      extendedAttribute(`${mountPoint}/${name}`, 'system.ntfs_reparse_data'),
    );
    const point: ReparsePoint = parseReparsePoint(value);
    expect(point).toMatchObject(expected);
    expect(missingContent(point, 0)).toBeUndefined();
  });
});

function oddName(): Buffer {
  const data = twoNamesData('abc', 'abc');
  data.writeUInt16LE(5, 2);
  return data;
}

function farName(): Buffer {
  const data = twoNamesData('abc', 'abc');
  data.writeUInt16LE(0xfff0, 4);
  return data;
}

function outcome(value: Uint8Array): string {
  try {
    parseReparsePoint(value);
    return 'read';
  } catch (error) {
    return isRestoreError(error) ? error.code : String(error);
  }
}
