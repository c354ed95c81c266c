/**
 * Compiles the product to dist/ for publishing: Node does not strip types inside node_modules.
 *
 *   node scripts/build.ts [FOLDER]
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** What names a worker's or a process's file: `new URL('./decode-worker.ts', import.meta.url)`. */
const SOURCE_URL = /(new URL\(\s*['"][^'"]+)\.ts(['"]\s*,\s*import\.meta\.url\s*,?\s*\))/g;

process.chdir(path.join(import.meta.dirname, '..'));
const target = path.resolve(process.argv[2] ?? 'dist');
rmSync(target, { recursive: true, force: true });
const compiler = spawnSync(
  process.execPath,
  ['node_modules/.bin/tsc', '-p', 'tsconfig.build.json', '--outDir', target],
  { stdio: 'inherit' },
);
if (compiler.status !== 0) process.exit(1);
pointUrlsAtCompiledFiles();
copyFileSync('package.json', path.join(target, 'package.json'));

/** The compiler rewrites `.ts` in imports only; files that are started by URL are left to us. */
function pointUrlsAtCompiledFiles(): void {
  for (const name of globSync('**/*.js', { cwd: target })) {
    const file = path.join(target, name);
    const text = readFileSync(file, 'utf8');
    const rewritten = text.replaceAll(SOURCE_URL, '$1.js$2');
    if (rewritten !== text) writeFileSync(file, rewritten);
  }
}
