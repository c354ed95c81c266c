import { asRestoreError, type LinkTarget, type RestoreError } from '../../../core/index.ts';
import { type OpenVolume, showName, type TreeEntry } from '../../../vfs/index.ts';
import type { Remarks } from '../remarks.ts';
import type { Targets } from '../text/long-rows.ts';

const NONE: Targets = new Map();

/** Reads what the links among the entries of one volume lead to; what fails is told and noted. */
export async function linkTargets(
  { fileSystem }: OpenVolume,
  entries: readonly TreeEntry[],
  remarks: Remarks,
): Promise<Targets> {
  let targets: Map<TreeEntry, LinkTarget | RestoreError> | undefined;
  for (const entry of entries) {
    if (entry.attributes?.kind !== 'symlink') continue;
    targets ??= new Map();
    try {
      targets.set(entry, await fileSystem.readLink(entry.node));
    } catch (cause) {
      const error = asRestoreError(cause, 'cannot read a link');
      remarks.fail(error, showName(entry.name));
      targets.set(entry, error);
    }
  }
  return targets ?? NONE;
}
