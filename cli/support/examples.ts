import type { Command } from 'commander';

/** Adds a command's everyday uses to its help: what stands behind `rehydrate` and its name. */
export function withExamples(command: Command, uses: readonly string[]): Command {
  const lines = uses.map((use) => `  rehydrate ${command.name()} ${use}`);
  return command.addHelpText('after', ['', 'Examples:', ...lines].join('\n'));
}
