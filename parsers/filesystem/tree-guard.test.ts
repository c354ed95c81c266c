import { expect, it } from 'vitest';
import { TreeGuard } from './tree-guard.ts';

const corrupt = expect.objectContaining({ code: 'CORRUPT' });

it('lets a tree be walked as often as one likes', () => {
  const guard = new TreeGuard();
  for (let round = 0; round < 2; round += 1) {
    guard.enter(1, 100);
    guard.found(2, 100);
    guard.enter(2, 200);
    guard.found(3, 200);
  }
});

it('refuses a directory that has the content of another', () => {
  const guard = new TreeGuard();
  guard.enter(1, 100);
  expect(() => guard.enter(2, 100)).toThrow(corrupt);
});

it('refuses a directory that lies in two', () => {
  const guard = new TreeGuard();
  guard.found(3, 100);
  expect(() => guard.found(3, 200)).toThrow(corrupt);
});
