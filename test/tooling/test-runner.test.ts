/** The runner of `make test`: what it counts, and when it fails. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parsePermittedSkips, unpermitted } from '../../scripts/test/permitted-skips.ts';
import type { StepReport } from '../../scripts/test/report.ts';
import { FixtureTree } from './fixture-tree.ts';

const RUNNER = [
  'scripts/test.ts',
  'scripts/test/permitted-skips.ts',
  'scripts/test/report.ts',
  'scripts/test/run-step.ts',
  'scripts/test/steps.ts',
  'scripts/test/vitest-reporter.ts',
  'vitest.config.ts',
  'package.json',
];

const IMPORT = "import { beforeAll, describe, expect, it } from 'vitest';\n";
const TESTS = {
  'core/passes.test.ts': `${IMPORT}it('a', () => {});\nit('b', () => {});\n`,
  'core/fails.test.ts': `${IMPORT}it('c', () => {\n  expect(1).toBe(2);\n});\nit('d', () => {});\n`,
  'core/skips.test.ts': `${IMPORT}it('e', (context) => context.skip('no tape drive'));\n`,
  'core/hook.test.ts': `${IMPORT}describe('f', () => {\n  beforeAll(() => {\n    throw new Error('x');\n  });\n  it('g', () => {});\n});\n`,
  'core/load.test.ts': "throw new Error('does not load');\n",
  'core/late.test.ts': `${IMPORT}it('h', () => {\n  void Promise.reject(new Error('nobody waits for this'));\n});\n`,
} as const;

function runnerOn(
  names: readonly (keyof typeof TESTS)[],
  environment: Readonly<Record<string, string>> = {},
): { status: number | null; lines: string[] } {
  using tree = new FixtureTree(RUNNER);
  for (const name of names) tree.write(name, TESTS[name]);
  tree.write('test/permitted-skips.txt', environment.PERMITTED ?? '');
  const result = tree.run(process.execPath, ['scripts/test.ts', 'unit'], {
    CI: '',
    ...environment,
  });
  return { status: result.status, lines: result.stdout.trimEnd().split('\n') };
}

describe('make test', () => {
  it('passes when all pass, and its last line says so', () => {
    const { status, lines } = runnerOn(['core/passes.test.ts']);
    expect(lines.at(-1)).toBe('2 passed, 0 failed, 0 skipped');
    expect(status).toBe(0);
  });

  it('fails on a failed test', () => {
    const { status, lines } = runnerOn(['core/passes.test.ts', 'core/fails.test.ts']);
    expect(lines.at(-1)).toBe('3 passed, 1 failed, 0 skipped');
    expect(status).toBe(1);
  });

  it('fails on a file that does not load, a failed hook, and an error nobody handled', () => {
    expect(runnerOn(['core/load.test.ts'])).toMatchObject({ status: 1 });
    expect(runnerOn(['core/load.test.ts']).lines.at(-1)).toBe('0 passed, 1 failed, 0 skipped');
    expect(runnerOn(['core/hook.test.ts']).lines.at(-1)).toBe('0 passed, 1 failed, 1 skipped');
    expect(runnerOn(['core/late.test.ts']).lines.at(-1)).toBe('1 passed, 1 failed, 0 skipped');
  });

  it('fails when nothing ran', () => {
    expect(runnerOn([])).toMatchObject({ status: 1 });
  });

  it('refuses an unknown group', () => {
    using tree = new FixtureTree(RUNNER);
    expect(tree.run(process.execPath, ['scripts/test.ts', 'nonsense']).status).toBe(2);
  });

  it('prints a skip with its reason, and lets it pass on a workstation', () => {
    const { status, lines } = runnerOn(['core/passes.test.ts', 'core/skips.test.ts']);
    expect(lines).toContain('skipped: core/skips.test.ts > e: no tape drive');
    expect(lines.at(-1)).toBe('2 passed, 0 failed, 1 skipped');
    expect(status).toBe(0);
  });

  it('fails on the build server for a skip that is not listed, and only then', () => {
    const files = ['core/passes.test.ts', 'core/skips.test.ts'] as const;
    const bare = runnerOn(files, { CI: 'true' });
    expect(bare.lines.at(-1)).toBe('2 passed, 1 failed, 0 skipped');
    expect(bare.status).toBe(1);
    const listed = runnerOn(files, { CI: 'true', PERMITTED: 'core/skips.test.ts > *: no tape*\n' });
    expect(listed.lines.at(-1)).toBe('2 passed, 0 failed, 1 skipped');
    expect(listed.status).toBe(0);
  });
});

describe('the counting reporter', () => {
  it('lists the files it ran, and how long each took', () => {
    using tree = new FixtureTree(RUNNER);
    tree.write('core/passes.test.ts', TESTS['core/passes.test.ts']);
    const reporter = '--reporter=./scripts/test/vitest-reporter.ts';
    tree.runTool('vitest', ['run', reporter], { REHYDRATE_TEST_REPORT: tree.path('report.json') });
    const report = JSON.parse(readFileSync(tree.path('report.json'), 'utf8')) as StepReport;
    expect(report).toMatchObject({ passed: 2, failed: 0, skipped: [] });
    expect(report.files.map(({ name }) => name)).toEqual(['core/passes.test.ts']);
    expect(report.files[0]?.durationMs).toBeGreaterThanOrEqual(0);
  });
});

describe('permitted skips', () => {
  const skip = { name: 'test/e2e/a.test.ts > boots', reason: 'qemu (x86) is absent' };

  it.each([
    ['test/e2e/a.test.ts > boots: qemu (x86) is absent', true],
    ['test/e2e/a.test.ts > *: qemu * is absent', true],
    ['test/e2e/a.test.ts > boots', false],
    ['boots: qemu (x86) is absent', false],
    ['test.e2e.a.test.ts > boots: qemu (x86) is absent', false],
    ['# test/e2e/a.test.ts > boots: qemu (x86) is absent', false],
    ['', false],
  ])('%j permits: %s', (line, isPermitted) => {
    expect(unpermitted([skip], parsePermittedSkips(line))).toEqual(isPermitted ? [] : [skip]);
  });
});
