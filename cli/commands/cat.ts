import type { Command } from 'commander';
import { type CredentialOptions, withCredentials } from '../support/credentials.ts';
import { inspect } from '../support/inspection.ts';
import { type OutputOptions, withJson } from '../support/output.ts';

interface CatFlags extends CredentialOptions, OutputOptions {
  readonly stream?: string;
}

export function registerCat(program: Command): void {
  const command = program
    .command('cat')
    .description('write files of a restore point to standard output')
    .argument('<repo>', 'folder of the repository')
    .argument('<address...>', 'machine@point[/disk[/volume]]:/path')
    .option('--stream <name>', 'a named stream of the file (NTFS)')
    .action(run);
  withCredentials(withJson(command));
}

async function run(repository: string, addresses: string[], flags: CatFlags): Promise<void> {
  const json = flags.json === true;
  await inspect(repository, flags, 'read', { addresses, json, stream: flags.stream });
}
