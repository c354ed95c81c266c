import type { Command } from 'commander';
import { type CredentialOptions, withCredentials } from '../support/credentials.ts';
import { inspect } from '../support/inspection.ts';
import { type OutputOptions, withJson } from '../support/output.ts';

interface StatFlags extends CredentialOptions, OutputOptions {}

export function registerStat(program: Command): void {
  const command = program
    .command('stat')
    .description('tell everything known of files of a restore point')
    .argument('<repo>', 'folder of the repository')
    .argument('<address...>', 'machine@point[/disk[/volume]]:/path')
    .action(run);
  withCredentials(withJson(command));
}

async function run(repository: string, addresses: string[], flags: StatFlags): Promise<void> {
  await inspect(repository, flags, 'stat', { addresses, json: flags.json === true });
}
