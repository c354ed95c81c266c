import { type Command, Option } from 'commander';
import { type Address, parseAddress, RestoreError } from '../../core/index.ts';
import { TIMES, type TimeKind } from '../../server/index.ts';
import { type CredentialOptions, withCredentials } from '../support/credentials.ts';
import { withExamples } from '../support/examples.ts';
import { inspect } from '../support/inspection.ts';
import { type OutputOptions, withJson } from '../support/output.ts';

interface LsFlags extends CredentialOptions, OutputOptions {
  readonly long?: boolean;
  readonly recursive?: boolean;
  readonly directory?: boolean;
  readonly time: TimeKind;
}

const DISK_ID = /^disk\d+$/;

export function registerLs(program: Command): void {
  const command = program
    .command('ls')
    .description('list machines, the points of a machine, the disks of a point, or files')
    .argument('<repo>', 'folder of the repository')
    .argument('[address...]', 'machine, machine@point, or machine@point[/disk[/volume]]:/path')
    .option('-l, --long', 'mode or attributes, links, owner, size, time; where links lead')
    .option('-R, --recursive', 'what is in directories below, too')
    .option('-d, --directory', 'tell of directories themselves')
    .option('-a, --all', 'accepted for habit: names that begin with a dot are always listed')
    .addOption(
      new Option('--time <which>', 'the time that -l shows').choices(TIMES).default('modified'),
    )
    .action(run);
  withCredentials(withJson(command));
  withExamples(command, [
    '/backup/repo',
    '/backup/repo web01',
    '-l /backup/repo web01@latest:/etc',
    "/backup/repo 'sql02@2026-11-03:C:\\Users'",
  ]);
}

async function run(
  repository: string,
  addresses: readonly string[],
  flags: LsFlags,
): Promise<void> {
  const paths = addresses.filter((address) => namesFiles(parseAddress(address)));
  if (paths.length === 0 && addresses.length <= 1) {
    const { listRepository } = await import('./ls-repository.ts');
    await listRepository(repository, addresses[0], flags);
    return;
  }
  if (paths.length < addresses.length) {
    throw new RestoreError('INVALID', 'files are listed by addresses with a path', {
      where: { found: addresses.find((address) => !paths.includes(address)) ?? '' },
      hint: 'Write machine@point:/path, for example web01@latest:/.',
    });
  }
  await inspect(repository, flags, 'list', {
    addresses,
    json: flags.json === true,
    long: flags.long === true,
    recursive: flags.recursive === true,
    directory: flags.directory === true,
    time: flags.time,
  });
}

/** A volume without a path means what is in it. */
function namesFiles({ disk, volume, path }: Address): boolean {
  return path !== undefined || volume !== undefined || !DISK_ID.test(disk ?? 'disk0');
}
