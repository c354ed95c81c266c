import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Budget, BytesSource, budgeted, isRestoreError } from './index.ts';

function codeOf(action: () => void): string | undefined {
  try {
    action();
  } catch (error) {
    return isRestoreError(error) ? error.code : String(error);
  }
  return undefined;
}

describe('a budget', () => {
  it('ends reading at its limit, until renewed', async () => {
    const budget = new Budget({ readBytes: 1000 });
    const source = budgeted(new BytesSource(new Uint8Array(4096)), budget);
    await source.readInto(new Uint8Array(1000), 0);
    await expect(source.readInto(new Uint8Array(1), 0)).rejects.toMatchObject({ code: 'LIMIT' });
    budget.renew();
    await source.readInto(new Uint8Array(1), 0);
  });

  it('ends work that takes too long', async () => {
    const budget = new Budget({ timeMs: 5 });
    await sleep(20);
    expect(codeOf(() => budget.checkTime())).toBe('LIMIT');
  });

  it('refuses memory beyond its limit, and takes back what is released', () => {
    const budget = new Budget({ memoryBytes: 100 });
    budget.hold(80);
    expect(codeOf(() => budget.hold(21))).toBe('LIMIT');
    budget.release(80);
    expect(codeOf(() => budget.hold(100))).toBeUndefined();
  });
});
