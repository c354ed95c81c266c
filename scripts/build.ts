/**
 * Compiles the product to dist/, a few files instead of hundreds: what a command waits for before it
 * begins is mostly the loading of modules (ADR 43).
 *
 *   node scripts/build.ts [--if-stale] [--program FILE]… [FOLDER]
 */
import {
  copyFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type OutputChunk, rolldown } from 'rolldown';
import { usedPartsOfBuiltins } from './build/builtins.ts';
import { isStale } from './build/stale.ts';

/** What is started by its file's name. They lie side by side, so that each finds the others. */
const PROGRAMS = [
  'cli/main.ts',
  'cli/capture-worker.ts',
  'server/inspect/inspect-process.ts',
  'server/iscsi-process.ts',
  'store-reader/native/decode-worker.ts',
];
/** Native code, and what only the service loads, stays in its own package. */
const SEPARATE = /^(koffi$|lz4-napi$|@node-rs\/|express$|pino$)/;

const { values, positionals } = parseArgs({
  options: {
    'if-stale': { type: 'boolean', default: false },
    /** One more, that is no part of the product: a benchmark's. */
    program: { type: 'string', multiple: true, default: [] },
  },
  allowPositionals: true,
});
process.chdir(path.join(import.meta.dirname, '..'));
const target = path.resolve(positionals[0] ?? 'dist');
if (!values['if-stale'] || isStale(target)) await build();

/** Made beside, then put in place: a command that starts meanwhile finds the one or the other. */
async function build(): Promise<void> {
  const startedAt = new Date();
  const [made, old] = [`${target}.new`, `${target}.old`];
  rmSync(made, { recursive: true, force: true });
  const chunks: OutputChunk[] = [];
  // Each by itself: a program that shared chunks with others would load what only those need.
  for (const program of [...PROGRAMS, ...values.program]) {
    chunks.push(...(await compile(program, made)));
  }
  writeFileSync(path.join(made, 'LICENSES.txt'), licenses(chunks));
  const manifest = path.join(made, 'package.json');
  copyFileSync('package.json', manifest);
  // What changes from now on is newer.
  utimesSync(manifest, startedAt, startedAt);
  rmSync(old, { recursive: true, force: true });
  if (existsSync(target)) renameSync(target, old);
  renameSync(made, target);
  rmSync(old, { recursive: true, force: true });
}

async function compile(program: string, folder: string): Promise<OutputChunk[]> {
  const plugins = [usedPartsOfBuiltins()];
  const bundle = await rolldown({ input: program, platform: 'node', external: SEPARATE, plugins });
  const { output } = await bundle.write({ dir: folder, format: 'esm', sourcemap: true });
  await bundle.close();
  return output.filter((file) => file.type === 'chunk');
}

/** Of every package that has become part of the compiled files, as its licence asks for. */
function licenses(chunks: readonly OutputChunk[]): string {
  const folders = new Set<string>();
  for (const id of chunks.flatMap(({ moduleIds }) => moduleIds)) {
    const folder = /^.*\/node_modules\/(@[^/]+\/)?[^/]+(?=\/)/.exec(id)?.[0];
    if (folder !== undefined) folders.add(folder);
  }
  return [...folders].toSorted().map(licenseOf).join('\n\n');
}

function licenseOf(folder: string): string {
  const { name, version } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as {
    name: string;
    version: string;
  };
  const names = ['LICENSE', 'LICENSE.md', 'LICENCE', 'license', 'LICENSE.txt'];
  const file = names.map((each) => path.join(folder, each)).find((each) => existsSync(each));
  if (file === undefined) throw new Error(`${name} is bundled and has no licence file`);
  return `${name} ${version}\n\n${readFileSync(file, 'utf8').trim()}\n`;
}
