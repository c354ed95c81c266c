import { describe, expect, it } from 'vitest';
import { foldName } from './fold.ts';

describe('folded names', () => {
  // Pairs of Unicode's CaseFolding.txt (full folding) and of canonical equivalence.
  it.each([
    ['README', 'readme'],
    ['Straße', 'STRASSE'],
    ['ẞ', 'ss'],
    ['ΣΊΣΥΦΟΣ', 'σίσυφος'],
    ['café', 'CAFE\u0301'],
    ['\u212a', 'k'],
    ['ﬁle', 'FILE'],
    ['Ꭰ', 'ꭰ'],
    ['a\u00adb', 'AB'],
    ['\u1e9b\u0323', '\u1e9b\u0323'],
  ])('%j is %j', (left, right) => {
    expect(foldName(left)).toBe(foldName(right));
  });

  it.each([
    ['ı', 'i'],
    ['a', 'ä'],
    ['ﬁ', 'f'],
  ])('%j is not %j', (left, right) => {
    expect(foldName(left)).not.toBe(foldName(right));
  });

  it('leaves names that are no text alone', () => {
    expect(foldName('A\udcff')).toBe('A\udcff');
  });
});
