/** Runs one step of the test run in a process group of its own, bounded in time. */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { readReport, type StepReport } from './report.ts';
import type { Step } from './steps.ts';

/** How long a step that was asked to end may take before it is killed. */
const GRACE_MS = 5000;

const running = new Set<ChildProcess>();
let isInterrupted = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    isInterrupted = true;
    for (const child of running) signalGroup(child, signal);
    setTimeout(() => process.exit(1), GRACE_MS).unref();
  });
}

/** Runs `step` and says how it went; a step that ends without a report counts as one failure. */
export async function runStep(step: Step, timeoutMs: number, folder: string): Promise<StepReport> {
  const reportPath = path.join(folder, `${step.name.replaceAll(' ', '-')}.json`);
  if (isInterrupted) return wholeStep(false);
  console.log(`\n== ${step.name}: ${step.command.join(' ')}`);
  const startedMs = Date.now();
  const outcome = await run(step.command, timeoutMs, reportPath);
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(1);
  console.log(`== ${step.name}: ${outcome === 'ok' ? 'ok' : `FAILED (${outcome})`}, ${seconds} s`);
  if (step.kind === 'check') return wholeStep(outcome === 'ok');
  return testReport(readReport(reportPath), outcome);
}

/** Vitest's own counts, plus one failure when it failed and no test accounts for it. */
function testReport(report: StepReport | undefined, outcome: string): StepReport {
  if (report === undefined) return wholeStep(false);
  if (outcome === 'ok' || report.failed > 0) return report;
  return { ...report, failed: 1 };
}

function wholeStep(isPassed: boolean): StepReport {
  return { passed: isPassed ? 1 : 0, failed: isPassed ? 0 : 1, skipped: [], files: [] };
}

/** `ok`, or in a few words what went wrong. */
async function run(
  command: Step['command'],
  timeoutMs: number,
  reportPath: string,
): Promise<string> {
  const [program, ...options] = command;
  const binaries = path.resolve('node_modules/.bin');
  const child = spawn(path.join(binaries, program), options, {
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true, // a group of its own, so that a time-out ends the step's children too
    env: {
      ...process.env,
      PATH: `${binaries}${path.delimiter}${process.env.PATH ?? ''}`,
      REHYDRATE_TEST_REPORT: reportPath,
    },
  });
  running.add(child);
  let isLate = false;
  const timers = [
    setTimeout(() => {
      isLate = true;
      signalGroup(child, 'SIGTERM');
    }, timeoutMs),
    setTimeout(() => signalGroup(child, 'SIGKILL'), timeoutMs + GRACE_MS),
  ];
  const ended = await exitOf(child);
  for (const timer of timers) clearTimeout(timer);
  running.delete(child);
  return isLate ? `ended after ${timeoutMs / 1000} s` : ended;
}

async function exitOf(child: ChildProcess): Promise<string> {
  return await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(code === 0 ? 'ok' : `exit ${code ?? signal}`));
  });
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended already.
  }
}
