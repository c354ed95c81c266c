import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** A backup program as the bench drives it: a fresh repository, then captures of one image file. */
export interface Tool {
  readonly name: string;
  /** The tools of one group are compared with each other. */
  readonly group: 'plain' | 'encrypted';
  readonly repository: string;
  readonly env: NodeJS.ProcessEnv;
  readonly init: readonly string[];
  /** Every capture reads the whole image: none may trust the file's times. */
  capture(image: string, round: number): readonly string[];
}

const REHYDRATE = path.join(import.meta.dirname, '../../bin/rehydrate');

/**
 * The tools with their own defaults (compression included), each with its caches in `folder`, which
 * must be fresh.
 */
export function makeTools(folder: string): Tool[] {
  const file = (name: string): string => path.join(folder, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(file('key'), 'bench passphrase of no value');
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    HOME: folder,
    XDG_CACHE_HOME: file('cache'),
    RESTIC_PASSWORD_FILE: file('key'),
    RESTIC_CACHE_DIR: file('restic-cache'),
    BORG_BASE_DIR: file('borg-base'),
    BORG_PASSPHRASE: 'bench passphrase of no value',
    BORG_RELOCATED_REPO_ACCESS_IS_OK: 'yes',
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
  };
  return [
    ours('rehydrate', 'plain', file('ours'), env, []),
    borg('borg none', 'plain', file('borg'), env, 'none'),
    ours('rehydrate encrypted', 'encrypted', file('ours-encrypted'), env, [
      '--passphrase-file',
      file('key'),
    ]),
    restic(file('restic'), env),
    borg('borg repokey', 'encrypted', file('borg-encrypted'), env, 'repokey'),
  ];
}

function ours(
  name: string,
  group: Tool['group'],
  repository: string,
  env: NodeJS.ProcessEnv,
  key: readonly string[],
): Tool {
  const encrypt = key.length === 0 ? [] : ['--encrypt', ...key];
  return {
    name,
    group,
    repository,
    env,
    init: [REHYDRATE, 'init', repository, ...encrypt],
    capture: (image) => [REHYDRATE, 'capture', repository, image, '--machine', 'bench', ...key],
  };
}

function restic(repository: string, env: NodeJS.ProcessEnv): Tool {
  return {
    name: 'restic',
    group: 'encrypted',
    repository,
    env,
    init: ['restic', '-r', repository, 'init'],
    capture: (image) => ['restic', '-r', repository, 'backup', '--quiet', '--force', image],
  };
}

function borg(
  name: string,
  group: Tool['group'],
  repository: string,
  env: NodeJS.ProcessEnv,
  encryption: string,
): Tool {
  return {
    name,
    group,
    repository,
    env,
    init: ['borg', 'init', '--encryption', encryption, repository],
    capture: (image, round) => [
      ...['borg', 'create', '--files-cache', 'disabled'],
      ...[`${repository}::point${round}`, image],
    ],
  };
}
