import type { Command } from 'commander';
import { RestoreError } from '../../core/index.ts';
import { type CredentialOptions, withCredentials } from '../support/credentials.ts';
import { withExamples } from '../support/examples.ts';
import { inspect } from '../support/inspection.ts';
import { type OutputOptions, withJson } from '../support/output.ts';
import { parseDepth, parseSizeCondition, parseMoment } from '../support/values.ts';

interface FindFlags extends CredentialOptions, OutputOptions {
  readonly name?: string;
  readonly iname?: string;
  readonly type?: string;
  readonly size?: readonly string[];
  readonly newer?: string;
  readonly older?: string;
  readonly depth?: string;
  readonly long?: boolean;
  readonly print0?: boolean;
}

const KINDS: Readonly<Record<string, string>> = {
  f: 'file',
  d: 'directory',
  l: 'symlink',
  b: 'block-device',
  c: 'character-device',
  p: 'fifo',
  s: 'socket',
};

export function registerFind(program: Command): void {
  const command = program
    .command('find')
    .description('find files of a restore point by name, size, time and type')
    .argument('<repo>', 'folder of the repository')
    .argument('<address...>', 'machine@point[/disk[/volume]][:/path]')
    .option('--name <glob>', 'the name fits, case as it is')
    .option('--iname <glob>', 'the name fits, whatever the case')
    .option('--type <letters>', 'f file, d directory, l link, b c devices, p pipe, s socket: f,d')
    .option('--size <bytes...>', 'more (+10M), less (-4k) or exactly this; k, M, G, T')
    .option('--newer <time>', 'modified after this; a date is its first moment, UTC')
    .option('--older <time>', 'modified before this')
    .option('-L, --depth <levels>', 'how many levels down; all by default')
    .option('-l, --long', 'a line for each as of ls -l')
    .option('-0, --print0', 'names as their bytes, a NUL behind each, for xargs -0')
    .action(run);
  withCredentials(withJson(command));
  withExamples(command, [
    "/backup/repo web01@latest:/srv --name '*.pdf' --size +1M",
    "/backup/repo sql02@latest:C:/Users --iname '*.docx' --newer 2026-11-01",
  ]);
}

async function run(repository: string, addresses: string[], flags: FindFlags): Promise<void> {
  if (flags.name !== undefined && flags.iname !== undefined) {
    throw new RestoreError('INVALID', 'give --name or --iname, not both');
  }
  const { sizeMin, sizeMax } = parseSizeCondition(flags.size ?? []);
  await inspect(repository, flags, 'find', {
    addresses,
    json: flags.json === true,
    long: flags.long === true,
    separateByNul: flags.print0 === true,
    name: flags.name ?? flags.iname,
    ignoreCase: flags.iname !== undefined,
    types: flags.type === undefined ? undefined : kindsOf(flags.type),
    sizeMin,
    sizeMax,
    newerThan: secondsOf(flags.newer),
    olderThan: secondsOf(flags.older),
    depthMax: parseDepth('--depth', flags.depth),
  });
}

function kindsOf(text: string): string[] {
  return text.split(',').map((letter) => {
    const kind = KINDS[letter];
    if (kind !== undefined) return kind;
    throw new RestoreError('INVALID', '--type takes letters', {
      where: { found: text, expected: Object.keys(KINDS).join(',') },
    });
  });
}

function secondsOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Math.floor(parseMoment(text).getTime() / 1000);
}
