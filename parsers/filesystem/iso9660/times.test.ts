import { expect, it } from 'vitest';
import { longTime, shortTime, timeIdentity } from './times.ts';

const at = (...fields: [number, number, number, number, number, number]): number =>
  Date.UTC(...fields) / 1000;

it('reads seven bytes, with quarters of an hour from Greenwich', () => {
  const east = shortTime(Uint8Array.of(124, 2, 29, 12, 30, 15, 4));
  expect(east).toEqual({ seconds: at(2024, 1, 29, 11, 30, 15), nanoseconds: 0 });
  const west = shortTime(Uint8Array.of(124, 2, 29, 12, 30, 15, 0x100 - 20));
  expect(west.seconds).toBe(at(2024, 1, 29, 17, 30, 15));
  expect(shortTime(Uint8Array.of(124, 2, 29, 12, 30, 15, 100)).seconds).toBe(
    at(2024, 1, 29, 12, 30, 15),
  );
});

it('reads seventeen bytes, with hundredths', () => {
  const time = longTime(Buffer.from('2024022912301550\x04', 'latin1'));
  expect(time).toEqual({ seconds: at(2024, 1, 29, 11, 30, 15), nanoseconds: 500_000_000 });
});

it('reads what is not recorded as the epoch', () => {
  expect(shortTime(new Uint8Array(7)).seconds).toBe(0);
  expect(longTime(Buffer.from('0000000000000000\0', 'latin1')).seconds).toBe(0);
  expect(longTime(Buffer.from('no time at all!!!', 'latin1')).seconds).toBe(0);
});

it('makes an identity of a time as blkid does', () => {
  expect(timeIdentity(Buffer.from('2024022912301550\x04', 'latin1'))).toBe(
    '2024-02-29-12-30-15-50',
  );
  expect(timeIdentity(Buffer.from('0000000000000000\0', 'latin1'))).toBe('');
});
