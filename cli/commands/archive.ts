import type { Command } from 'commander';
import { RestoreError } from '../../core/index.ts';
import { type CredentialOptions, withCredentials } from '../support/credentials.ts';
import { inspect } from '../support/inspection.ts';

interface ArchiveFlags extends CredentialOptions {
  readonly acls?: boolean;
  readonly skipDamaged?: boolean;
}

export function registerTar(program: Command): void {
  const command = program
    .command('tar')
    .description('write files and directories of a restore point to standard output, as tar')
    .option('--acls', 'extended attributes and ACLs too');
  finish(command, 'tar');
}

export function registerZip(program: Command): void {
  const command = program
    .command('zip')
    .description('write files and directories of a restore point to standard output, as zip');
  finish(command, 'zip');
}

function finish(command: Command, name: 'tar' | 'zip'): void {
  command
    .argument('<repo>', 'folder of the repository')
    .argument('<address...>', 'machine@point[/disk[/volume]]:/path')
    .option(
      '--skip-damaged',
      'leave out files that cannot be read whole (large ones are read twice)',
    )
    .action(async (repository: string, addresses: string[], flags: ArchiveFlags) => {
      if (process.stdout.isTTY) {
        throw new RestoreError('INVALID', 'an archive is nothing for a terminal', {
          hint: `Write it to a file: rehydrate ${name} … > files.${name}`,
        });
      }
      const { acls = false, skipDamaged = false } = flags;
      await inspect(repository, flags, name, { addresses, json: false, acls, skipDamaged });
    });
  withCredentials(command);
}
