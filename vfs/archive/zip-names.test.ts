import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { isRestoreError, nameFromBytes } from '../../core/index.ts';
import { ZipNames } from './zip-names.ts';

/** As Windows and macOS compare names. */
function folded(name: string): string {
  return name.normalize('NFC').toUpperCase().toLowerCase();
}

function namesFor(names: readonly string[]): string[] {
  const zip = new ZipNames();
  zip.pathOf(['d'], true);
  return names.map((name) => zip.pathOf(['d', name], false));
}

/** Every way to write a name in capitals and small letters, up to `count` of them. */
function casesOf(length: number, count: number): string[] {
  return Array.from({ length: count }, (_, number) =>
    Array.from({ length }, (__, bit) => (((number >> bit) & 1) === 1 ? 'A' : 'a')).join(''),
  );
}

describe('names for a zip archive', () => {
  it.each([
    ['one name many times', Array.from({ length: 20_000 }, () => 'same')],
    ['one long name in many cases', casesOf(250, 20_000)],
    ['names made to be in the way', ['a', 'A', '%61', '%2561', 'a%~2', 'A%~2', 'a', 'A', 'a']],
    ['accents', ['é', 'e\u0301', 'É', 'E\u0301', 'é', 'e\u0301']],
    ['bytes that are no text', ['é', nameFromBytes(Buffer.from([0xff])), '%FF', '\udcc3\udca9']],
  ])('are all different where case does not count: %s', (_, names) => {
    const safe = namesFor(names);
    expect(new Set(safe.map(folded)).size).toBe(names.length);
  });

  it('take work that grows with their number alone', () => {
    const took = (count: number): number => {
      const names = casesOf(250, count);
      const startedMs = performance.now();
      namesFor(names);
      return performance.now() - startedMs;
    };
    const few = Math.min(took(2_500), took(2_500));
    // Eight times as many; each against all others would be 64 times the work.
    expect(took(20_000) / few).toBeLessThan(24);
  });

  it.each([
    ['..', '.%2E'],
    ['con.txt', '%63on.txt'],
    ['a/b', 'a%2Fb'],
    ['C:evil', 'C%3Aevil'],
    ['dot.', 'dot%2E'],
    ['\\\\server\\share', '%5C%5Cserver%5Cshare'],
    ['\u202egnp.exe', '%E2%80%AEgnp.exe'],
    ['100%25', '100%2525'],
  ])('are no paths, devices or escapes: %s', (name, expected) => {
    expect(namesFor([name])).toEqual([`d/${expected}`]);
  });

  it('are refused when no archive can hold them', () => {
    const zip = new ZipNames();
    const path: string[] = [];
    let failure: unknown;
    try {
      for (let depth = 0; depth < 300; depth += 1) {
        path.push('x'.repeat(250));
        zip.pathOf(path, true);
      }
    } catch (error) {
      failure = error;
    }
    expect(isRestoreError(failure, 'UNSUPPORTED')).toBe(true);
    expect(path.length).toBeGreaterThan(250);
  });

  it('are what Python, too, takes for no two of a kind', (context) => {
    const names = namesFor(['ß', 'SS', 'ss', 'ſ', 's', 'S', 'K', 'K', 'k']);
    const script =
      'import sys,unicodedata as u; n=sys.stdin.read().split("\\n"); print(len({u.normalize("NFC",x).casefold() for x in n}))';
    const { stdout, error } = spawnSync('/usr/bin/python3', ['-c', script], {
      input: names.join('\n'),
    });
    context.skip(error !== undefined, 'python3 is not installed');
    expect(Number(stdout.toString())).toBe(names.length);
  });
});
