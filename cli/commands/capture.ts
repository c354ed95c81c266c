import { readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { asRestoreError, type Extent, RestoreError } from '../../core/index.ts';
import { IMAGE_FORMATS, type ImageFormat, openImage } from '../../parsers/index.ts';
import { CONSISTENCIES, type PointRecord } from '../../store-reader/index.ts';
import {
  type CaptureDisk,
  type CaptureResult,
  capture,
  localFiles,
} from '../../store-writer/index.ts';
import { startCaptureThread } from '../capture-thread.ts';
import { type CredentialOptions, credentialFrom, withCredentials } from '../support/credentials.ts';
import { cacheFolder } from '../support/environment.ts';
import { formatBytes, formatDuration, formatRatio } from '../support/format.ts';
import { type OutputOptions, print, warn, withJson } from '../support/output.ts';
import { Progress } from '../support/progress.ts';
import { parseTags, parseTime } from '../support/values.ts';

interface CaptureFlags extends CredentialOptions, OutputOptions {
  readonly machine: string;
  readonly at?: string;
  readonly consistency: PointRecord['consistency'];
  readonly config?: string;
  readonly tag: readonly string[];
  readonly archived?: boolean;
  readonly changedBlocks?: string;
  readonly verifyUnchanged?: boolean;
  readonly format?: ImageFormat;
}

const CONFIG_BYTES_MAX = 1024 * 1024;

export function registerCapture(program: Command): void {
  const command = program
    .command('capture')
    .description('write a restore point of a machine: its disks, in order')
    .argument('<repo>', 'folder of the repository')
    .argument('<path...>', 'raw file, block device, or qcow2, VMDK, VHD, VHDX image')
    .requiredOption('--machine <name>', 'what is captured')
    .option('--at <time>', 'time of the point (RFC 3339); now by default')
    .addOption(
      new Option('--consistency <kind>', 'what state the disks are in')
        .choices(CONSISTENCIES)
        .default('crash'),
    )
    .option('--config <file>', "the machine's own configuration, kept with the point")
    .option('--tag <key=value>', 'a tag; may be given again', collect, [])
    .option('--archived', 'never prune this point')
    .option('--changed-blocks <file>', 'JSON list of changed ranges: read nothing else')
    .option('--verify-unchanged', 'with --changed-blocks: read all, fail if the list left any out')
    .addOption(
      new Option('--format <name>', 'take the images for this format, unprobed').choices(
        IMAGE_FORMATS,
      ),
    )
    .action(run);
  withCredentials(withJson(command));
}

async function run(location: string, paths: readonly string[], flags: CaptureFlags): Promise<void> {
  const takenAt = parseTime(flags.at);
  const tags = parseTags(flags.tag);
  const changed = flags.changedBlocks === undefined ? [] : readChanges(flags.changedBlocks, paths);
  if (flags.verifyUnchanged === true && flags.changedBlocks === undefined) {
    throw new RestoreError('INVALID', '--verify-unchanged checks a list, and none was given', {
      hint: 'Give --changed-blocks too.',
    });
  }
  const disks = await openDisks(paths, changed, flags.format);
  const before = paths.map(modifiedAt);
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  let progress: Progress | undefined;
  const credential = credentialFrom(flags);
  const threads = Math.min(4, Math.max(1, availableParallelism()));
  try {
    const result = await capture(
      location,
      {
        machine: flags.machine,
        takenAt,
        consistency: flags.consistency,
        archived: flags.archived === true,
        tags,
        disks,
        verifyUnchanged: flags.verifyUnchanged === true,
        ...(flags.config === undefined ? {} : { configuration: readConfiguration(flags.config) }),
      },
      {
        ...(credential === undefined ? {} : { credential }),
        cacheFolder: cacheFolder(),
        threads,
        startEncoder: (encode) => startCaptureThread({ encode, paths, format: flags.format }),
        onStart: (state) => {
          progress = new Progress(() => {
            const { reachedBytes, totalBytes, ...fields } = state();
            const details = [
              `read ${formatBytes(fields.readBytes)}`,
              `new ${formatBytes(fields.newBytes)}`,
              `dedup ${formatBytes(fields.deduplicatedBytes)}`,
              `zero ${formatBytes(fields.zeroBytes)}`,
            ];
            return { doneBytes: reachedBytes, totalBytes, details, fields };
          }, flags.json === true);
        },
        onWarning: warn,
        signal: controller.signal,
      },
    );
    progress?.stop();
    warnIfChanged(paths, before);
    print(flags, toJson(result), () => toText(result));
  } finally {
    progress?.stop();
    process.off('SIGINT', stop).off('SIGTERM', stop);
    await Promise.all(disks.map(({ source }) => source.close()));
  }
}

async function openDisks(
  paths: readonly string[],
  changed: readonly (readonly Extent[])[],
  format: ImageFormat | undefined,
): Promise<CaptureDisk[]> {
  const disks: CaptureDisk[] = [];
  for (const [number, file] of paths.entries()) {
    const image = await openImage(file, localFiles, format === undefined ? {} : { format });
    const ranges = changed[number];
    disks.push({
      name: path.basename(file),
      format: image.format,
      source: image.source,
      ...(ranges === undefined ? {} : { changed: ranges }),
    });
  }
  return disks;
}

const RangesSchema = z.array(z.object({ offset: z.int().min(0), length: z.int().min(0) }));
const ChangesSchema = z.union([RangesSchema, z.record(z.string(), RangesSchema)]);

/** One list for a machine of one disk, or lists by disk id; a disk that is left out has none. */
function readChanges(file: string, paths: readonly string[]): Extent[][] {
  const parsed = ChangesSchema.safeParse(readJson(file));
  if (!parsed.success) {
    throw new RestoreError('INVALID', 'not a list of changed blocks', {
      where: { object: file, found: z.prettifyError(parsed.error).slice(0, 200) },
      hint: 'Write [{"offset": 0, "length": 65536}, …], or {"disk0": […], "disk1": […]}.',
    });
  }
  const lists: Readonly<Record<string, Extent[]>> = Array.isArray(parsed.data)
    ? { disk0: parsed.data }
    : parsed.data;
  if (Array.isArray(parsed.data) && paths.length > 1) {
    throw new RestoreError('INVALID', 'one list of changed blocks for several disks', {
      where: { object: file, expected: '{"disk0": […], "disk1": […]}' },
    });
  }
  const unknown = Object.keys(lists).find(
    (id) => !/^disk\d+$/.test(id) || !paths[Number(id.slice(4))],
  );
  if (unknown !== undefined) {
    throw new RestoreError('INVALID', 'changed blocks of a disk that is not captured', {
      where: { object: file, expected: `disk0..disk${paths.length - 1}`, found: unknown },
    });
  }
  return paths.map((_, number) => lists[`disk${number}`] ?? []);
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new RestoreError('INVALID', `not JSON: ${error.message}`, { where: { object: file } });
    }
    throw asRestoreError(error, 'cannot read a list of changed blocks', { object: file });
  }
}

