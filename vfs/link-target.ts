import { type LinkTarget, RestoreError } from '../core/index.ts';

/** A link's target as steps of a path. */
export interface LinkSteps {
  /** Where the steps begin. */
  readonly from: 'here' | 'machine' | 'volume';
  readonly names: readonly string[];
}

/** `\??\` (NT object manager), `\\?\` and `\\.\` (Win32) say that a full path follows. */
const WINDOWS_PREFIX = /^\\(?:\?\?|\\[?.])\\/;
const DRIVE = /^[A-Za-z]:(?=\\|$)/;
const VOLUME_GUID = /^Volume(\{[0-9a-f-]{36}\})(?=\\|$)/i;

/**
 * Reads a target by the rules of the system that made it.
 *
 * @throws RestoreError `UNSUPPORTED` for what leads out of the machine: another computer's share.
 */
export function readTarget({ target, style }: LinkTarget): LinkSteps {
  if (style === 'windows') return readWindowsTarget(target);
  const from = target.startsWith('/') ? 'machine' : 'here';
  return { from, names: target.split('/') };
}

function readWindowsTarget(target: string): LinkSteps {
  const full = target.replace(WINDOWS_PREFIX, '');
  const isFull = full.length < target.length;
  const drive = DRIVE.exec(full) ?? VOLUME_GUID.exec(full);
  if (drive !== null) {
    const [name] = drive;
    return { from: 'machine', names: [name, ...split(full.slice(name.length))] };
  }
  if (isFull || target.startsWith('\\\\')) {
    throw new RestoreError('UNSUPPORTED', 'the link leads out of this machine', {
      where: { found: JSON.stringify(target) },
    });
  }
  return { from: target.startsWith('\\') ? 'volume' : 'here', names: split(target) };
}

/** Windows takes either slash, except behind a full path's prefix, where `/` cannot occur. */
function split(path: string): string[] {
  return path.split(/[\\/]/);
}
