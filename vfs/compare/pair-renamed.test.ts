import { describe, expect, it } from 'vitest';
import type { Attributes } from '../../core/index.ts';
import type { FileChange } from './model.ts';
import { pairRenamed } from './pair-renamed.ts';

const MANY = 100_000;

function attributesOf(fileNumber: number, kind: Attributes['kind'] = 'file'): Attributes {
  const modified = { seconds: 1, nanoseconds: 0 };
  return { kind, size: 0, allocated: 0, links: 1, modified, fileNumber, generation: 1 };
}

function removed(path: string, before: Attributes): FileChange {
  return { change: 'removed', path, aspects: [], before };
}

function added(path: string, after: Attributes): FileChange {
  return { change: 'added', path, aspects: [], after };
}

function timed(changes: readonly FileChange[]) {
  const startedMs = performance.now();
  return { paired: pairRenamed(changes), tookMs: performance.now() - startedMs };
}

describe('files that went from one path to another', () => {
  it('are one change with their directory, however many they are', () => {
    const files = Array.from({ length: MANY }, (_, index) => attributesOf(index + 10));
    const directory = attributesOf(5, 'directory');
    const { paired, tookMs } = timed([
      ...files.map((file, index) => removed(`/old/f${index}`, file)),
      removed('/old', directory),
      ...files.map((file, index) => added(`/new/f${index}`, file)),
      added('/new', directory),
    ]);
    expect(paired.map(({ change, from, path }) => [change, from, path])).toEqual([
      ['renamed', '/old', '/new'],
    ]);
    expect(tookMs).toBeLessThan(2_000);
  });

  it('are paired in bounded time when each is another one’s parent, or all are one file', () => {
    const one = attributesOf(7);
    const names = Array.from({ length: MANY }, (_, index) => `${index}`);
    const links = timed([
      ...names.map((name) => removed(`/a${name}`, one)),
      ...names.map((name) => added(`/b${name}`, one)),
    ]);
    expect(links.paired).toHaveLength(MANY);
    expect(links.paired[0]).toMatchObject({ change: 'renamed', from: '/a0', path: '/b0' });
    expect(links.tookMs).toBeLessThan(2_000);
    const folders = names.map((_, index) => attributesOf(index + 10, 'directory'));
    const many = timed([
      ...folders.map((folder, index) => removed(`/x${index}/y`, folder)),
      ...folders.map((folder, index) => added(`/z${index}/y`, folder)),
    ]);
    expect(many.paired).toHaveLength(MANY);
    expect(many.tookMs).toBeLessThan(2_000);
  });

  it('are told by themselves when they went elsewhere than their directory, or are others', () => {
    const directory = attributesOf(5, 'directory');
    const paired = pairRenamed([
      removed('/old', directory),
      removed('/old/stays', attributesOf(6)),
      removed('/old/goes', attributesOf(7)),
      removed('/old/reused', { ...attributesOf(8), generation: 1 }),
      added('/new', directory),
      added('/new/stays', attributesOf(6)),
      added('/elsewhere', attributesOf(7)),
      added('/new/reused', { ...attributesOf(8), generation: 2 }),
    ]);
    expect(paired.map(({ change, from, path }) => [change, from, path])).toEqual([
      ['removed', undefined, '/old/reused'],
      ['added', undefined, '/new/reused'],
      ['renamed', '/old', '/new'],
      ['renamed', '/old/goes', '/elsewhere'],
    ]);
  });
});
