import type { Command } from 'commander';
import { RestoreError } from '../../core/index.ts';
import { type CredentialOptions, withCredentials } from '../support/credentials.ts';
import { withExamples } from '../support/examples.ts';
import { inspect } from '../support/inspection.ts';
import { type OutputOptions, withJson } from '../support/output.ts';

interface HistoryFlags extends CredentialOptions, OutputOptions {
  readonly hash?: boolean;
  readonly follow?: boolean;
}

/** A machine's name alone before what names its part: then its latest point is meant. */
const WITHOUT_POINT = /^[^@:/]+(?=[:/])/;

export function registerHistory(program: Command): void {
  const command = program
    .command('history')
    .description('list every version of a file over all points of its machine')
    .argument('<repo>', 'folder of the repository')
    .argument('<address>', 'machine[@point[/disk[/volume]]]:/path')
    .option('--hash', 'SHA-256 of each version')
    .option('--follow', 'the same file under any name: the one that has the path at the point')
    .action(run);
  withCredentials(withJson(command));
  withExamples(command, [
    '/backup/repo web01:/etc/fstab',
    "--hash /backup/repo 'sql02:C:\\Users\\eva\\a.docx'",
  ]);
}

async function run(repository: string, address: string, flags: HistoryFlags): Promise<void> {
  const isWhole = address.includes('@');
  const full = isWhole ? address : address.replace(WITHOUT_POINT, (machine) => `${machine}@latest`);
  if (!full.includes(':')) {
    throw new RestoreError('INVALID', 'a history is that of a file', {
      where: { found: address },
      hint: 'Write machine:/path; `rehydrate ls` lists the points of a machine.',
    });
  }
  await inspect(repository, flags, 'history', {
    address: full,
    hash: flags.hash === true,
    follow: flags.follow === true,
    json: flags.json === true,
  });
}
