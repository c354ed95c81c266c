import { asRestoreError, type Attributes, RestoreError } from '../../../core/index.ts';
import { type Place, showName, type TreeEntry, walk } from '../../../vfs/index.ts';
import type { InspectContext, OpenAddress } from '../session.ts';

/**
 * Files of larger directories come as they are read, near each other on the disk: by name, each one
 * would have another part of the disk decoded for itself.
 */
const SORTED_MAX = 32_768;

/** One file, directory or link that is to leave the machine. */
export interface Below {
  readonly place: Place;
  /** Names from the place that was named down to it; none for that place itself. */
  readonly path: readonly string[];
  readonly attributes: Attributes;
}

/**
 * What an address names, and all that is in it when it is a directory: each directory right before
 * what is in it, as unpackers expect it, who give a directory its time when they leave it. What cannot
 * be read, and what has a name that no file has anywhere, is told and left out.
 */
export async function* below(
  context: InspectContext,
  { tree, place }: OpenAddress,
  recursive: boolean,
): AsyncGenerator<Below> {
  const attributes = await place.volume.fileSystem.stat(place.node);
  if (attributes.kind !== 'directory') {
    yield { place, path: [place.path.slice(place.path.lastIndexOf('/') + 1)], attributes };
    return;
  }
  yield { place, path: [], attributes };
  if (!recursive) return;
  const base = place.path === '/' ? 0 : place.path.length;
  const namesOf = ({ path }: Place): string[] => path.slice(base).split('/').filter(Boolean);
  const options = { attributes: true, sorted: true, sortedMax: SORTED_MAX };
  for await (const step of walk(tree, place, options)) {
    const { directory, entries, error, from, isEntered, isFirst } = step;
    if (from !== undefined && isFirst) {
      const { parent, entry } = from;
      const own = await belowOf(context, parent, namesOf(parent), entry);
      if (own !== undefined) yield own;
    }
    if (error !== undefined) context.remarks.fail(error, showName(directory.path));
    if (!isEntered) continue;
    const names = namesOf(directory);
    for (const entry of entries) {
      // Those that can be entered have a step of their own.
      if ((entry.attributes?.kind ?? entry.kind) === 'directory') continue;
      const found = await belowOf(context, directory, names, entry);
      if (found !== undefined) yield found;
    }
  }
}

/**
 * {@link below} with the names that an archive gives: of several addresses, a directory keeps its own
 * name above what it holds, so that two directories in one archive do not run into each other.
 */
export async function* belowInArchive(
  context: InspectContext,
  address: OpenAddress,
  isAlone: boolean,
): AsyncGenerator<Below> {
  const name = address.place.path.slice(address.place.path.lastIndexOf('/') + 1);
  let above: readonly string[] | undefined;
  for await (const found of below(context, address, true)) {
    // What was named comes first: a directory without a name, a file with its own.
    above ??= isAlone || name === '' || found.path.length > 0 ? [] : [name];
    yield { ...found, path: [...above, ...found.path] };
  }
}

async function belowOf(
  { remarks }: InspectContext,
  directory: Place,
  names: readonly string[],
  { name, node, attributes, error, mount }: TreeEntry,
): Promise<Below | undefined> {
  const path = `${directory.path === '/' ? '' : directory.path}/${name}`;
  try {
    if (!isName(name)) throw noName(name);
    if (error !== undefined) throw error;
    if (attributes === undefined) throw unreadable();
    const volume = mount === undefined ? directory.volume : await mount.open();
    const place = { path, volume, node: mount === undefined ? node : volume.fileSystem.root };
    return { place, path: [...names, name], attributes };
  } catch (cause) {
    remarks.fail(asRestoreError(cause, 'cannot read it'), showName(path));
    return undefined;
  }
}

/** A name that would be a path, or no name at all, wherever it is written. */
function isName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);
}

function noName(name: string): RestoreError {
  return new RestoreError('CORRUPT', 'a name that no file can have', {
    where: { structure: 'directory entry', found: showName(name) },
  });
}

function unreadable(): RestoreError {
  return new RestoreError('CORRUPT', 'its attributes cannot be read');
}

/** Names the file among those with several names; `undefined` for all others. */
export function linkKey({ place, attributes }: Below): string | undefined {
  const { kind, links, fileNumber } = attributes;
  return kind === 'file' && links > 1 ? `${place.volume.id}\n${fileNumber}` : undefined;
}

/** Where a link leads; a relative Windows target works anywhere once its slashes lean forward. */
export async function portableTarget({ volume, node }: Place): Promise<string> {
  const { target, style } = await volume.fileSystem.readLink(node);
  const isRelative = !/^([A-Za-z]:|\\)/.test(target);
  return style === 'windows' && isRelative ? target.replaceAll('\\', '/') : target;
}
