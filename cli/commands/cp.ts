import { mkdirSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Command } from 'commander';
import { asRestoreError, fromPlainError, RestoreError } from '../../core/index.ts';
import { type CopyFrame, copyFrames, Inspector } from '../../server/index.ts';
import { showName } from '../../vfs/index.ts';
import { Extractor } from '../extract/extractor.ts';
import { loadCLibrary } from '../extract/libc.ts';
import type { ExtractOptions } from '../extract/metadata.ts';
import { type CredentialOptions, credentialFrom, withCredentials } from '../support/credentials.ts';
import { exitStatus, reportError } from '../support/errors.ts';
import { tellRemark } from '../support/inspection.ts';
import { type OutputOptions, print, warn, withJson } from '../support/output.ts';

interface CpFlags extends CredentialOptions, OutputOptions {
  readonly recursive?: boolean;
  readonly force?: boolean;
  readonly acls?: boolean;
  readonly streams?: boolean;
  readonly devices?: boolean;
  readonly keepPartial?: boolean;
}

/** Failures told by name; a full disk or a broken source would name every file. */
const FAILURES_TOLD_MAX = 50;
/** What ends the copy: every file after it would fail alike. */
const FATAL_CODES: ReadonlySet<string> = new Set(['NO_SPACE', 'CANCELLED']);

export function registerCp(program: Command): void {
  const command = program
    .command('cp')
    .description('copy a file, or what is in a directory, out of a restore point into a folder')
    .argument('<repo>', 'folder of the repository')
    .argument('<address>', 'machine@point[/disk[/volume]]:/path')
    .argument('<folder>', 'where to; made if it is not there')
    .option('-r, --recursive', 'directories, with all that is in them')
    .option('--force', 'replace files that are there already')
    .option('--acls', 'owners, whole modes, extended attributes, ACLs, security descriptors')
    .option('--streams', 'named streams (NTFS), as extended attributes user.NAME')
    .option('--devices', 'device nodes, fifos and sockets too')
    .option('--keep-partial', 'keep what could be read of a damaged file, as NAME.partial')
    .action(run);
  withCredentials(withJson(command));
}

async function run(
  repository: string,
  address: string,
  folder: string,
  flags: CpFlags,
): Promise<void> {
  const options: ExtractOptions = {
    force: flags.force === true,
    acls: flags.acls === true,
    streams: flags.streams === true,
    devices: flags.devices === true,
    keepPartial: flags.keepPartial === true,
  };
  const credential = credentialFrom(flags);
  const inspector = Inspector.start({ repository, credential, output: 'pipe' });
  const failures = new Failures(flags);
  let extractor: Extractor | undefined;
  try {
    const request = {
      addresses: [address],
      json: flags.json === true,
      recursive: flags.recursive === true,
      acls: options.acls,
      streams: options.streams,
    };
    const asked = inspector.request('copy', request, (remark) => tellRemark(remark, flags));
    // Told below, once what was written before it is in order.
    asked.catch(() => undefined);
    extractor = openTarget(folder, options, await loadCLibrary());
    await extract(inspector, extractor, failures, asked);
    const { first } = await asked;
    if (first !== undefined) failures.status(fromPlainError(first));
    extractor.complete();
    report(extractor, flags);
  } finally {
    extractor?.close();
    await inspector.close();
  }
  failures.finish();
}

function openTarget(
  folder: string,
  options: ExtractOptions,
  library: Awaited<ReturnType<typeof loadCLibrary>>,
): Extractor {
  try {
    const isNew = mkdirSync(folder, { recursive: true }) !== undefined;
    return new Extractor(folder, isNew, options, library);
  } catch (error) {
    throw asRestoreError(error, 'cannot write to the folder', { object: folder });
  }
}

/** Writes what the inspector hands over, until its output or its answer says that this was all. */
async function extract(
  inspector: Inspector,
  extractor: Extractor,
  failures: Failures,
  asked: Promise<unknown>,
): Promise<void> {
  const output = inspector.output;
  if (output === undefined) throw new RestoreError('IO', 'the inspector has no output');
  let path: readonly string[] = [];
  const attempt = (step: () => void): void => {
    try {
      step();
    } catch (error) {
      extractor.abandon();
      failures.add(asRestoreError(error, 'cannot write it'), path);
    }
  };
  // Without an answer there may be no last frame either.
  asked.catch(() => output.destroy());
  for await (const frame of framesUntilClosed(output)) {
    if (frame.kind === 'done') return;
    if (frame.kind === 'entry') {
      path = frame.entry.path;
      attempt(() => extractor.begin(frame.entry));
    } else if (frame.kind === 'data') attempt(() => extractor.write(frame.offset, frame.bytes));
    else if (frame.error === undefined) attempt(() => extractor.finish());
    else extractor.abandon();
  }
}

/** Why the stream broke off is told by the request's own failure. */
async function* framesUntilClosed(output: Readable): AsyncGenerator<CopyFrame> {
  try {
    yield* copyFrames(output);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}

class Failures {
  readonly #flags: OutputOptions;
  #count = 0;

  constructor(flags: OutputOptions) {
    this.#flags = flags;
  }

  /** @throws RestoreError when there is no sense in going on. */
  add(error: RestoreError, path: readonly string[]): void {
    if (FATAL_CODES.has(error.code)) throw error;
    this.#count += 1;
    this.status(error);
    if (this.#count > FAILURES_TOLD_MAX) return;
    const named = new RestoreError(error.code, `${showName(path.join('/'))}: ${error.message}`, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
    reportError(named, this.#flags.json === true);
  }

  /** The first failure is the command's exit status. */
  status(error: RestoreError): void {
    process.exitCode ??= exitStatus(error);
  }

  finish(): void {
    const untold = this.#count - FAILURES_TOLD_MAX;
    if (untold > 0) warn(`${untold} more errors`);
  }
}

function report({ counts, shortcomings }: Extractor, flags: OutputOptions): void {
  if (counts.skippedDevices > 0) {
    warn(`${counts.skippedDevices} device nodes, fifos and sockets left out; --devices makes them`);
  }
  for (const shortcoming of shortcomings) warn(shortcoming);
  print(flags, { ...counts, shortcomings }, ({ files, directories, links, bytes }) => {
    const parts = [
      counted(files, 'file', 'files'),
      counted(directories, 'directory', 'directories'),
      counted(links, 'link', 'links'),
      counted(bytes, 'byte', 'bytes'),
    ];
    return `${parts.join(', ')}\n`;
  });
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
