/**
 * Proves that the linter fails on each deliberate violation, and passes what is allowed.
 *
 * The tables here are written from docs/architecture.md, on purpose not read from
 * oxlint.config.ts: a mistake there must not hide itself.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FixtureTree } from './fixture-tree.ts';

const FOLDERS = [
  'core',
  'store-reader',
  'store-writer',
  'parsers',
  'vfs',
  'iscsi',
  'server',
  'cli',
  'web',
] as const;
type Folder = (typeof FOLDERS)[number];

const ALLOWED: Readonly<Record<Folder, readonly Folder[]>> = {
  core: [],
  'store-reader': ['core'],
  'store-writer': ['core', 'store-reader'],
  parsers: ['core'],
  vfs: ['core', 'parsers', 'store-reader'],
  iscsi: ['core'],
  server: ['core', 'store-reader', 'store-writer', 'parsers', 'vfs', 'iscsi'],
  cli: ['core', 'store-reader', 'store-writer', 'parsers', 'vfs', 'iscsi', 'server'],
  web: [],
};

const NOT_FOR_PARSERS = [
  'node:fs',
  'node:fs/promises',
  'node:net',
  'node:http',
  'node:https',
  'node:tls',
  'node:dgram',
  'node:dns',
  'node:child_process',
  'node:worker_threads',
  'node:sqlite',
  'node:process',
  'node:os',
  'node:vm',
  'fs',
  'fs/promises',
  'net',
  'child_process',
];

interface Case {
  readonly file: string;
  readonly source: string;
  /** The rule that must report it; undefined: nothing may. */
  readonly rule: string | undefined;
}

const BOUNDARY = 'eslint(no-restricted-imports)';
const cases: Case[] = [];

function violation(file: string, source: string, rule: string = BOUNDARY): void {
  cases.push({ file, source, rule });
}

function allowed(file: string, source: string): void {
  cases.push({ file, source, rule: undefined });
}

function importing(specifier: string): string {
  return `import { thing } from '${specifier}';\nexport const used: unknown = thing;\n`;
}

for (const folder of FOLDERS) {
  allowed(`${folder}/index.ts`, 'export const thing = 1;\n');
  for (const other of FOLDERS.filter((name) => name !== folder)) {
    if (ALLOWED[folder].includes(other)) {
      allowed(`${folder}/door-of-${other}.ts`, importing(`../${other}/index.ts`));
      allowed(`${folder}/a/b/door-of-${other}.ts`, importing(`../../../${other}/index.ts`));
      violation(`${folder}/inside-${other}.ts`, importing(`../${other}/inner.ts`));
      violation(`${folder}/a/inside-${other}.ts`, importing(`../../${other}/inner/index.ts`));
    } else {
      violation(`${folder}/takes-${other}.ts`, importing(`../${other}/index.ts`));
      violation(`${folder}/a/b/takes-${other}.ts`, importing(`../../../${other}/inner.ts`));
    }
  }
  for (const harness of ['test', 'bench', 'demo', 'scripts']) {
    violation(`${folder}/takes-${harness}.ts`, importing(`../${harness}/thing.ts`));
  }
  allowed(`${folder}/a/c/sibling.ts`, importing('../../index.ts'));
  allowed(`${folder}/beside.test.ts`, importing('../test/conformance/suite.ts'));
  violation(`${folder}/inside.test.ts`, importing('../iscsi/inner.ts'));
}

for (const name of NOT_FOR_PARSERS) {
  const file = `parsers/outside-${name.replaceAll(/[:/]/g, '-')}.ts`;
  violation(file, importing(name));
}
allowed('parsers/zlib.ts', importing('node:zlib'));
allowed('parsers/reads-a-fixture.test.ts', importing('node:fs'));
violation(
  'parsers/fetches.ts',
  "export const page: unknown = fetch('x');\n",
  'eslint(no-restricted-globals)',
);

