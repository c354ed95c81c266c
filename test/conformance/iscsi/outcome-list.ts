/** The committed outcomes of a profile: one line a test, in the tool's order. */
import { readFileSync } from 'node:fs';
import type { Outcome, TestResult } from './tool.ts';

const HEADER = 'test\toutcome\twhy';

export function readList(path: string): readonly TestResult[] {
  const [header, ...lines] = readFileSync(path, 'utf8').trimEnd().split('\n');
  if (header !== HEADER) throw new Error(`${path} does not start with: ${HEADER}`);
  return lines.map((line) => {
    const [name = '', outcome = '', why = ''] = line.split('\t');
    return { name, outcome: outcome as Outcome, why };
  });
}

/** Known reasons stay: for a failure nobody but us can tell it. */
export function formatList(results: readonly TestResult[], known: readonly TestResult[]): string {
  const reasons = new Map(known.map(({ name, why }) => [name, why]));
  const lines = results.map(
    ({ name, outcome, why }) =>
      `${name}\t${outcome}\t${why === '' ? (reasons.get(name) ?? '') : why}`,
  );
  return `${[HEADER, ...lines].map((line) => line.trimEnd()).join('\n')}\n`;
}

/** Every test whose outcome is another than committed, or that only one side has. */
export function differences(
  expected: readonly TestResult[],
  found: readonly TestResult[],
): readonly string[] {
  const wanted = countedOutcomes(expected);
  const seen = countedOutcomes(found);
  const names = new Set([...wanted.keys(), ...seen.keys()]);
  return [...names]
    .filter((name) => wanted.get(name) !== seen.get(name))
    .map(
      (name) => `${name}: ${wanted.get(name) ?? 'absent'} expected, ${seen.get(name) ?? 'absent'}`,
    );
}

/** Families share tests: each is counted as often as it runs. */
function countedOutcomes(results: readonly TestResult[]): ReadonlyMap<string, string> {
  const outcomes = new Map<string, string>();
  for (const { name, outcome } of results) {
    const before = outcomes.get(name);
    outcomes.set(name, before === undefined ? outcome : `${before}, ${outcome}`);
  }
  return outcomes;
}

export function countOf(results: readonly TestResult[], outcome: Outcome): number {
  return results.filter((result) => result.outcome === outcome).length;
}
