/** What one step of the test run found, and how it is written to a file between processes. */
import { readFileSync, writeFileSync } from 'node:fs';

export interface SkippedTest {
  /** `file > suite > test`, the text that test/permitted-skips.txt is matched against. */
  readonly name: string;
  readonly reason: string;
}

export interface StepReport {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly SkippedTest[];
  /** How long each test file took. */
  readonly files: readonly { readonly name: string; readonly durationMs: number }[];
}

export function writeReport(path: string, report: StepReport): void {
  writeFileSync(path, JSON.stringify(report));
}

/** The report in `path`, or undefined when the step ended before it wrote one. */
export function readReport(path: string): StepReport | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as StepReport;
  } catch {
    return undefined;
  }
}
