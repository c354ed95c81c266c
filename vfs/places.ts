import type { MachinePlaces, MachineVolumes, Volume, VolumeAt } from '../parsers/index.ts';
import type { Mount, VolumeHandle } from './place.ts';
import { Tree } from './tree.ts';

/** A machine's volumes at their places. */
export interface Places {
  readonly tree: Tree;
  /** Where each volume is: `/var`, `C:`. */
  readonly mounts: readonly VolumeAt[];
  readonly problems: readonly PlaceProblem[];
}

/** Why a part of the tree may be another than on the running machine. */
export interface PlaceProblem {
  /** The path whose volume is not there; `/` where it may be any. */
  readonly at: string;
  readonly message: string;
}

type HandleOf = (id: string) => VolumeHandle;

/**
 * The tree that a machine's own system would show. Without a word of where its volumes belong, the
 * only one that holds files is the tree, and several are listed by id: nothing is hidden.
 */
export function treeOfMachine(
  { volumes }: MachineVolumes,
  { mounts: found, unplaced, findings }: MachinePlaces,
  handleOf: HandleOf,
): Places {
  const mounts: Mount[] = [];
  const problems: PlaceProblem[] = [
    ...unplaced.map(({ at, device, why }) => ({
      at: pathOf(at),
      message: `what belongs at ${at} (${device}) is not shown there: ${why}`,
    })),
    ...findings.map(({ message }) => ({ at: '/', message })),
  ];
  for (const { at, volume, subvolume } of found) {
    const path = pathOf(at);
    if (isOdd(path)) problems.push({ at: '/', message: `a mount point makes no sense: ${at}` });
    else if (subvolume !== undefined) {
      const message = `${at} is the folder ${subvolume} of ${volume}, which is not read yet`;
      problems.push({ at: path, message });
    } else mounts.push({ at: path, volume: handleOf(volume) });
  }
  const holding = volumes.filter(holdsFiles);
  if (mounts.length === 0) {
    return { tree: listingTree(named(holding, '', handleOf)), mounts: [], problems };
  }
  const hasRoot = mounts.some(({ at }) => at === '/');
  const placed = new Set(found.map(({ volume }) => volume));
  // Where only drive letters are known, what has none stands beside them.
  const rest = hasRoot ? [] : holding.filter(({ id }) => !placed.has(id));
  const tree = new Tree([...mounts, ...named(rest, '', handleOf)]);
  return { tree, mounts: found, problems };
}

/** The volumes of one disk: the only one, or a list of them. */
export function treeOfDisk({ volumes }: MachineVolumes, disk: string, handleOf: HandleOf): Tree {
  const own = volumes.filter((volume) => volume.disks.includes(disk) && holdsFiles(volume));
  return listingTree(named(own, `${disk}/`, handleOf));
}

function listingTree(mounts: readonly Mount[]): Tree {
  const [first] = mounts;
  if (first === undefined || mounts.length > 1) return new Tree(mounts);
  return new Tree([{ at: '/', volume: first.volume }]);
}

function named(volumes: readonly Volume[], prefix: string, handleOf: HandleOf): Mount[] {
  return volumes.map(({ id }) => ({
    at: `/${id.startsWith(prefix) ? id.slice(prefix.length) : id}`,
    volume: handleOf(id),
  }));
}

/** `C:` as `/C:`; one slash between names and none at the end. */
function pathOf(at: string): string {
  return `/${at.split('/').filter(Boolean).join('/')}`;
}

function isOdd(path: string): boolean {
  return path.split('/').some((name) => name === '.' || name === '..');
}

/** What has files, even when they cannot be read: to say so is better than to hide them. */
function holdsFiles({ content }: Volume): boolean {
  return content.isReadable || FILE_KINDS.has(content.kind);
}

const FILE_KINDS: ReadonlySet<string> = new Set(['file system', 'encrypted', 'unreadable']);
