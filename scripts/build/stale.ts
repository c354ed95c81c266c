import { existsSync, globSync, statSync } from 'node:fs';
import path from 'node:path';

/** What the compiled files are made of; bin/rehydrate has the same list. */
const SOURCES = [
  'cli',
  'core',
  'iscsi',
  'parsers',
  'server',
  'store-reader',
  'store-writer',
  'vfs',
  'package-lock.json',
  'scripts/build.ts',
];

/** Whether anything has changed since `target` was built; a folder also changes when a file in it goes. */
export function isStale(target: string): boolean {
  const manifest = path.join(target, 'package.json');
  if (!existsSync(manifest)) return true;
  const builtAt = statSync(manifest).mtimeMs;
  return SOURCES.some((source) =>
    [source, ...globSync(`${source}/**`)].some(
      (file) => !file.endsWith('.test.ts') && statSync(file).mtimeMs > builtAt,
    ),
  );
}
