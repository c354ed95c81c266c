/**
 * Lint rules, and the import boundaries of docs/architecture.md as one table.
 * test/tooling/boundaries.test.ts proves that each boundary rule really fails on a violation.
 */
import { defineConfig } from 'oxlint';

/** Which top folders' doors (`index.ts`) a folder may import. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  'store-reader': ['core'],
  'store-writer': ['core', 'store-reader'],
  parsers: ['core'],
  vfs: ['core', 'parsers', 'store-reader'],
  iscsi: ['core'],
  server: ['core', 'store-reader', 'store-writer', 'parsers', 'vfs', 'iscsi'],
  cli: ['core', 'store-reader', 'store-writer', 'parsers', 'vfs', 'iscsi', 'server'],
  web: [],
  scripts: [],
};

const PRODUCT = Object.keys(MAY_IMPORT).filter((folder) => folder !== 'scripts');
const HARNESS = ['test', 'bench', 'demo', 'scripts'];

/** Parsers see bytes only. Whatever reaches a file, a network or a process is named here. */
const OUTSIDE_WORLD = [
  'child_process',
  'cluster',
  'dgram',
  'dns',
  'fs',
  'http',
  'http2',
  'https',
  'inspector',
  'module',
  'net',
  'os',
  'process',
  'sqlite',
  'tls',
  'vm',
  'wasi',
  'worker_threads',
];

interface Restriction {
  regex: string;
  message: string;
}

/** Paths that hide where they lead, and so would slip past the patterns below. */
const DEVIOUS: Restriction[] = [
  { regex: '^(/|file:)', message: 'Import by a relative path.' },
  { regex: String.raw`(^\.|[^./][^/]*)/(\.\.?/)`, message: 'Write the path without a detour.' },
  {
    regex: '^(module|node:module)$',
    message: 'createRequire and module hooks bypass the import boundaries.',
  },
];

function boundary(folder: string): Restriction[] {
  const allowed = MAY_IMPORT[folder] ?? [];
  const others = [...PRODUCT, ...HARNESS].filter((other) => other !== folder);
  return [
    ...DEVIOUS,
    ...others.map((other) => restriction(folder, other, allowed.includes(other))),
  ];
}

function restriction(folder: string, other: string, allowed: boolean): Restriction {
  if (allowed) return doorOnly(other);
  return {
    regex: String.raw`^(\.\./)+${other}(/|$)`,
    message: `${folder}/ must not import ${other}/ (see docs/architecture.md).`,
  };
}

function doorOnly(folder: string): Restriction {
  return {
    regex: String.raw`^(\.\./)+${folder}(/?$|/(${anythingBut('index.ts')})$)`,
    message: `Import ${folder}/ through its door, ${folder}/index.ts.`,
  };
}

/** A pattern for every text but `word`; the linter's expressions have no look-ahead. */
function anythingBut(word: string): string {
  const literal = (text: string): string => text.replaceAll('.', String.raw`\.`);
  const stops = [...word].map(
    (character, index) => `${literal(word.slice(0, index))}([^${character}].*)?`,
  );
  return [...stops, `${literal(word)}.+`].join('|');
}

function restrictedImports(patterns: Restriction[]): ['error', { patterns: Restriction[] }] {
  return ['error', { patterns }];
}

const parserRestrictions: Restriction[] = [
  ...boundary('parsers'),
  {
    regex: `^(node:)?(${OUTSIDE_WORLD.join('|')})(/|$)`,
    message: 'Parsers see bytes only: be handed a BlockSource or a FileOpener instead.',
  },
];

export default defineConfig({
  plugins: ['typescript', 'import', 'unicorn', 'oxc', 'promise', 'node', 'vitest'],
  categories: { correctness: 'error', suspicious: 'error' },
  ignorePatterns: ['**/node_modules/**', 'dist/**', '.cache/**'],
  rules: {
    'no-console': 'error',
    'no-restricted-imports': restrictedImports(DEVIOUS),
    'import/no-cycle': 'error',
    'unicorn/prefer-node-protocol': 'error',
    'typescript/await-thenable': 'error',
    'typescript/consistent-type-imports': ['error', { disallowTypeAnnotations: true }],
    'typescript/no-explicit-any': 'error',
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/no-non-null-assertion': 'error',
    'typescript/switch-exhaustiveness-check': 'error',
    // Sound code trips over these: narrowing an error's code, sorting one's own fresh array, …
    'oxc/no-async-endpoint-handlers': 'off', // Express 5 hands rejections to the error handler
    'promise/always-return': 'off',
    'typescript/no-misused-spread': 'off',
    'typescript/no-unnecessary-type-conversion': 'off', // what comes from outside may lie about its type
    'typescript/no-unsafe-type-assertion': 'off',
    'unicorn/consistent-function-scoping': 'off',
    'unicorn/no-array-sort': 'off',
    'unicorn/no-new-array': 'off',
    'unicorn/no-useless-spread': 'off', // one spread a line groups a command's options
    'unicorn/require-post-message-target-origin': 'off', // worker threads have no origin
    'vitest/expect-expect': 'off', // property and conformance tests assert inside helpers
    'vitest/no-conditional-expect': 'off',
    'vitest/no-standalone-expect': 'off', // nor in a class that a test drives
    'vitest/no-disabled-tests': 'off', // scripts/test.ts prints every skip and, in CI, permits few
    'vitest/no-focused-tests': 'error',
    eqeqeq: 'error',
    'max-lines': ['error', { max: 400 }],
    'max-lines-per-function': ['error', { max: 70 }],
    'no-var': 'error',
    'prefer-const': 'error',
  },
  overrides: [
    ...Object.keys(MAY_IMPORT).map((folder) => ({
      files: [`${folder}/**`],
      rules: { 'no-restricted-imports': restrictedImports(boundary(folder)) },
    })),
    {
      files: ['parsers/**'],
      rules: {
        'no-restricted-imports': restrictedImports(parserRestrictions),
        'no-restricted-globals': ['error', 'fetch', 'process', 'require', 'WebSocket'],
      },
    },
    {
      // Tests, wherever they stand, and the harness may open any door, and use the test folder.
      files: ['**/*.test.ts', ...HARNESS.filter((f) => f !== 'scripts').map((f) => `${f}/**`)],
      rules: {
        'no-restricted-imports': restrictedImports([...DEVIOUS, ...PRODUCT.map(doorOnly)]),
        'no-restricted-globals': 'off',
        'max-lines-per-function': 'off', // a describe block is a function
      },
    },
    {
      files: ['cli/**', 'server/**', 'scripts/**', 'bench/**', 'demo/**'],
      rules: { 'no-console': 'off' },
    },
  ],
});