// Every form of import, not just the common one.
violation(
  'core/form-type.ts',
  "import type { thing } from '../iscsi/index.ts';\nexport type T = thing;\n",
);
violation('core/form-export.ts', "export { thing } from '../iscsi/index.ts';\n");
violation('core/form-star.ts', "export * from '../iscsi/index.ts';\n");
violation('core/form-bare.ts', "import '../iscsi/index.ts';\n");
violation(
  'core/form-dynamic.ts',
  "export const thing: unknown = await import('../iscsi/index.ts');\n",
);
violation(
  'core/form-type-query.ts',
  "export type T = import('../iscsi/index.ts').T;\n",
  'typescript(consistent-type-imports)',
);
violation('core/detour-1.ts', importing('./../iscsi/index.ts'));
violation('core/detour-2.ts', importing('./a/../../iscsi/index.ts'));
violation('core/detour-3.ts', importing('../core/../iscsi/index.ts'));
violation('core/absolute.ts', importing('/iscsi/index.ts'));
violation('core/file-url.ts', importing('file:///iscsi/index.ts'));
violation('core/require.ts', importing('node:module'));
violation('scripts/takes-core.ts', importing('../core/index.ts'));
violation('bench/inside.ts', importing('../core/inner.ts'));
violation('demo/inside.ts', importing('../store-writer/inner.ts'));
violation('test/e2e/inside.ts', importing('../../cli/inner.ts'));
allowed('bench/door.ts', importing('../core/index.ts'));
allowed('demo/door.ts', importing('../store-writer/index.ts'));
allowed('test/e2e/door.ts', importing('../../cli/index.ts'));
allowed('test/e2e/conformance.ts', importing('../conformance/suite.ts'));
allowed('test/conformance/suite.ts', 'export const thing = 1;\n');

// Rules that the project leans on elsewhere.
violation('core/cycle-a.ts', importing('./cycle-b.ts'), 'import(no-cycle)');
cases.push({
  file: 'core/cycle-b.ts',
  source: "import { used } from './cycle-a.ts';\nexport const thing: unknown = used;\n",
  rule: 'import(no-cycle)',
});
const PROMISE = 'async function work(): Promise<void> {}\n';
violation(
  'core/floating.ts',
  `${PROMISE}export function f(): void {\n  work();\n}\n`,
  'typescript(no-floating-promises)',
);
violation(
  'core/misused.ts',
  `${PROMISE}export const f = (): number => (work() ? 1 : 2);\n`,
  'typescript(no-misused-promises)',
);
violation(
  'core/thenable.ts',
  'export const value: number = await 1;\n',
  'typescript(await-thenable)',
);
violation(
  'core/switch.ts',
  "export function f(x: 'a' | 'b'): number {\n  switch (x) {\n    case 'a':\n      return 1;\n  }\n  return 2;\n}\n",
  'typescript(switch-exhaustiveness-check)',
);
violation('core/any.ts', 'export const value: any = 1;\n', 'typescript(no-explicit-any)');
violation(
  'core/talks.ts',
  "export const value: unknown = console.log('x');\n",
  'eslint(no-console)',
);
allowed('cli/talks.ts', "export const value: unknown = console.log('x');\n");
violation('core/long.ts', `export {};\n${'// line\n'.repeat(400)}`, 'eslint(max-lines)');
violation(
  'core/long-function.ts',
  `export function f(): number {\n  let x = 0;\n${'  x += 1;\n'.repeat(69)}  return x;\n}\n`,
  'eslint(max-lines-per-function)',
);
violation(
  'core/only.test.ts',
  "import { it } from 'vitest';\nit.only('x', () => {});\n",
  'vitest(no-focused-tests)',
);

interface Diagnostic {
  readonly filename: string;
  readonly code: string;
}

describe('lint', () => {
  const tree = new FixtureTree(['oxlint.config.ts', 'tsconfig.json', 'package.json']);
  const reported = new Map<string, string[]>();
  let status: number | null = null;

  beforeAll(() => {
    for (const { file, source } of cases) tree.write(file, source);
    const lint = ['--type-aware', '--deny-warnings', '--format=json'];
    const result = tree.runTool('oxlint', lint);
    status = result.status;
    const { diagnostics } = JSON.parse(result.stdout) as { diagnostics: Diagnostic[] };
    for (const { filename, code } of diagnostics) {
      reported.set(filename, [...(reported.get(filename) ?? []), code]);
    }
  });
  afterAll(() => tree[Symbol.dispose]());

  it('exits non-zero on violations', () => {
    expect(status).toBe(1);
  });

  it('writes each fixture once', () => {
    expect(new Set(cases.map(({ file }) => file)).size).toBe(cases.length);
  });

  describe('fails on', () => {
    const violations = cases.filter(({ rule }) => rule !== undefined);
    it.each(violations)('$file', ({ file, rule }) => {
      expect(reported.get(file) ?? []).toContain(rule);
    });
  });

  describe('passes', () => {
    const clean = cases.filter(({ rule }) => rule === undefined);
    it.each(clean)('$file', ({ file }) => {
      expect(reported.get(file) ?? []).toEqual([]);
    });
  });

  it('exits with zero on a tree of allowed imports only', () => {
    using clean = new FixtureTree(['oxlint.config.ts', 'tsconfig.json', 'package.json']);
    for (const { file, source, rule } of cases) if (rule === undefined) clean.write(file, source);
    const result = clean.runTool('oxlint', ['--type-aware', '--deny-warnings']);
    expect(result).toMatchObject({ status: 0 });
    expect(result.stdout).toMatch(/on [1-9]\d+ files/);
  });
});
