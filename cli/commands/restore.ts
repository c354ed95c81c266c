import { type Command, Option } from 'commander';
import { encodeImage } from '../../parsers/index.ts';
import { resolveDisk } from '../../store-reader/index.ts';
import { type WriteProgress, writeDisk } from '../../store-writer/index.ts';
import { type CredentialOptions, withCredentials } from '../support/credentials.ts';
import { formatBytes, formatDuration } from '../support/format.ts';
import { type OutputOptions, print, withJson } from '../support/output.ts';
import { Progress } from '../support/progress.ts';
import { readingThreads, withRepository } from '../support/repository.ts';

interface RestoreFlags extends CredentialOptions, OutputOptions {
  readonly format: 'raw' | 'qcow2';
  readonly force?: boolean;
  readonly verify?: boolean;
}

export function registerRestore(program: Command): void {
  const command = program
    .command('restore')
    .description('write a whole disk to a file or block device')
    .argument('<repo>', 'folder of the repository')
    .argument('<address>', 'machine@point[/disk]')
    .argument('<out>', 'new file, or block device')
    .addOption(
      new Option('--format <name>', 'format of the file').choices(['raw', 'qcow2']).default('raw'),
    )
    .option('--force', 'replace a file, or write over a block device')
    .option('--verify', 'read it back and compare')
    .action(run);
  withCredentials(withJson(command));
}

async function run(
  location: string,
  address: string,
  out: string,
  flags: RestoreFlags,
): Promise<void> {
  const startedAt = Date.now();
  await withRepository(
    location,
    flags,
    async (repository) => {
      const { point, disk } = await resolveDisk(repository, address);
      const plain = repository.openDisk(point, disk);
      const source = flags.format === 'raw' ? plain : await encodeImage(plain, flags.format);
      const controller = new AbortController();
      const stop = (): void => controller.abort();
      process.once('SIGINT', stop).once('SIGTERM', stop);
      const { state, progress } = watch(source.size, flags.json === true);
      try {
        const writtenBytes = await writeDisk(source, out, {
          force: flags.force === true,
          verify: flags.verify === true,
          signal: controller.signal,
          onProgress: (next) => {
            state.latest = next;
          },
        });
        progress.stop();
        const durationMs = Date.now() - startedAt;
        const from = `${point.machine}@${point.takenAt}/${disk.id}`;
        const { sizeBytes } = disk;
        const verified = flags.verify === true;
        const result = {
          from,
          out,
          format: flags.format,
          sizeBytes,
          writtenBytes,
          verified,
          durationMs,
        };
        print(flags, result, () => {
          const speed = formatBytes((writtenBytes / Math.max(1, durationMs)) * 1000);
          const checked = verified ? ', read back and the same' : '';
          return (
            `restored ${from} to ${out}: ${formatBytes(sizeBytes)}, ` +
            `${formatBytes(writtenBytes)} of it data, in ${formatDuration(durationMs)}, ${speed}/s${checked}\n`
          );
        });
      } finally {
        progress.stop();
        process.off('SIGINT', stop).off('SIGTERM', stop);
      }
    },
    { threads: readingThreads(), checkIds: true, cacheBytes: 64 * 1024 * 1024 },
  );
}

function watch(
  totalBytes: number,
  json: boolean,
): { state: { latest: WriteProgress }; progress: Progress } {
  const state: { latest: WriteProgress } = {
    latest: { phase: 'write', reachedBytes: 0, totalBytes, writtenBytes: 0 },
  };
  const progress = new Progress(() => {
    const { phase, reachedBytes, writtenBytes } = state.latest;
    const details = [phase, `written ${formatBytes(writtenBytes)}`];
    return { doneBytes: reachedBytes, totalBytes, details, fields: { writtenBytes } };
  }, json);
  return { state, progress };
}
