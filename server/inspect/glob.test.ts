import { spawnSync } from 'node:child_process';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileGlob } from './glob.ts';

const character = fc.constantFrom('a', 'b', 'c', '.', '*', '?', '[', ']', '!', '-', '\\');
const pattern = fc.string({ unit: character, maxLength: 8 });
const name = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '.', '-', '[', '*'), maxLength: 8 });

describe('globs', () => {
  it('match what a shell’s case matches', () => {
    const pairs = fc.sample(fc.tuple(pattern, name), 3_000).filter(([p]) => isPortable(p));
    expect(pairs.length).toBeGreaterThan(500);
    const quote = (text: string): string => `'${text}'`;
    const script = pairs
      .map(([p, n]) => `p=${quote(p)}; case ${quote(n)} in $p) echo 1;; *) echo 0;; esac`)
      .join('\n');
    const { stdout } = spawnSync('bash', ['--norc'], { input: script, env: { LC_ALL: 'C' } });
    const expected = stdout.toString().trim().split('\n');
    const found = pairs.map(([p, n]) => (compileGlob(p, false).matches(n) ? '1' : '0'));
    pairs.forEach(([p, n], index) => {
      expect([p, n, found[index]]).toEqual([p, n, expected[index]]);
    });
  });

  it('ignore case when told to', () => {
    expect(compileGlob('*.DOCX', true).matches('Größe.docx')).toBe(true);
    expect(compileGlob('*.DOCX', false).matches('Größe.docx')).toBe(false);
  });

  it('end soon on names made to keep them busy', () => {
    const startedMs = performance.now();
    expect(compileGlob('*a'.repeat(100), false).matches('a'.repeat(99))).toBe(false);
    expect(compileGlob(`${'*a'.repeat(60)}b`, false).matches('a'.repeat(255))).toBe(false);
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  });
});

/** What POSIX leaves open: brackets that do not close, ranges at their ends, a last backslash. */
function isPortable(text: string): boolean {
  return /^(?:[abc.*?-]|\\[abc.*?]|\[!?[abc]+\])*$/.test(text);
}
