/** House rules that no linter knows. They look at tracked files only. */
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parsePermittedSkips } from '../../scripts/test/permitted-skips.ts';
import { PROJECT_ROOT } from './fixture-tree.ts';

const TRACKED_FILE_BYTES_MAX = 1 << 20;
const SOURCE_LINES_MAX = 400;

/** Folders that hold no code of one kind, and so need no guide. */
const WITHOUT_README = new Set(['.ci', 'bin', 'docs']);

const tracked = trackedFiles();
const texts = tracked.filter((name) => isText(name)).map((name) => ({ name, text: read(name) }));
const sources = texts.filter(({ name }) => name.endsWith('.ts'));

/** `name:line: text` of each line of `files` that `pattern` matches. */
function linesMatching(files: typeof texts, pattern: RegExp): string[] {
  return files.flatMap(({ name, text }) =>
    text.split('\n').flatMap((line, index) => {
      return pattern.test(line) ? [`${name}:${index + 1}: ${line.trim().slice(0, 120)}`] : [];
    }),
  );
}

describe('tracked files', () => {
  it('are found', () => {
    expect(tracked).toContain('package.json');
    expect(sources.length).toBeGreaterThan(10);
  });

  it('are at most 1 MB each', () => {
    const large = tracked.filter(
      (name) => lstatSync(path.join(PROJECT_ROOT, name)).size > TRACKED_FILE_BYTES_MAX,
    );
    expect(large).toEqual([]);
  });

  // The patterns are put together so that this file does not match itself.
  it('name no folder of one machine', () => {
    const machinePath = new RegExp(String.raw`(^|[\s"'=:(\x60])/(${['work', 'root'].join('|')})/`);
    expect(linesMatching(texts, machinePath)).toEqual([]);
  });

  it('name no package registry', () => {
    const hosts = [
      ['registry', 'npmjs', 'org'],
      ['registry', 'yarnpkg', 'com'],
      ['npm', 'pkg', 'github', 'com'],
    ];
    const registry = new RegExp(hosts.map((host) => host.join(String.raw`\.`)).join('|'));
    expect(linesMatching(texts, registry)).toEqual([]);
    expect(read('package-lock.json')).not.toContain('"resolved"');
  });

  it('hold no private key', () => {
    const keyHeader = new RegExp(['-----BEGIN', '[A-Z ]*PRIVATE KEY-----'].join(' '));
    expect(linesMatching(texts, keyHeader)).toEqual([]);
  });
});

describe('sources', () => {
  it(`have at most ${SOURCE_LINES_MAX} lines`, () => {
    const long = sources.filter(({ text }) => text.trimEnd().split('\n').length > SOURCE_LINES_MAX);
    expect(long.map(({ name }) => name)).toEqual([]);
  });

  it('leave no test focused, switched off or to be done', () => {
    const marks = new RegExp(
      String.raw`\b(it|test|describe|suite|bench)(\.\w+)*\.(only|skip|skipIf|runIf|todo|fails)\b\(`,
    );
    expect(linesMatching(sources, marks)).toEqual([]);
  });

  it('leave no work marked as to be done, and no escape from the type checker', () => {
    const halves = [
      ['TO', 'DO'],
      ['FIX', 'ME'],
      ['as a', 'ny'],
      ['@ts-', 'ignore'],
      ['@ts-', 'nocheck'],
    ];
    const marks = halves.map((half) => half.join('')).join('|');
    expect(linesMatching(sources, new RegExp(String.raw`(^|\W)(${marks})\b`))).toEqual([]);
  });

  it('say why where a lint rule is switched off', () => {
    const silent = linesMatching(sources, /(oxlint|eslint)-disable(?!.*--)/).filter(
      (line) => !line.startsWith('test/tooling/style.test.ts:'),
    );
    expect(silent).toEqual([]);
  });
});

describe('folders', () => {
  const folders = [...new Set(tracked.filter((name) => name.includes('/')).map(topFolder))];

  it('have a README.md each', () => {
    const without = folders
      .filter((folder) => !WITHOUT_README.has(folder))
      .filter((folder) => !existsSync(path.join(PROJECT_ROOT, folder, 'README.md')));
    expect(without).toEqual([]);
  });

  it('have no inner doors: one index.ts, at the top', () => {
    const inner = tracked.filter((name) => /^[^/]+\/.+\/index\.ts$/.test(name));
    // Each kit under test/fixtures/ is a folder of its own to the tests that use it.
    expect(inner.filter((name) => !/^test\/fixtures\/[^/]+\/index\.ts$/.test(name))).toEqual([]);
  });
});

describe('architecture decision records', () => {
  const records = tracked.filter(
    (name) => name.startsWith('docs/adr/') && name !== 'docs/adr/README.md',
  );
  const numbers = records.map((name) => path.basename(name).slice(0, 4));

  it('are named NNNN-words.md, each number once', () => {
    expect(records.filter((name) => !/^docs\/adr\/\d{4}-[a-z0-9-]+\.md$/.test(name))).toEqual([]);
    expect(numbers.filter((number, index) => numbers.indexOf(number) !== index)).toEqual([]);
    expect(numbers).toContain('0001');
  });

  it('start with their number, and state their status and the decision', () => {
    const incomplete = records.filter((name) => {
      const text = read(name);
      const title = new RegExp(`^# ${Number(path.basename(name).slice(0, 4))}\\. \\S`);
      return !title.test(text) || !/^## Decision$/m.test(text) || !/^Status: /m.test(text);
    });
    expect(incomplete).toEqual([]);
  });

  it('name every dependency of package.json', () => {
    const text = records.map(read).join('\n');
    const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
    const names = ['dependencies', 'optionalDependencies', 'devDependencies'].flatMap((kind) =>
      Object.keys(manifest[kind] ?? {}),
    );
    expect(names.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });
});

describe('test/permitted-skips.txt', () => {
  const lines = read('test/permitted-skips.txt').split('\n');
  const entries = parsePermittedSkips(lines.join('\n'));

  it('says why above each entry', () => {
    const unexplained = entries.filter(
      ({ lineNumber }) => !lines[lineNumber - 2]?.startsWith('# '),
    );
    expect(unexplained).toEqual([]);
  });

  it('names the file and the reason in each entry', () => {
    const vague = entries.filter(({ pattern }) => !/^[\w./-]+\.test\.ts > .+: .*\w/.test(pattern));
    expect(vague).toEqual([]);
    const gone = entries.filter(({ pattern }) => !tracked.includes(pattern.split(' > ')[0] ?? ''));
    expect(gone).toEqual([]);
  });
});

function trackedFiles(): string[] {
  const git = spawnSync('git', ['ls-files', '-z'], { cwd: PROJECT_ROOT, encoding: 'utf8' });
  if (git.status !== 0) throw new Error(`git ls-files failed: ${git.stderr}`);
  const names = git.stdout.split('\0').filter((name) => name !== '');
  return names.filter((name) => existsSync(path.join(PROJECT_ROOT, name)));
}

function isText(name: string): boolean {
  const file = path.join(PROJECT_ROOT, name);
  return lstatSync(file).isFile() && !readFileSync(file).subarray(0, 8192).includes(0);
}

function read(name: string): string {
  return readFileSync(path.join(PROJECT_ROOT, name), 'utf8');
}

function topFolder(name: string): string {
  return name.slice(0, name.indexOf('/'));
}
