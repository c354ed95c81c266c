import { describe, expect, it } from 'vitest';
import { LoginThrottle } from './throttle.ts';

function makeThrottle(): { throttle: LoginThrottle; pass: (ms: number) => void } {
  let nowMs = 1_000_000;
  return {
    throttle: new LoginThrottle(() => nowMs),
    pass: (ms) => {
      nowMs += ms;
    },
  };
}

function fail(throttle: LoginThrottle, times: number, address = '192.0.2.1'): void {
  for (let count = 0; count < times; count += 1) throttle.failed(address, 'target');
}

describe('LoginThrottle', () => {
  it('lets the first attempts through', () => {
    const { throttle } = makeThrottle();
    fail(throttle, 2);
    expect(throttle.admit('192.0.2.1', 'target')).toBe(0);
  });

  it('waits longer with each failure, up to a few seconds', () => {
    const { throttle, pass } = makeThrottle();
    const waits = [];
    for (let failures = 1; failures <= 12; failures += 1) {
      fail(throttle, 1);
      waits.push(throttle.admit('192.0.2.1', 'target'));
      pass(60_000);
    }
    expect(waits).toEqual([0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000, 4000, 4000, 4000]);
  });

  it('makes attempts at the same time queue, and turns away the rest', () => {
    const { throttle } = makeThrottle();
    fail(throttle, 6);
    const waits = Array.from({ length: 10 }, () => throttle.admit('192.0.2.1', 'target'));
    expect(waits.slice(0, 4)).toEqual([2000, 4000, 6000, 8000]);
    expect(waits.at(-1)).toBeUndefined();
  });

  it('leaves other addresses and other targets alone', () => {
    const { throttle } = makeThrottle();
    fail(throttle, 20);
    expect(throttle.admit('192.0.2.2', 'target')).toBe(0);
    expect(throttle.admit('192.0.2.1', 'other')).toBe(0);
  });

  it('counts one IPv6 network as one address', () => {
    const { throttle } = makeThrottle();
    fail(throttle, 5, '2001:db8:1:2:aaaa::1');
    expect(throttle.admit('2001:db8:1:2:bbbb::2', 'target')).toBeGreaterThan(0);
    expect(throttle.admit('2001:db8:1:3::1', 'target')).toBe(0);
  });

  it('forgets after success and after a while', () => {
    const { throttle, pass } = makeThrottle();
    fail(throttle, 5);
    throttle.succeeded('192.0.2.1', 'target');
    expect(throttle.admit('192.0.2.1', 'target')).toBe(0);
    fail(throttle, 5);
    pass(121_000);
    expect(throttle.admit('192.0.2.1', 'target')).toBe(0);
  });

  it('remembers a bounded number of places', () => {
    const { throttle } = makeThrottle();
    fail(throttle, 5);
    for (let index = 0; index < 5_000; index += 1) {
      throttle.failed(`192.0.${index >> 8}.${index & 255}`, 'another');
    }
    expect(throttle.admit('192.0.2.1', 'target')).toBe(0);
  });
});
