/** The `rehydrate` command. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError } from 'commander';
import { commandLine } from './support/arguments.ts';
import { reportError } from './support/errors.ts';

type Register = (program: Command) => void;

/** One file a subcommand, one line here for each; loaded when it is asked for. */
const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  init: async () => (await import('./commands/init.ts')).registerInit,
  capture: async () => (await import('./commands/capture.ts')).registerCapture,
  ls: async () => (await import('./commands/ls.ts')).registerLs,
  cp: async () => (await import('./commands/cp.ts')).registerCp,
  tar: async () => (await import('./commands/archive.ts')).registerTar,
  zip: async () => (await import('./commands/archive.ts')).registerZip,
  cat: async () => (await import('./commands/cat.ts')).registerCat,
  stat: async () => (await import('./commands/stat.ts')).registerStat,
  tree: async () => (await import('./commands/tree.ts')).registerTree,
  find: async () => (await import('./commands/find.ts')).registerFind,
  diff: async () => (await import('./commands/diff.ts')).registerDiff,
  history: async () => (await import('./commands/history.ts')).registerHistory,
  volumes: async () => (await import('./commands/volumes.ts')).registerVolumes,
  info: async () => (await import('./commands/info.ts')).registerInfo,
  verify: async () => (await import('./commands/verify.ts')).registerVerify,
  restore: async () => (await import('./commands/restore.ts')).registerRestore,
  read: async () => (await import('./commands/read.ts')).registerRead,
  serve: async () => (await import('./commands/serve.ts')).registerServe,
  export: async () => (await import('./commands/export.ts')).registerExport,
  exports: async () => (await import('./commands/exports.ts')).registerExports,
  overlay: async () => (await import('./commands/overlay.ts')).registerOverlay,
  revoke: async () => (await import('./commands/revoke.ts')).registerRevoke,
};

/** The nearest `package.json` above this file: sources and compiled files lie at different depths. */
function packageVersion(): string {
  for (let folder = import.meta.dirname; ; folder = path.dirname(folder)) {
    const file = path.join(folder, 'package.json');
    if (existsSync(file)) {
      return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
    }
    if (path.dirname(folder) === folder) return 'unknown';
  }
}

const program = new Command('rehydrate')
  .description('Open any disk of any restore point straight from a deduplicated block store.')
  .version(packageVersion())
  .showHelpAfterError('(run with --help for the options)')
  .configureHelp({ showGlobalOptions: true })
  .exitOverride();
const asked = COMMANDS[process.argv[2] ?? ''];
for (const load of asked === undefined ? Object.values(COMMANDS) : [asked]) (await load())(program);

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  await program.parseAsync(commandLine());
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else process.exitCode = reportError(error, process.argv.includes('--json'));
}
