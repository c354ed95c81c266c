/** Runs libiscsi's conformance suite, and tells real passes from skips. */
import { run } from '../../fixtures/tools/index.ts';

export const TOOL = 'iscsi-test-cu';

export type Outcome = 'pass' | 'skip' | 'fail';

export interface TestResult {
  /** `Family.Suite.Test`. */
  readonly name: string;
  readonly outcome: Outcome;
  /** What the tool says of a skip. */
  readonly why: string;
}

const TIMEOUT_MS = 300_000;

/** @param urls two of them make the multipath tests run */
export async function conform(
  urls: readonly string[],
  options: readonly string[] = [],
): Promise<readonly TestResult[]> {
  const { stdout } = await run(TOOL, ['--verbose', ...options, ...urls], {
    timeoutMs: TIMEOUT_MS,
    accept: [0, 1],
  });
  return parseResults(stdout);
}

/**
 * Every test starts with `Test: NAME ...` and ends with a line that ends in its verdict. A skip is
 * counted as passed by the tool; here it is what it is.
 */
function parseResults(output: string): readonly TestResult[] {
  const results: TestResult[] = [];
  let suite = '';
  let test: { name: string; text: string } | undefined;
  const finish = (): void => {
    if (test !== undefined)
      results.push({ name: `${suite}.${test.name}`, ...verdictOf(test.text) });
    test = undefined;
  };
  for (const line of output.split('\n')) {
    const newSuite = /^Suite: (\S+)/.exec(line)?.[1];
    const newTest = /^\s+Test: (\S+)/.exec(line)?.[1];
    if (newSuite !== undefined || newTest !== undefined || line.startsWith('Run Summary')) finish();
    if (newSuite !== undefined) suite = newSuite;
    if (newTest !== undefined) test = { name: newTest, text: '' };
    if (test !== undefined) test.text += `${line}\n`;
  }
  finish();
  return results;
}

function verdictOf(text: string): { outcome: Outcome; why: string } {
  const failed = /FAILED\s*$/m.test(text.replaceAll(/\[FAILED\][^\n]*/g, ''));
  if (failed) return { outcome: 'fail', why: '' };
  const skipped = /\[SKIPPED\]([^\n]*)/.exec(text);
  if (skipped === null) return { outcome: 'pass', why: '' };
  return { outcome: 'skip', why: (skipped[1] ?? '').trim() };
}
