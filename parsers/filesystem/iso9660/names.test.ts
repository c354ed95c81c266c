import { expect, it } from 'vitest';
import { jolietName, plainName } from './names.ts';

it.each([
  ['FILE.TXT;1', 'file.txt'],
  ['FILE.;1', 'file'],
  ['FILE;1', 'file'],
  ['FILE.TXT;2', 'file.txt.2'],
  ['A/B.C;1', 'a.b.c'],
  ['DIRECTORY', 'directory'],
  ['NO.VERSION', 'no.version'],
])('shows %s as Linux does', (stored, shown) => {
  expect(plainName(Buffer.from(stored, 'latin1'))).toBe(shown);
});

it('keeps bytes that are no text', () => {
  expect(plainName(Uint8Array.of(0x41, 0xff, 0x42))).toBe('a\udcffb');
});

const wide = (text: string): Uint8Array => Buffer.from(text, 'utf16le').swap16();

it.each([
  ['Gr\u00fc\u00dfe.txt;1', 'Gr\u00fc\u00dfe.txt'],
  ['dots...', 'dots'],
  ['\ud83d;1', '\ud83d'],
  ['...', '.'],
  ['file;2', 'file;2'],
])('shows the Joliet name %j as Linux does', (stored, shown) => {
  expect(jolietName(wide(stored))).toBe(shown);
});
