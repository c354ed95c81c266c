import { mkdirSync, statSync } from 'node:fs';
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
    const isNew = mkdirSync(folder, { recursive: true }) !== undefined;
    return new Extractor(folder, isNew, options, library);
  } catch (error) {
    throw asRestoreError(error, 'cannot write to the folder', { object: folder });
  }
}
