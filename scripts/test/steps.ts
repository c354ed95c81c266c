/** The steps of `make test`, in the order they run: the quick and telling ones first. */

export interface Step {
  readonly name: string;
  /** The group it belongs to; scripts/test.ts runs the groups it is asked for. */
  readonly group: Group;
  /** The program in node_modules/.bin and its arguments. */
  readonly command: readonly [string, ...string[]];
  /** A step that takes longer is ended and counts as a failure. */
  readonly timeoutMs: number;
  /** `check`: passed or failed as a whole; `vitest`: counts its own tests. */
  readonly kind: 'check' | 'vitest';
}

export const GROUPS = ['checks', 'tooling', 'unit', 'golden', 'fuzz', 'commands', 'e2e'] as const;
export type Group = (typeof GROUPS)[number];

/** A whole run must end within this. */
export const RUN_TIMEOUT_MS = 24 * 60_000;

export const STEPS: readonly Step[] = [
  check('typecheck', 3, 'tsc', '-p', 'tsconfig.json'),
  check('lint and import boundaries', 3, 'oxlint', '--type-aware', '--deny-warnings'),
  check('format', 1, 'biome', 'format'),
  check('dead code', 3, 'knip'),
  tests('unit', 8, '--maxWorkers=2'),
  tests('tooling', 5, '--maxWorkers=2'),
  tests('golden', 8, '--maxWorkers=2'),
  tests('fuzz', 8, '--maxWorkers=2'),
  tests('commands', 12, '--maxWorkers=2'),
  // One file at a time: each starts services and guests of its own, and measures them.
  tests('e2e', 15, '--maxWorkers=1'),
];

function check(name: string, minutes: number, ...command: [string, ...string[]]): Step {
  return { name, group: 'checks', command, timeoutMs: minutes * 60_000, kind: 'check' };
}

function tests(group: Group, minutes: number, ...options: string[]): Step {
  const reporters = ['--reporter=default', '--reporter=./scripts/test/vitest-reporter.ts'];
  return {
    name: group,
    group,
    command: ['vitest', 'run', `--project=${group}`, ...reporters, ...options],
    timeoutMs: minutes * 60_000,
    kind: 'vitest',
  };
}
