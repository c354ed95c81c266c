import type { Readable } from 'node:stream';
import type { Command } from 'commander';
import { asRestoreError, fromPlainError, RestoreError } from '../../core/index.ts';
import {
  type CopyFrame,
  copyFrames,
  Inspector,
  type InspectRemark,
  type InspectRequests,
} from '../../server/index.ts';
import { showName } from '../../vfs/index.ts';
import { CopyResult } from '../extract/copy-result.ts';
import type { ExtractCounts, Extractor } from '../extract/extractor.ts';
import { loadCLibrary } from '../extract/libc.ts';
import type { ExtractOptions } from '../extract/metadata.ts';
import { openTarget } from '../extract/target.ts';
import { type CredentialOptions, credentialFrom, withCredentials } from '../support/credentials.ts';
import { withExamples } from '../support/examples.ts';
import { type OutputOptions, withJson } from '../support/output.ts';
import { Progress, type ProgressState } from '../support/progress.ts';

interface CpFlags extends CredentialOptions, OutputOptions {
  readonly recursive?: boolean;
  readonly force?: boolean;
  readonly acls?: boolean;
  readonly streams?: boolean;
  readonly devices?: boolean;
  readonly keepPartial?: boolean;
  readonly progress?: boolean;
}

/** What ends the copy: every file after it would fail alike. */
const FATAL_CODES: ReadonlySet<string> = new Set(['NO_SPACE', 'CANCELLED']);
/** Copies that take no longer show no progress. */
const QUIET_MS = 1_000;
const NOTHING: ExtractCounts = {
  files: 0,
  directories: 0,
  links: 0,
  others: 0,
  bytes: 0,
  skippedDevices: 0,
};

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
    .option('--progress', 'tell how far it is where standard error is no terminal, too')
    .action(run);
  withCredentials(withJson(command));
  withExamples(command, [
    '/backup/repo web01@latest:/etc/fstab ./restored',
    '-r /backup/repo web01@2026-11-03:/srv/share ./share',
    "-r /backup/repo 'sql02@latest:C:\\Users\\eva' ./eva",
  ]);
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
    devices: flags.devices === true,
    keepPartial: flags.keepPartial === true,
    streams: flags.streams === true,
  };
  const library = await loadCLibrary();
  const inspector = Inspector.start({
    ...{ repository, output: 'pipe' },
    credential: credentialFrom(flags),
  });
  const copying = new Copying(inspector, () => openTarget(folder, options, library), flags);
  const interrupt = (): void => copying.interrupt();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    await copying.run(folder, {
      addresses: [address],
      json: flags.json === true,
      recursive: flags.recursive === true,
      acls: options.acls,
      streams: flags.streams === true,
    });
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    copying.close();
    await inspector.close();
  }
}

/** One copy on its way from an inspector, which is not trusted, into a folder. */
class Copying {
  readonly #inspector: Inspector;
  readonly #open: () => Extractor;
  readonly #result: CopyResult;
  readonly #progress: Progress | undefined;
  /** Once there is something to copy: a wrong address leaves no folder behind. */
  #extractor: Extractor | undefined;
  #path: readonly string[] = [];
  #told = 0;
  #isInterrupted = false;

  constructor(inspector: Inspector, open: () => Extractor, flags: CpFlags) {
    this.#inspector = inspector;
    this.#open = open;
    this.#result = new CopyResult(flags);
    const isWatched = process.stderr.isTTY || flags.json === true || flags.progress === true;
    if (!isWatched) return;
    this.#progress = new Progress(() => this.#state(), flags.json === true, QUIET_MS);
    this.#result.progress = this.#progress;
  }

  /** @throws RestoreError when nothing can be copied, `CANCELLED` when it was interrupted. */
  async run(folder: string, request: InspectRequests['copy']): Promise<void> {
    const asked = this.#inspector.request('copy', request, (remark) => this.#remark(remark));
    // Told below, once what was written before it is in order.
    asked.catch(() => undefined);
    await this.#extract(asked);
    if (this.#isInterrupted) throw this.#interrupted();
    const { failures } = await asked;
    this.#extractor?.complete();
    this.#progress?.stop();
    const { counts = NOTHING, shortcomings = [] } = this.#extractor ?? {};
    this.#result.finish({ folder, counts, shortcomings, untold: failures - this.#told });
  }

  /** Ends it at once, with nothing half-made. */
  interrupt(): void {
    this.#isInterrupted = true;
    this.#inspector.output?.destroy();
  }

  close(): void {
    this.#progress?.stop();
    this.#extractor?.close();
  }

  /** Writes what the inspector hands over, until its output or its answer says that this was all. */
  async #extract(asked: Promise<unknown>): Promise<void> {
    const { output } = this.#inspector;
    if (output === undefined) throw new RestoreError('IO', 'the inspector has no output');
    // Without an answer there may be no last frame either.
    asked.catch(() => output.destroy());
    for await (const frame of framesUntilClosed(output)) {
      if (frame.kind === 'done' || this.#isInterrupted) return;
      this.#extractor ??= this.#open();
      try {
        this.#write(this.#extractor, frame);
      } catch (error) {
        this.#extractor.abandon();
        this.#failed(writingError(error));
      }
    }
  }

  #write(extractor: Extractor, frame: Exclude<CopyFrame, { kind: 'done' }>): void {
    if (frame.kind === 'entry') {
      this.#path = frame.entry.path;
      extractor.begin(frame.entry);
    } else if (frame.kind === 'data') extractor.write(frame.offset, frame.bytes);
    else if (frame.error === undefined) extractor.finish();
    else extractor.abandon();
  }

  /** @throws RestoreError when there is no sense in going on. */
  #failed(error: RestoreError): void {
    if (FATAL_CODES.has(error.code)) throw error;
    this.#result.failToWrite(error, this.#path);
  }

  #remark(remark: InspectRemark): void {
    if (remark.kind === 'warning') this.#result.warn(remark.message);
    else {
      this.#told += 1;
      this.#result.fail(fromPlainError(remark.error));
    }
  }

  #state(): ProgressState {
    const { files, bytes } = this.#extractor?.counts ?? NOTHING;
    const details =
      this.#extractor === undefined
        ? ['opening the restore point']
        : [`${files} ${files === 1 ? 'file' : 'files'}`, showName(this.#path.join('/'))];
    return { doneBytes: bytes, totalBytes: undefined, details, fields: { files } };
  }

  #interrupted(): RestoreError {
    const { files } = this.#extractor?.counts ?? NOTHING;
    return new RestoreError('CANCELLED', `interrupted after ${files} files, which are whole`, {
      hint: 'To go on, copy into an empty folder, or replace them with --force.',
    });
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

/** Without the place where Node has it, which is one of this program's own. */
function writingError(error: unknown): RestoreError {
  const failure = asRestoreError(error, 'cannot write it');
  if (failure === error || !(error instanceof Error)) return failure;
  const [reason = ''] = error.message.split(', ');
  return new RestoreError(failure.code, `cannot write it: ${reason}`, { cause: error });
}
