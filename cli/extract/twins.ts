import { lstatSync, readdirSync } from 'node:fs';
import { nameToBytes, RestoreError } from '../../core/index.ts';
import { asPath, openPath, type PlaceBeneath } from './beneath.ts';

/**
 * Files of one copy that are one file where they are copied to: names that differ in case or in how an
 * accent is composed alone, on a target that takes them for the same; or one name that a damaged
 * directory has twice. The first one stays.
 */
export class Twins {
  /** Names made in the directory at hand, by folded name: twins stand side by side. */
  readonly #files = new Map<string, string>();
  #directory = '';
  /** Names of the directories made, by folded path. */
  readonly #directories = new Map<string, string>();
  readonly #refused = new Set<string>();

  /** @throws RestoreError `EXISTS` when what stands there was made by this copy. */
  checkFile(path: readonly string[], place: PlaceBeneath): void {
    const name = path.at(-1) ?? '';
    if (isTwin(this.#filesBeside(path).get(fold(name)), name, place)) throw twin();
  }

  noteFile(path: readonly string[]): void {
    const name = path.at(-1) ?? '';
    this.#filesBeside(path).set(fold(name), name);
  }

  /**
   * A directory that is there already may not be one that this copy made.
   *
   * @throws RestoreError `EXISTS`; then for all that is to go into it, too.
   */
  checkDirectory(path: readonly string[], place: PlaceBeneath): void {
    const whole = path.join('/');
    if (!isTwin(this.#directories.get(fold(whole)), path.at(-1) ?? '', place)) return;
    this.#refused.add(whole);
    throw twin();
  }

  noteDirectory(path: readonly string[]): void {
    this.#directories.set(fold(path.join('/')), path.at(-1) ?? '');
  }

  /** @throws RestoreError `EXISTS` for what belongs into a directory that was refused. */
  checkWay(path: readonly string[]): void {
    if (this.#refused.size === 0) return;
    for (let depth = 1; depth < path.length; depth += 1) {
      if (this.#refused.has(path.slice(0, depth).join('/'))) throw twin();
    }
  }

  #filesBeside(path: readonly string[]): Map<string, string> {
    const directory = path.slice(0, -1).join('/');
    if (directory !== this.#directory) this.#files.clear();
    this.#directory = directory;
    return this.#files;
  }
}

/**
 * Whether what stands at `place` is the file that was made as `made`. File numbers do not tell: some
 * systems give one file two, by two names. What the directory lists does.
 */
function isTwin(
  made: string | undefined,
  name: string,
  { bytes, directory }: PlaceBeneath,
): boolean {
  if (made === undefined) return false;
  if (lstatSync(asPath(bytes), { throwIfNoEntry: false }) === undefined) return false;
  if (made === name) return true;
  const own = nameToBytes(name);
  const listed = readdirSync(openPath(directory), { encoding: 'buffer' });
  return !listed.some((each) => Buffer.compare(each, own) === 0);
}

/** Coarser than any file system's own rule: what it takes for alike is looked at. */
function fold(name: string): string {
  return name.normalize('NFC').toUpperCase().toLowerCase();
}

function twin(): RestoreError {
  return new RestoreError('EXISTS', 'another file of this copy has that name here', {
    hint: 'The target takes both names for one: copy to a file system that tells them apart.',
  });
}
