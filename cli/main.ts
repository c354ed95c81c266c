/** The `rehydrate` command. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { registerCapture } from './commands/capture.ts';
import { registerExport } from './commands/export.ts';
import { registerExports } from './commands/exports.ts';
import { registerInfo } from './commands/info.ts';
import { registerInit } from './commands/init.ts';
import { registerLs } from './commands/ls.ts';
import { registerRead } from './commands/read.ts';
import { registerRestore } from './commands/restore.ts';
import { registerRevoke } from './commands/revoke.ts';
import { registerServe } from './commands/serve.ts';
import { registerVerify } from './commands/verify.ts';
import { reportError } from './support/errors.ts';

/** One file a subcommand; one line here for each. */
const COMMANDS: readonly ((program: Command) => void)[] = [
  registerInit,
  registerCapture,
  registerLs,
  registerInfo,
  registerVerify,
  registerRestore,
  registerRead,
  registerServe,
  registerExport,
  registerExports,
  registerRevoke,
];

function packageVersion(): string {
  const up = import.meta.url.endsWith('.ts') ? '../package.json' : '../../package.json';
  const text = readFileSync(new URL(up, import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

const program = new Command('rehydrate')
  .description('Open any disk of any restore point straight from a deduplicated block store.')
  .version(packageVersion())
  .showHelpAfterError('(run with --help for the options)')
  .configureHelp({ showGlobalOptions: true })
  .exitOverride();
for (const register of COMMANDS) register(program);

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else process.exitCode = reportError(error, process.argv.includes('--json'));
}
