import { describe, expect, it } from 'vitest';
import { parseMoment, parseTime } from './values.ts';

describe('times', () => {
  it('are taken with their offset, and dates for their first moment in UTC', () => {
    expect(parseMoment('2026-11-03').toISOString()).toBe('2026-11-03T00:00:00.000Z');
    expect(parseMoment('2026-11-03T22:00:00+01:00').toISOString()).toBe('2026-11-03T21:00:00.000Z');
  });

  it.each(['yesterday', '2026-13-01', '2026-11', '03.11.2026', '2026-11-03T22:00:00', ''])(
    'refuses %j, which may mean several or none',
    (text) => {
      expect(() => parseMoment(text)).toThrow(/not a time/);
    },
  );

  it('of restore points are whole ones', () => {
    expect(() => parseTime('2026-11-03')).toThrow(/not a time/);
  });
});
