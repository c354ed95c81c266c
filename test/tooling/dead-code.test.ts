/** Proves that the dead-code check fails on dead code, and passes where there is none. */
import { expect, it } from 'vitest';
import { FixtureTree } from './fixture-tree.ts';

const LIVE = {
  'package.json': '{ "name": "fixture", "type": "module" }',
  'cli/main.ts': "import { used } from '../core/index.ts';\nused();\n",
  'core/index.ts': "export { used } from './thing.ts';\n",
  'core/thing.ts': 'export function used(): void {}\n',
  'core/decode-worker.ts': 'process.exit();\n',
  'server/target-process.ts': 'process.exit();\n',
  'core/thing.test.ts': "import { used } from './thing.ts';\nused();\n",
};

const DEAD = [
  [
    'an unused export',
    'core/thing.ts',
    `${LIVE['core/thing.ts']}export const unused = 1;\n`,
    'unused',
  ],
  ['an unused file', 'core/orphan.ts', 'export {};\n', 'core/orphan.ts'],
  [
    'a name that only the door passes on',
    'core/index.ts',
    `${LIVE['core/index.ts']}export { unused } from './thing.ts';\nexport const idle = 1;\n`,
    'idle',
  ],
  [
    'a dependency nobody imports',
    'package.json',
    '{ "name": "fixture", "type": "module", "dependencies": { "zod": "4" } }',
    'zod',
  ],
] as const;

function knipOn(files: Readonly<Record<string, string>>): {
  status: number | null;
  output: string;
} {
  using tree = new FixtureTree(['knip.json', 'tsconfig.json']);
  for (const [name, text] of Object.entries(files)) tree.write(name, text);
  const result = tree.runTool('knip', ['--no-progress']);
  return { status: result.status, output: result.stdout + result.stderr };
}

it('passes a tree without dead code', () => {
  expect(knipOn(LIVE)).toMatchObject({ status: 0 });
});

it.each(DEAD)('fails on %s', (_what, file, text, name) => {
  const result = knipOn({ ...LIVE, [file]: text });
  expect(result.status).toBe(1);
  expect(result.output).toContain(name);
});
