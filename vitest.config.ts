import { defineConfig } from 'vitest/config';

/** Tests of these kinds stand in test/KIND/; all others stand beside the code they test. */
const KINDS_WITH_A_FOLDER = ['tooling', 'golden', 'fuzz', 'e2e'] as const;

/**
 * End-to-end tests that bear company, two files at a time: what they start has ports and folders of its
 * own, and nothing in them is timed. The others start guests, or time what they see: one at a time.
 */
const COMMANDS_ONLY = [
  'test/e2e/{archive,cli,cli-increment,copy,copy-use,damage,diff*,every-image,files-*,history*}.test.ts',
  'test/e2e/{damage-service,kill,kill-disk-full,overlay-crash,overlay-identity,restore-points}.test.ts',
];

/** What one test, and one hook, may take. Machines of the build server are slow and shared. */
const TIMEOUT_MS = {
  unit: 20_000,
  tooling: 60_000,
  golden: 60_000,
  fuzz: 120_000,
  commands: 300_000,
  e2e: 300_000,
} as const;

const UNTESTED = ['**/node_modules/**', 'dist/**', '.cache/**'];

if (!process.version.startsWith('v24.')) {
  throw new Error(
    `tests run on Node 24, and this is ${process.version}: use "make test", or put node_modules/.bin first on PATH`,
  );
}

export default defineConfig({
  test: {
    pool: 'forks',
    execArgv: ['--disable-warning=ExperimentalWarning'],
    maxWorkers: 2,
    passWithNoTests: true,
    projects: [
      project(
        'unit',
        ['**/*.test.ts'],
        KINDS_WITH_A_FOLDER.map((kind) => `test/${kind}/**`),
      ),
      ...KINDS_WITH_A_FOLDER.map((kind) =>
        project(kind, [`test/${kind}/**/*.test.ts`], kind === 'e2e' ? COMMANDS_ONLY : []),
      ),
      project('commands', COMMANDS_ONLY, []),
    ],
  },
});

function project(name: keyof typeof TIMEOUT_MS, include: string[], exclude: string[]) {
  const timeoutMs = TIMEOUT_MS[name];
  return {
    extends: true as const,
    test: {
      name,
      include,
      exclude: [...UNTESTED, ...exclude],
      testTimeout: timeoutMs,
      hookTimeout: timeoutMs,
      teardownTimeout: 20_000,
    },
  };
}
