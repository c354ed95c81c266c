import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatBytes, formatDuration, formatRatio, formatTable } from './format.ts';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.50 KiB'],
    [1_048_575, '1.00 MiB'],
    [10 * 1024 ** 3, '10.0 GiB'],
    [512.4, '512 B'],
  ])('shows %d as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it('is short, below 1024 of its unit, and within half a percent of the truth', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 2 ** 53, noNaN: true }), (bytes) => {
        const [number = '', unit = ''] = formatBytes(bytes).split(' ');
        const value = Number(number);
        expect(number.length).toBeLessThanOrEqual(6);
        expect(UNITS).toContain(unit);
        expect(value).toBeLessThan(1024);
        const shown = value * 1024 ** UNITS.indexOf(unit);
        expect(Math.abs(shown - bytes)).toBeLessThanOrEqual(Math.max(0.5, bytes * 0.006));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('formatDuration', () => {
  it.each([
    [0, '0s'],
    [59_400, '59s'],
    [59_600, '1m00s'],
    [75_000, '1m15s'],
    [3_599_700, '1h00m'],
    [90_000_000, '25h00m'],
  ])('shows %d ms as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});

describe('formatRatio and formatTable', () => {
  it('compare only what is there', () => {
    expect([formatRatio(3, 2), formatRatio(0, 2), formatRatio(3, 0)]).toEqual(['1.50:1', '-', '-']);
  });

  it('let the widest cell decide', () => {
    const rows = [
      { name: 'a', size: '10' },
      { name: 'longer', size: '9' },
    ];
    expect(formatTable(rows)).toBe('NAME    SIZE\na       10\nlonger  9\n');
    expect(formatTable([])).toBe('');
  });
});
