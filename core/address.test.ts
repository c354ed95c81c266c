import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRestoreError, nearest, parseAddress } from './index.ts';

const machine = fc.stringMatching(/^[A-Za-z0-9ÄÖé._-]{1,20}$/);
const point = fc.oneof(
  fc.constant('latest'),
  fc.stringMatching(/^2026-(0[1-9]|1[0-2])(-[0-2]\dT\d\d:\d\d:\d\dZ)?$/),
  fc.stringMatching(/^[0-9a-f]{4,32}$/),
);
const part = fc.stringMatching(/^[A-Za-z0-9._-]{1,12}$/);
const path = fc.stringMatching(/^\/[ -~]{0,30}$/);

describe('parseAddress', () => {
  it('gives back the parts of any address that was put together from them', () => {
    fc.assert(
      fc.property(
        machine,
        point,
        fc.option(part, { nil: undefined }),
        fc.array(part, { maxLength: 2 }),
        fc.option(path, { nil: undefined }),
        (name, when, disk, volumes, file) => {
          const inDisk = disk === undefined ? '' : [`/${disk}`, ...volumes].join('/');
          const text = `${name}@${when}${inDisk}${file === undefined ? '' : `:${file}`}`;
          expect(parseAddress(text)).toEqual({
            machine: name,
            point: when,
            ...(disk === undefined ? {} : { disk }),
            ...(disk === undefined || volumes.length === 0 ? {} : { volume: volumes.join('/') }),
            ...(file === undefined ? {} : { path: file }),
          });
        },
      ),
    );
  });

  it('either parses or says INVALID, whatever the text', () => {
    const shaped = fc.string({
      unit: fc.constantFrom('a', '@', '/', ':', '\\', ' ', '\0', 'é', '.'),
    });
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), shaped), (text) => {
        try {
          const { machine: name, point: when, path: file } = parseAddress(text);
          expect(name).toMatch(/^[^\s@/:\\]+$/u);
          expect(when).not.toBe('');
          if (file !== undefined) expect(file.startsWith('/')).toBe(true);
        } catch (error) {
          expect(isRestoreError(error, 'INVALID')).toBe(true);
        }
      }),
    );
  });

  it.each([
    '',
    '@latest',
    'web01@',
    'web01@latest//p1',
    'web01@latest/',
    'web01:/etc',
    'a b@latest',
  ])('refuses %j', (text) => {
    expect(() => parseAddress(text)).toThrow(/not an address|not a machine name/);
  });

  it('takes times with colons for times, and the first ":/" for the path', () => {
    expect(parseAddress('sql02@2026-11-03T22:00:00Z/disk0/p2:/Users/a:/b')).toEqual({
      machine: 'sql02',
      point: '2026-11-03T22:00:00Z',
      disk: 'disk0',
      volume: 'p2',
      path: '/Users/a:/b',
    });
  });
});

describe('parseAddress of Windows paths', () => {
  it.each([
    ['sql02@latest:C:/Users/eva', { machine: 'sql02', point: 'latest', path: '/C:/Users/eva' }],
    ['sql02@latest:/C:/Users', { machine: 'sql02', point: 'latest', path: '/C:/Users' }],
    ['sql02@latest:d:', { machine: 'sql02', point: 'latest', path: '/d:' }],
    [
      'sql02@2026-11-03T22:00:00Z:C:\\Users\\a:b',
      { machine: 'sql02', point: '2026-11-03T22:00:00Z', path: '/C:/Users/a:b' },
    ],
    [
      'sql02@latest/disk0/C:/Users',
      { machine: 'sql02', point: 'latest', disk: 'disk0', volume: 'C', path: '/Users' },
    ],
    ['web01@latest:/a:b:/c', { machine: 'web01', point: 'latest', path: '/a:b:/c' }],
    [
      'sql02@latest/disk0/p1:\\Users\\eva',
      { machine: 'sql02', point: 'latest', disk: 'disk0', volume: 'p1', path: '/Users/eva' },
    ],
    ['web01@latest:/a\\b', { machine: 'web01', point: 'latest', path: '/a\\b' }],
  ])('%s', (text, expected) => {
    expect(parseAddress(text)).toEqual(expected);
  });

  it.each([
    ['web01@latest:etc', 'Write web01@latest:/etc.'],
    ['web01@latest/disk0:etc/hosts', 'Write web01@latest/disk0:/etc/hosts.'],
    ['web01@2026-11-03T22:00:00Z:etc', 'Write web01@2026-11-03T22:00:00Z:/etc.'],
    ['web01:etc', 'Write web01@latest:/etc.'],
    ['web01:/etc', 'Write web01@latest:/etc.'],
  ])('tells how %s is meant to be written', (text, hint) => {
    expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: 'INVALID', hint }));
  });

  it('needs a restore point before a drive letter too', () => {
    expect(() => parseAddress('sql02:C:/Users')).toThrow(/needs a restore point/);
  });
});

describe('nearest', () => {
  it('puts the likeliest name first and leaves out strangers', () => {
    expect(nearest('wbe01', ['sql02', 'web02', 'web01'])).toEqual(['web01', 'web02']);
    expect(nearest('web', ['web01', 'zzzzzzzzzz'])).toEqual(['web01']);
    expect(nearest('x', [])).toEqual([]);
  });
});
