import { describe, expect, it } from 'vitest';
import { readTarget } from './link-target.ts';

describe('targets of links', () => {
  it.each([
    ['posix', '/etc/passwd', 'machine', ['', 'etc', 'passwd']],
    ['posix', '../x', 'here', ['..', 'x']],
    ['posix', 'a\\b', 'here', ['a\\b']],
    ['posix', 'C:\\Users', 'here', ['C:\\Users']],
    ['windows', '..\\x', 'here', ['..', 'x']],
    ['windows', '\\Users\\eva', 'volume', ['', 'Users', 'eva']],
    ['windows', 'C:\\Users', 'machine', ['C:', '', 'Users']],
    ['windows', 'C:', 'machine', ['C:', '']],
    ['windows', '\\??\\D:\\Data', 'machine', ['D:', '', 'Data']],
    ['windows', '\\\\?\\D:\\Data', 'machine', ['D:', '', 'Data']],
    [
      'windows',
      '\\??\\Volume{11111111-2222-3333-4444-555555555555}\\',
      'machine',
      ['Volume{11111111-2222-3333-4444-555555555555}', '', ''],
    ],
  ] as const)('of style %s: %s', (style, target, from, names) => {
    expect(readTarget({ style, target })).toEqual({ from, names });
  });

  it.each(['\\??\\UNC\\server\\share', '\\\\server\\share', '\\\\?\\GLOBALROOT\\Device', '\\??\\'])(
    'that leads out is refused: %s',
    (target) => {
      expect(() => readTarget({ style: 'windows', target })).toThrow(/out of this machine/);
    },
  );
});
