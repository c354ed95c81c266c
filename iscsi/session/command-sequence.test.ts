import { describe, expect, it } from 'vitest';
import { CommandSequence } from './command-sequence.ts';

describe('CommandSequence', () => {
  it('takes the next number, ignores what is outside the window, and sees a gap', () => {
    const sequence = new CommandSequence(10, 4);
    expect([sequence.expCmdSn, sequence.maxCmdSn]).toEqual([10, 13]);
    expect(sequence.accept(9, false)).toBe('ignore');
    expect(sequence.accept(14, false)).toBe('ignore');
    expect(sequence.accept(12, false)).toBe('gap');
    expect(sequence.accept(10, false)).toBe('take');
    expect(sequence.accept(10, false)).toBe('ignore');
    expect(sequence.accept(999, true)).toBe('take');
    expect(sequence.expCmdSn).toBe(11);
  });

  it('opens the window by completions, and never moves it back', () => {
    const sequence = new CommandSequence(0, 4);
    const seen = [sequence.maxCmdSn];
    for (let cmdSn = 0; cmdSn < 4; cmdSn += 1) {
      expect(sequence.accept(cmdSn, false)).toBe('take');
      sequence.begin();
      seen.push(sequence.maxCmdSn);
    }
    // Full: MaxCmdSN is ExpCmdSN - 1, and the next number is outside.
    expect(sequence.accept(4, false)).toBe('ignore');
    sequence.end();
    seen.push(sequence.maxCmdSn);
    expect(seen).toEqual([3, 3, 3, 3, 3, 4]);
    expect(sequence.accept(4, false)).toBe('take');
  });

  it('goes on over the end of 32 bits', () => {
    const sequence = new CommandSequence(0xfffffffe, 8);
    expect(sequence.maxCmdSn).toBe(5);
    for (const cmdSn of [0xfffffffe, 0xffffffff, 0, 1]) {
      expect(sequence.accept(cmdSn, false)).toBe('take');
    }
    expect(sequence.accept(0xffffffff, false)).toBe('ignore');
  });
});
