import { closeSync, constants, linkSync, openSync, renameSync, unlinkSync } from 'node:fs';
import { asPath } from './beneath.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

/** What file systems without hard links say: FAT, exFAT, some that come over a network or FUSE. */
const NO_LINKS: ReadonlySet<string> = new Set([
  ...['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL', 'EMLINK'],
]);

/** Whether a hard link failed because there are none here. */
export function hasNoLinks(error: unknown): boolean {
  return NO_LINKS.has((error as NodeJS.ErrnoException).code ?? '');
}

/**
 * Gives a file a name that nothing has, and takes its old one away.
 *
 * @throws NodeJS.ErrnoException `EEXIST` when something has it.
 */
export function giveNewName(from: Uint8Array, to: Uint8Array): void {
  try {
    // A link, unlike a rename, replaces nothing.
    linkSync(asPath(from), asPath(to));
  } catch (error) {
    if (!hasNoLinks(error)) throw error;
    // Nothing but the empty file that takes the name is replaced.
    closeSync(openSync(asPath(to), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
    renameSync(asPath(from), asPath(to));
    return;
  }
  unlinkSync(asPath(from));
}

export function removeQuietly(path: Uint8Array): void {
  try {
    unlinkSync(asPath(path));
  } catch {
    // It is not there.
  }
}
