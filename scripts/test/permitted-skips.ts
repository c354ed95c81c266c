/** test/permitted-skips.txt: which tests the build server may skip. */
import type { SkippedTest } from './report.ts';

export interface PermittedSkip {
  /** Matched against `file > suite > test: reason`; `*` stands for any text. */
  readonly pattern: string;
  readonly lineNumber: number;
}

/** Reads the list: one pattern a line; blank lines and lines that start with `#` say why. */
export function parsePermittedSkips(text: string): PermittedSkip[] {
  return text
    .split('\n')
    .map((line, index) => ({ pattern: line.trim(), lineNumber: index + 1 }))
    .filter(({ pattern }) => pattern !== '' && !pattern.startsWith('#'));
}

/** The skips that no pattern of the list covers. */
export function unpermitted(
  skips: readonly SkippedTest[],
  permitted: readonly PermittedSkip[],
): SkippedTest[] {
  const expressions = permitted.map(({ pattern }) => toExpression(pattern));
  return skips.filter((skip) => {
    const text = `${skip.name}: ${skip.reason}`;
    return !expressions.some((expression) => expression.test(text));
  });
}

function toExpression(pattern: string): RegExp {
  const parts = pattern
    .split('*')
    .map((part) => part.replace(/[$()+.?[\\\]^{|}]/g, String.raw`\$&`));
  return new RegExp(`^${parts.join('.*')}$`, 's');
}
