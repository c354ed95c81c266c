import { existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { asRestoreError, RestoreError } from '../../core/index.ts';
import { Extractor } from './extractor.ts';
import type { CLibrary } from './libc.ts';
import type { ExtractOptions } from './metadata.ts';

/**
 * The folder to copy into, made if it is not there.
 *
 * @throws RestoreError `EXISTS` when a file has that name, `DENIED`, `IO`, `NO_SPACE`.
 */
export function openTarget(
  folder: string,
  options: ExtractOptions,
  library: CLibrary | undefined,
): Extractor {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === false) {
    throw new RestoreError('EXISTS', `${folder} is no folder`, {
      hint: 'Name a folder: what is copied keeps its own name in it.',
    });
  }
  try {
    const isNew = !existsSync(folder);
    if (isNew) makeFolders(path.resolve(folder));
    return new Extractor(folder, isNew, options, library);
  } catch (error) {
    throw asRestoreError(error, 'cannot write to the folder', { object: folder });
  }
}

/** One by one: Node's own way goes round for ever where nothing can be made, as in /proc. */
function makeFolders(folder: string): void {
  const above = path.dirname(folder);
  if (!existsSync(above)) makeFolders(above);
  mkdirSync(folder);
}
