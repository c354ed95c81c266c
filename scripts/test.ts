/**
 * Runs every check and every test, prints each skip with its reason and, as the last line,
 * `N passed, N failed, N skipped`. Exits with 1 when anything failed; in CI (CI=true) also when a
 * test was skipped that test/permitted-skips.txt does not list.
 *
 *   node scripts/test.ts [GROUP…]     groups: checks tooling unit golden fuzz commands e2e
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parsePermittedSkips, unpermitted } from './test/permitted-skips.ts';
import type { StepReport } from './test/report.ts';
import { runStep } from './test/run-step.ts';
import { GROUPS, RUN_TIMEOUT_MS, STEPS, type Step } from './test/steps.ts';

const SLOWEST_FILES = 10;
const PERMITTED_SKIPS = 'test/permitted-skips.txt';

process.chdir(path.join(import.meta.dirname, '..'));
process.exitCode = await main(process.argv.slice(2));

async function main(groups: readonly string[]): Promise<number> {
  const unknown = groups.find((group) => !GROUPS.some((known) => known === group));
  if (unknown !== undefined) {
    console.error(`unknown group ${unknown}; known: ${GROUPS.join(' ')}`);
    return 2;
  }
  const steps = STEPS.filter((step) => groups.length === 0 || groups.includes(step.group));
  const folder = mkdtempSync(path.join(tmpdir(), 'rehydrate-test-'));
  try {
    return conclude(await runAll(steps, folder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runAll(steps: readonly Step[], folder: string): Promise<StepReport> {
  const deadlineMs = Date.now() + RUN_TIMEOUT_MS;
  const reports: StepReport[] = [];
  for (const step of steps) {
    const timeoutMs = Math.max(1, Math.min(step.timeoutMs, deadlineMs - Date.now()));
    reports.push(await runStep(step, timeoutMs, folder));
  }
  return {
    passed: sum(reports.map((report) => report.passed)),
    failed: sum(reports.map((report) => report.failed)),
    skipped: reports.flatMap((report) => report.skipped),
    files: reports.flatMap((report) => report.files),
  };
}

/** Prints the end of the run and returns the exit status. */
function conclude(total: StepReport): number {
  printSlowest(total);
  for (const skip of total.skipped) console.log(`skipped: ${skip.name}: ${skip.reason}`);
  const forbidden = process.env.CI === 'true' ? unpermittedSkips(total) : [];
  for (const skip of forbidden) {
    console.log(`FAILED: ${skip.name} must not be skipped here (${PERMITTED_SKIPS})`);
  }
  const failed = total.failed + forbidden.length;
  const skipped = total.skipped.length - forbidden.length;
  console.log(`${total.passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 && total.passed > 0 ? 0 : 1;
}

function unpermittedSkips(total: StepReport): ReturnType<typeof unpermitted> {
  const text = existsSync(PERMITTED_SKIPS) ? readFileSync(PERMITTED_SKIPS, 'utf8') : '';
  return unpermitted(total.skipped, parsePermittedSkips(text));
}

function printSlowest(total: StepReport): void {
  const slowest = [...total.files].sort((left, right) => right.durationMs - left.durationMs);
  if (slowest.length > 0) console.log('\nslowest test files:');
  for (const file of slowest.slice(0, SLOWEST_FILES)) {
    console.log(`${(file.durationMs / 1000).toFixed(1).padStart(8)} s  ${file.name}`);
  }
  console.log('');
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((left, right) => left + right, 0);
}
