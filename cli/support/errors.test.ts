import { mkdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { asRestoreError, type RestoreError } from '../../core/index.ts';
import { Scratch } from '../../test/fixtures/repository.ts';
import { reportError } from './errors.ts';
import { warn } from './output.ts';

const NAME = 'a\x1b]0;owned\x07\x9b2J\u202egnp\nrehydrate: all is well';
/** Everything that a terminal obeys, or that turns text around; ends of lines apart. */
const OBEYED = /[^\P{C}\n]/u;

let told: string[] = [];
beforeEach(() => {
  told = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => told.push(String(text)) > 0);
});
afterEach(() => vi.restoreAllMocks());

/** What the system says when a file of that name is there: it tells the name as it is. */
function realError(): RestoreError {
  using scratch = new Scratch();
  mkdirSync(scratch.file(NAME));
  try {
    mkdirSync(scratch.file(NAME));
  } catch (error) {
    expect((error as Error).message).toMatch(OBEYED);
    return asRestoreError(error, 'cannot make it', { object: NAME });
  }
  throw new Error('the directory was made twice');
}

describe('what is told on standard error', () => {
  it.each([false, true])(
    'is one line of text, whatever a guest called its files (--json %s)',
    (json) => {
      reportError(realError(), json);
      expect(told.join('')).not.toMatch(OBEYED);
      expect(told.join('').trimEnd().split('\n')).toHaveLength(1);
      expect(told.join('')).toContain('owned');
    },
  );

  it('is so for failures that nobody expected, and for warnings', () => {
    reportError(new TypeError(`no such ${NAME}`), false);
    warn(NAME);
    expect(told.join('')).not.toMatch(OBEYED);
  });

  it('reads exactly as JSON', () => {
    reportError(realError(), true);
    const { error } = JSON.parse(told.join('')) as { error: { where: { object: string } } };
    expect(error.where.object).toBe(NAME);
  });
});
