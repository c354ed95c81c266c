import type { Command } from 'commander';
import { type CredentialOptions, withCredentials } from '../support/credentials.ts';
import { inspect } from '../support/inspection.ts';
import { type OutputOptions, withJson } from '../support/output.ts';
import { parseDepth } from '../support/values.ts';

interface TreeFlags extends CredentialOptions, OutputOptions {
  readonly depth?: string;
}

export function registerTree(program: Command): void {
  const command = program
    .command('tree')
    .description('draw directories of a restore point and what is in them')
    .argument('<repo>', 'folder of the repository')
    .argument('<address...>', 'machine@point[/disk[/volume]][:/path]')
    .option('-L, --depth <levels>', 'how many levels down; all by default')
    .action(run);
  withCredentials(withJson(command));
}

async function run(repository: string, addresses: string[], flags: TreeFlags): Promise<void> {
  const depthMax = parseDepth('--depth', flags.depth);
  await inspect(repository, flags, 'tree', { addresses, json: flags.json === true, depthMax });
}
