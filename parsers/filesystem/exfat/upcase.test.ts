import { expect, it } from 'vitest';
import { Upcase } from './upcase.ts';

/** As stored: 16-bit units, lowest byte first. */
const table = (units: readonly number[]): Uint8Array =>
  new Uint8Array(Uint16Array.from(units).buffer);

it('reads the compressed form: runs of units that are their own capitals', () => {
  // 0 to 0x60 as they are, a becomes A, b becomes B, 0x63 to 0x65 as they are, f becomes X.
  const upcase = new Upcase(table([0xffff, 0x61, 0x41, 0x42, 0xffff, 3, 0x58]));
  expect(upcase.fold('abcdefg A1')).toBe('ABcdeXg A1');
});

it('survives a table that ends inside a run, or is too long', () => {
  expect(new Upcase(table([0xffff])).fold('a')).toBe('a');
  expect(new Upcase(table([0xffff, 0xffff, 1, 2, 3])).fold('a')).toBe('a');
  expect(new Upcase(new Uint8Array(1)).fold('a')).toBe('a');
});

it('knows the Latin letters where there is no table', () => {
  expect(new Upcase(undefined).fold('az\u00e4{`')).toBe('AZ\u00e4{`');
});
