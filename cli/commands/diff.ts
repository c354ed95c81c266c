import type { Command } from 'commander';
import { RestoreError } from '../../core/index.ts';
import { type CredentialOptions, withCredentials } from '../support/credentials.ts';
import { withExamples } from '../support/examples.ts';
import { inspect } from '../support/inspection.ts';
import { type OutputOptions, withJson } from '../support/output.ts';

interface DiffFlags extends CredentialOptions, OutputOptions {
  readonly summary?: boolean;
}

export function registerDiff(program: Command): void {
  const command = program
    .command('diff')
    .description('tell which files differ between two points of a machine')
    .argument('<repo>', 'folder of the repository')
    .argument('<before>', 'machine@point[/disk[/volume]][:/path]')
    .argument('<after>', 'the same at another point')
    .argument('[path]', 'at and below this path alone: /etc')
    .option('-s, --summary', 'tell how many there are, and how they were found')
    .action(run);
  withCredentials(withJson(command));
  withExamples(command, [
    '/backup/repo web01@2026-11-02 web01@latest',
    '/backup/repo web01@2026-11-02 web01@latest /etc',
  ]);
}

async function run(
  repository: string,
  before: string,
  after: string,
  given: string | undefined,
  flags: DiffFlags,
): Promise<void> {
  const path = given?.replace(/^:/, '');
  if (path !== undefined && !path.startsWith('/')) {
    throw new RestoreError('INVALID', 'the path begins with a slash', { where: { found: path } });
  }
  await inspect(repository, flags, 'diff', {
    before,
    after,
    path,
    summary: flags.summary === true,
    json: flags.json === true,
  });
}
