import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Command, Option } from 'commander';
import { RestoreError } from '../../core/index.ts';
import { type VerifyReport, type VerifyScope, verifyRepository } from '../../store-writer/index.ts';
import { type CredentialOptions, withCredentials } from '../support/credentials.ts';
import { cacheFolder } from '../support/environment.ts';
import { formatBytes } from '../support/format.ts';
import { type OutputOptions, print, withJson } from '../support/output.ts';
import { Progress } from '../support/progress.ts';
import { readingThreads, withRepository } from '../support/repository.ts';

interface VerifyFlags extends CredentialOptions, OutputOptions {
  readonly new?: boolean;
  readonly all?: boolean;
}

/** Exit status when damage was found: that of `CORRUPT`. */
const DAMAGED = 5;

export function registerVerify(program: Command): void {
  const command = program
    .command('verify')
    .description(
      'check the repository: structure by default, with --new also the blocks not yet proved, with --all every block',
    )
    .argument('<repo>', 'folder of the repository')
    .option('--new', 'prove every block that was not proved before on this machine')
    .addOption(new Option('--all', 'prove every block').conflicts('new'))
    .action(run);
  withCredentials(withJson(command));
}

async function run(location: string, flags: VerifyFlags): Promise<void> {
  const scope: VerifyScope = flags.all === true ? 'all' : flags.new === true ? 'new' : 'structure';
  const open = { threads: readingThreads() };
  await withRepository(
    location,
    flags,
    async (repository) => {
      const record = path.join(cacheFolder(), repository.record.id, 'proved-packs');
      const proved = readProved(record);
      let state = { packs: 0, totalPacks: 1, bytes: 0 };
      const progress = new Progress(
        () => ({
          doneBytes: state.packs,
          totalBytes: state.totalPacks,
          details: [`${state.packs}/${state.totalPacks} packs`, formatBytes(state.bytes)],
          fields: state,
        }),
        flags.json === true,
      );
      let report: VerifyReport;
      try {
        report = await verifyRepository(repository, {
          scope,
          proved,
          onProgress: (next) => {
            state = next;
          },
        });
      } finally {
        progress.stop();
      }
      if (scope !== 'structure') writeProved(record, proved);
      print(flags, report, () => toText(report, scope));
      if (!report.clean) process.exitCode = DAMAGED;
    },
    open,
  );
}

function toText(report: VerifyReport, scope: VerifyScope): string {
  const lines = [
    `${report.points} restore points, ${report.packs} packs; ` +
      (scope === 'structure'
        ? 'structure checked (use --new or --all to prove the blocks too)'
        : `${report.blocksProved} blocks, ${formatBytes(report.bytesProved)} proved`),
  ];
  for (const { object, reason } of report.damagedObjects)
    lines.push(`damaged: ${object}: ${reason}`);
  for (const { machine, takenAt, disk, ranges, reason } of report.damagedDisks) {
    const place = disk === undefined ? `${machine}@${takenAt}` : `${machine}@${takenAt}/${disk}`;
    lines.push(`affected: ${place}: ${disk === undefined ? reason : 'unreadable:'}`);
    for (const { offset, length } of ranges) lines.push(`  ${offset} +${length}`);
  }
  if (report.unreferencedPacks > 0) {
    lines.push(`${report.unreferencedPacks} packs belong to no restore point (harmless)`);
  }
  lines.push(report.clean ? 'clean' : 'DAMAGED', '');
  return lines.join('\n');
}

function readProved(file: string): Set<string> {
  if (!existsSync(file)) return new Set();
  return new Set(readFileSync(file, 'utf8').split('\n').filter(Boolean));
}

function writeProved(file: string, proved: ReadonlySet<string>): void {
  try {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(file, [...proved, ''].join('\n'));
  } catch (cause) {
    throw new RestoreError('IO', 'cannot note which packs were proved', {
      where: { object: file },
      cause,
    });
  }
}
