import { describe, expect, it } from 'vitest';
import { isRestoreError } from '../../core/index.ts';
import { encodeText, parseBinary, parseNumber, parseText } from './text.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

describe('parseText', () => {
  it('splits pairs, and keeps = in values', () => {
    expect(parseText(bytes('A=1\0B=x=y\0C=\0\0'))).toEqual([
      { key: 'A', value: '1' },
      { key: 'B', value: 'x=y' },
      { key: 'C', value: '' },
    ]);
  });

  it('gives back what encodeText wrote', () => {
    const pairs = [
      { key: 'TargetName', value: 'iqn.2026-01.example:disk' },
      { key: 'TargetAddress', value: '[::1]:3260,1' },
    ];
    expect(parseText(encodeText(pairs))).toEqual(pairs);
  });

  it.each([
    ['no =', 'A\0'],
    ['no key', '=1\0'],
    ['a key with a blank', 'A B=1\0'],
    ['a key that starts small', 'a=1\0'],
    ['a key twice', 'A=1\0A=2\0'],
    ['a key of 64 characters', `A${'b'.repeat(63)}=1\0`],
    ['a value of 8193 characters', `A=${'b'.repeat(8193)}\0`],
    ['1025 keys', Array.from({ length: 1025 }, (_, index) => `K${index}=\0`).join('')],
  ])('refuses %s', (_, text) => {
    let thrown: unknown;
    try {
      parseText(bytes(text));
    } catch (error) {
      thrown = error;
    }
    expect(isRestoreError(thrown, 'INVALID')).toBe(true);
  });
});

describe('parseNumber', () => {
  it.each([
    ['0', 0],
    ['262144', 262_144],
    ['0x40000', 262_144],
    ['0XfF', 255],
  ])('reads %s', (text, value) => {
    expect(parseNumber(text, 0, 300_000)).toBe(value);
  });

  it.each(['', '-1', '1.5', '1e3', '0x', '300001', '12abc', ' 1', '9'.repeat(16)])(
    'refuses %j',
    (text) => {
      expect(parseNumber(text, 0, 300_000)).toBeUndefined();
    },
  );
});

describe('parseBinary', () => {
  it('reads hexadecimal and base64', () => {
    expect(parseBinary('0x00fF10', 8)).toEqual(Buffer.from([0, 255, 16]));
    expect(parseBinary('0bAP8Q', 8)).toEqual(Buffer.from([0, 255, 16]));
  });

  it.each(['', '0x', '0x0', '0xgg', '00ff', '0b', '0b!!', '0x112233445566778899'])(
    'refuses %j',
    (text) => {
      expect(parseBinary(text, 8)).toBeUndefined();
    },
  );
});
