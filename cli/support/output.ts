import type { Command } from 'commander';
import { jsonText, showText } from '../../core/index.ts';

export interface OutputOptions {
  readonly json?: boolean;
}

/** Adds `--json`, which every subcommand has. */
export function withJson(command: Command): Command {
  return command.option('--json', 'print the result as one JSON document');
}

/** Prints a result: as JSON for programs, or as `text` makes it for people. */
export function print<T>(options: OutputOptions, result: T, text: (result: T) => string): void {
  process.stdout.write(options.json === true ? `${jsonText(result)}\n` : text(result));
}

/** A remark for people, on standard error, that leaves the result alone. */
export function warn(message: string): void {
  process.stderr.write(`rehydrate: warning: ${showText(message)}\n`);
}
