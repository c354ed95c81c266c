/**
 * Counts a vitest run into the file that REHYDRATE_TEST_REPORT names.
 *
 * Beside failed tests it counts, as one failure each, what vitest reports outside any test: a file
 * that does not load, a hook that throws (its tests never ran), an error nobody handled.
 */
import type { TestCase, TestModule, TestSuite } from 'vitest/node';
import { type SkippedTest, type StepReport, writeReport } from './report.ts';

interface UnhandledError {
  readonly message?: string;
}

/** A vitest reporter; vitest makes one from this file's default export. */
export default class CountingReporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly UnhandledError[]): void {
    const path = process.env.REHYDRATE_TEST_REPORT;
    if (path !== undefined) writeReport(path, summarise(modules, unhandled.length));
  }
}

function summarise(modules: readonly TestModule[], unhandledErrors: number): StepReport {
  let passed = 0;
  let failed = unhandledErrors;
  const skipped: SkippedTest[] = [];
  for (const module of modules) {
    failed += module.errors().length;
    for (const suite of module.children.allSuites()) failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') passed += 1;
      else if (state === 'skipped') skipped.push(describeSkip(module, test));
      else failed += 1; // failed, or never finished
    }
  }
  const files = modules.map((module) => ({
    name: module.relativeModuleId,
    durationMs: Math.round(module.diagnostic().duration),
  }));
  return { passed, failed, skipped, files };
}

function describeSkip(module: TestModule, test: TestCase): SkippedTest {
  const result = test.result();
  const note = result.state === 'skipped' ? result.note : undefined;
  return {
    name: `${module.relativeModuleId} > ${test.fullName}`,
    reason: note ?? (hasFailedHook(test) ? 'its set-up failed' : 'no reason given'),
  };
}

function hasFailedHook(test: TestCase): boolean {
  for (let parent: TestSuite | TestModule = test.parent; ; parent = parent.parent) {
    if (parent.errors().length > 0) return true;
    if (parent.type === 'module') return false;
  }
}
