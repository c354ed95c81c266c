import type { Command } from 'commander';
import { type CredentialOptions, withCredentials } from '../support/credentials.ts';
import { inspect } from '../support/inspection.ts';
import { type OutputOptions, withJson } from '../support/output.ts';

interface VolumesFlags extends CredentialOptions, OutputOptions {}

export function registerVolumes(program: Command): void {
  const command = program
    .command('volumes')
    .description(
      'draw disks, partitions, volumes and file systems, and how far they can be trusted',
    )
    .argument('<repo>', 'folder of the repository')
    .argument('<address...>', 'machine@point')
    .action(run);
  withCredentials(withJson(command));
}

async function run(repository: string, addresses: string[], flags: VolumesFlags): Promise<void> {
  await inspect(repository, flags, 'volumes', { addresses, json: flags.json === true });
}