function readConfiguration(file: string): { name: string; content: string } {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw asRestoreError(error, 'cannot read the machine’s configuration', { object: file });
  }
  if (bytes.length > CONFIG_BYTES_MAX) {
    throw new RestoreError('INVALID', 'the machine’s configuration is too long', {
      where: { object: file, expected: `at most ${CONFIG_BYTES_MAX} bytes`, found: bytes.length },
    });
  }
  return { name: path.basename(file), content: bytes.toString('utf8') };
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

function modifiedAt(file: string): number {
  const stat = statSync(file);
  return stat.isFile() ? stat.mtimeMs : 0;
}

function warnIfChanged(paths: readonly string[], before: readonly number[]): void {
  paths.forEach((file, number) => {
    if (modifiedAt(file) === before[number]) return;
    warn(`${file} was written to during the capture; the point may mix two states`);
  });
}

function toJson({ point, statistics }: CaptureResult): object {
  const { id, machine, takenAt, disks } = point;
  const address = `${machine}@${takenAt}`;
  return {
    id,
    address,
    machine,
    takenAt,
    disks: disks.map(({ id: disk, sizeBytes, sourceFormat }) => ({
      id: disk,
      sizeBytes,
      sourceFormat,
    })),
    ...statistics,
  };
}

function toText({ point, statistics }: CaptureResult): string {
  const { sizeBytes, readBytes, zeroBytes, deduplicatedBytes, newBytes, writtenBytes } = statistics;
  const speed = formatBytes((readBytes / Math.max(1, statistics.durationMs)) * 1000);
  return [
    `captured ${point.machine}@${point.takenAt} (${point.id.slice(0, 8)})`,
    `  disks      ${point.disks.length}, ${formatBytes(sizeBytes)}`,
    `  read       ${formatBytes(readBytes)} in ${formatDuration(statistics.durationMs)}, ${speed}/s`,
    `  not read   ${formatBytes(sizeBytes - readBytes)} (holes, unallocated or unchanged)`,
    `  zero       ${formatBytes(zeroBytes)}`,
    `  duplicate  ${formatBytes(deduplicatedBytes)}`,
    `  new        ${formatBytes(newBytes)}`,
    `  written    ${formatBytes(writtenBytes)}`,
    `  dedup ratio ${formatRatio(deduplicatedBytes + newBytes, newBytes)}, compression ratio ${formatRatio(newBytes, writtenBytes)}`,
    '',
  ].join('\n');
}
