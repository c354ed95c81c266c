import { type ErrorCode, fromPlainError, RestoreError, toPlainError } from '../../core/index.ts';
import { showName } from '../../vfs/index.ts';
import { exitStatus, reportError } from '../support/errors.ts';
import { formatBytes } from '../support/format.ts';
import { type OutputOptions, print, warn } from '../support/output.ts';
import type { Progress } from '../support/progress.ts';
import type { ExtractCounts } from './extractor.ts';

/** Failures told by name; a full disk or a broken source would name every file. */
const FAILURES_TOLD_MAX = 50;

/** Why something was left out, for people: "3 damaged, 1 there already". */
const REASONS = {
  NOT_FOUND: 'not found',
  EXISTS: 'there already (--force replaces them)',
  INVALID: 'not possible in this folder',
  CORRUPT: 'damaged',
  UNSUPPORTED: 'of a kind that cannot be copied',
  WRONG_KEY: 'under another key',
  IO: 'not to be read or written',
  NO_SPACE: 'without space',
  BUSY: 'in use',
  CANCELLED: 'interrupted',
  DENIED: 'not allowed',
  LIMIT: 'over a limit',
} as const satisfies Record<ErrorCode, string>;

/** What the system says of a link or a node is not for people. */
const THERE_ALREADY = {
  code: 'EXISTS',
  message: 'a file of that name is there already',
  hint: 'Choose an empty folder, or replace files with --force.',
} as const;

export interface CopyTotals {
  readonly folder: string;
  readonly counts: ExtractCounts;
  readonly shortcomings: readonly string[];
  /** Failures of the inspector that it did not tell one by one. */
  readonly untold: number;
}

/** What a copy could not do, told as it happens, and what became of all, told at its end. */
export class CopyResult {
  progress: Progress | undefined;
  readonly #flags: OutputOptions;
  readonly #byCode = new Map<ErrorCode, number>();
  readonly #hints = new Set<string>();
  #told = 0;
  #count = 0;

  constructor(flags: OutputOptions) {
    this.#flags = flags;
  }

  /** Something that could not be written. */
  failToWrite(error: RestoreError, path: readonly string[]): void {
    const { code, message, hint } = error.code === 'EXISTS' ? THERE_ALREADY : error;
    this.fail(
      new RestoreError(code, `${showName(path.join('/'))}: ${message}`, {
        ...(hint === undefined ? {} : { hint }),
      }),
    );
  }

  /** Something that is left out; the first one is the command's exit status. */
  fail(error: RestoreError): void {
    process.exitCode ??= exitStatus(error);
    this.#count += 1;
    this.#byCode.set(error.code, (this.#byCode.get(error.code) ?? 0) + 1);
    if (this.#told === FAILURES_TOLD_MAX) return;
    this.#told += 1;
    this.progress?.clear();
    reportError(this.#hintedOnce(error), this.#flags.json === true);
  }

  warn(message: string): void {
    this.progress?.clear();
    warn(message);
  }

  finish({ folder, counts, shortcomings, untold }: CopyTotals): void {
    if (this.#count > this.#told) warn(`${this.#count - this.#told} more errors`);
    for (const shortcoming of shortcomings) warn(shortcoming);
    const leftOut = this.#count + untold;
    const result = {
      folder,
      ...counts,
      shortcomings,
      leftOut,
      reasons: Object.fromEntries(this.#byCode),
    };
    print(
      this.#flags,
      result,
      () => copiedLine(counts, folder) + this.#leftOutLine(counts, untold),
    );
  }

  #leftOutLine({ skippedDevices }: ExtractCounts, untold: number): string {
    const why = [...this.#byCode].map(([code, count]) => `${count} ${REASONS[code]}`);
    if (untold > 0) why.push(`${untold} more`);
    if (skippedDevices > 0) {
      why.push(`${skippedDevices} device nodes, fifos or sockets (--devices makes them)`);
    }
    const total = this.#count + untold + skippedDevices;
    return total === 0 ? '' : `left out ${total}: ${why.join(', ')}\n`;
  }

  /** A hundred files that are there already need the advice once. */
  #hintedOnce(error: RestoreError): RestoreError {
    const { hint } = error;
    if (hint === undefined || this.#flags.json === true) return error;
    if (this.#hints.has(hint)) return fromPlainError({ ...toPlainError(error), hint: undefined });
    this.#hints.add(hint);
    return error;
  }
}

function copiedLine(
  { files, directories, links, others, bytes }: ExtractCounts,
  folder: string,
): string {
  const parts = [
    counted(files, 'file', 'files'),
    ...(directories > 0 ? [counted(directories, 'directory', 'directories')] : []),
    ...(links > 0 ? [counted(links, 'link', 'links')] : []),
    ...(others > 0 ? [counted(others, 'device node', 'device nodes')] : []),
  ];
  return `copied ${parts.join(', ')} (${formatBytes(bytes)}) into ${showName(folder)}\n`;
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
