import { RestoreError } from './errors.ts';

/**
 * Anything in a repository by one name: `machine@point[/disk[/volume]][:/path]`. `point` is
 * `latest`, an RFC 3339 time or a prefix of one, or an id prefix.
 */
export interface Address {
  readonly machine: string;
  readonly point?: string;
  readonly disk?: string;
  readonly volume?: string;
  /** Absolute, with its leading slash; a Windows path as `/C:/Users`. */
  readonly path?: string;
}

/** Machine names: what fits into an address, a file name and a log line without quoting. */
const MACHINE_NAME = /^[^\s@/:\\\p{C}]{1,255}$/u;

/** `:C:` before a slash, a backslash or the end. */
const DRIVE_PATH = /:[A-Za-z]:(?=[/\\]|$)/;

/** @throws RestoreError `INVALID` with what is wrong and how an address looks. */
export function parseAddress(text: string): Address {
  const { place, path } = splitPath(text);
  if (path === undefined) checkNoPath(text);
  const at = place.indexOf('@');
  const machine = at < 0 ? place : place.slice(0, at);
  checkMachineName(machine);
  if (at < 0) {
    if (path !== undefined) {
      throw malformed(text, 'a path needs a restore point', `${machine}@latest:${path}`);
    }
    return { machine };
  }
  const [point = '', disk, ...volume] = place.slice(at + 1).split('/');
  if (point === '') throw malformed(text, 'nothing stands behind the @');
  if (disk === '' || volume.includes('')) throw malformed(text, 'a part between slashes is empty');
  return {
    machine,
    point,
    ...(disk === undefined ? {} : { disk }),
    ...(volume.length === 0 ? {} : { volume: volume.join('/') }),
    ...(path === undefined ? {} : { path }),
  };
}

/**
 * The path begins at the first `:/` or `:\`, or at a drive letter: `sql02@latest:C:\Users`. A time has
 * no letter alone between two colons. Where it begins as Windows writes paths, it goes on so.
 */
function splitPath(text: string): { readonly place: string; readonly path?: string } {
  const pathAt = text.search(/:[/\\]/);
  const driveAt = text.search(DRIVE_PATH);
  if (driveAt >= 0 && (pathAt < 0 || driveAt < pathAt)) {
    const path = `/${text.slice(driveAt + 1).replaceAll('\\', '/')}`;
    return { place: text.slice(0, driveAt), path };
  }
  if (pathAt < 0) return { place: text };
  const path = text.slice(pathAt + 1);
  return {
    place: text.slice(0, pathAt),
    path: path.startsWith('\\') ? path.replaceAll('\\', '/') : path,
  };
}

/** A path without its first slash would be taken for a part of a point's or a disk's name. */
function checkNoPath(text: string): void {
  // Behind the colons of times stand digits.
  const colonAt = text.search(/:(?!\d\d)/);
  if (colonAt < 0) return;
  const point = text.includes('@') ? '' : '@latest';
  const meant = `${text.slice(0, colonAt)}${point}:/${text.slice(colonAt + 1)}`;
  throw malformed(text, 'a path begins with a slash', meant);
}

/** @throws RestoreError `INVALID` unless `name` can name a machine. */
export function checkMachineName(name: string): void {
  if (MACHINE_NAME.test(name)) return;
  throw new RestoreError('INVALID', 'not a machine name', {
    where: { found: JSON.stringify(name) },
    hint: 'Use 1 to 255 characters without blanks, @, /, \\ and :.',
  });
}

/** The names most like `wanted`, best first, for "did you mean". */
export function nearest(wanted: string, names: Iterable<string>, most = 3): string[] {
  const limit = Math.max(2, Math.ceil(wanted.length / 2));
  return [...new Set(names)]
    .map((name) => ({ name, distance: distanceOf(wanted.toLowerCase(), name.toLowerCase()) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, most)
    .map(({ name }) => name);
}

/** Levenshtein's distance, where a prefix counts as near. */
function distanceOf(a: string, b: string): number {
  if (a !== '' && (b.startsWith(a) || a.startsWith(b))) return 1;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(
        Math.min(
          (row[j] as number) + 1,
          (next[j - 1] as number) + 1,
          (row[j - 1] as number) + same,
        ),
      );
    }
    row = next;
  }
  return row[b.length] as number;
}

function malformed(text: string, why: string, meant?: string): RestoreError {
  const hint =
    meant === undefined
      ? 'Write machine@point[/disk[/volume]][:/path], for example web01@latest:/etc/hosts.'
      : `Write ${meant}.`;
  return new RestoreError('INVALID', `not an address: ${why}`, { where: { found: text }, hint });
}
