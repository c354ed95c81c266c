import type { Finding } from '../../core/index.ts';
import type { MachineVolumes, Volume } from '../volume/model.ts';
import { type CrypttabEntry, parseCrypttab } from './crypttab.ts';
import { type FstabEntry, parseFstab } from './fstab.ts';
import { matchDevice } from './match-device.ts';
import type { MachinePlaces, Mount, Unplaced } from './places.ts';
import { withoutSlashesAtEnd } from './table-text.ts';

/** What a Linux root says about the machine. */
export interface LinuxRoot {
  readonly volume: Volume;
  /** The folder that is the root, where it is not the volume's own (btrfs). */
  readonly subvolume?: string;
  readonly fstab: string;
  /** Empty where there is none. */
  readonly crypttab: string;
}

/** Types that have no volume of their own. */
const TYPES_WITHOUT_VOLUME: ReadonlySet<string> = new Set([
  ...['proc', 'sysfs', 'tmpfs', 'devtmpfs', 'devpts', 'ramfs', 'cgroup', 'cgroup2', 'debugfs'],
  ...['securityfs', 'efivarfs', 'mqueue', 'hugetlbfs', 'configfs', 'swap', 'ignore', 'binfmt_misc'],
]);
const TYPES_NETWORK: ReadonlySet<string> = new Set([
  'nfs',
  'nfs4',
  'cifs',
  'smb3',
  'glusterfs',
  'ceph',
  '9p',
  'fuse.sshfs',
]);
/** Lines of fstab that are looked at. */
const MOUNTS_MAX = 1000;
/** Levels of a mount point, and its letters: more than any machine has (PATH_MAX is 4096). */
const LEVELS_MAX = 64;
const LENGTH_MAX = 1024;
/** Of a text out of a table, in a message. */
const TOLD_MAX = 200;

/** Puts the volumes that `/etc/fstab` names in their places. */
export function linuxPlaces(root: LinuxRoot, machine: MachineVolumes): MachinePlaces {
  const crypttab = parseCrypttab(root.crypttab);
  const mounts = new Map<string, Mount>();
  const unplaced: Unplaced[] = [];
  const entries = parseFstab(root.fstab).filter(isPlace);
  for (const entry of entries.slice(0, MOUNTS_MAX)) {
    const placed = placeEntry(entry, machine, crypttab);
    if ('why' in placed) unplaced.push(refusal(entry, placed));
    else mounts.set(placed.at, placed);
  }
  const more = entries.length - MOUNTS_MAX;
  const findings: Finding[] =
    more > 0 ? [{ message: `/etc/fstab has ${more} more lines, which were not looked at` }] : [];
  const own = mounts.get('/');
  if (own === undefined) mounts.set('/', rootItself(root));
  return { mounts: inOrder([...mounts.values()]), unplaced, findings };
}

/** Whether the fstab's own `/` is the volume that holds it: a copy of another machine's root is not. */
export function isOwnRoot(
  { volume, fstab, crypttab }: LinuxRoot,
  machine: MachineVolumes,
): boolean {
  const entry = parseFstab(fstab).find(({ at }) => at === '/');
  if (entry === undefined) return false;
  return matchDevice(entry.device, machine, parseCrypttab(crypttab)).volume?.id === volume.id;
}

function rootItself({ volume, subvolume }: LinuxRoot): Mount {
  const how = 'it holds /etc/fstab';
  return { at: '/', volume: volume.id, how, ...(subvolume === undefined ? {} : { subvolume }) };
}

function isPlace({ at, type }: FstabEntry): boolean {
  return at.startsWith('/') && !TYPES_WITHOUT_VOLUME.has(type);
}

function placeEntry(
  entry: FstabEntry,
  machine: MachineVolumes,
  crypttab: readonly CrypttabEntry[],
): Mount | { readonly why: string } {
  const { device, at, type, options } = entry;
  if (at.length > LENGTH_MAX || at.split('/').length > LEVELS_MAX) {
    return { why: 'no system has a mount point as deep or as long' };
  }
  if (TYPES_NETWORK.has(type) || /^[^/=]+:\/|^\/\//.test(device)) return { why: 'on the network' };
  if (options.includes('bind') || options.includes('rbind'))
    return { why: `another view of ${device}` };
  const match = matchDevice(device, machine, crypttab);
  if (match.volume === undefined) return { why: match.why };
  const subvolume = subvolumeOf(options);
  return {
    ...{ at, volume: match.volume.id, how: match.how },
    ...(subvolume === undefined ? {} : { subvolume }),
  };
}

function subvolumeOf(options: readonly string[]): string | undefined {
  const option = options.find((each) => each.startsWith('subvol='));
  const folder = withoutSlashesAtEnd(option?.slice('subvol='.length) ?? '').replace(/^\/+/, '');
  return folder === '' ? undefined : told(folder);
}

function refusal({ at, device }: FstabEntry, { why }: { readonly why: string }): Unplaced {
  return { at: told(at), device: told(device), why: told(why) };
}

function told(text: string): string {
  return text.length > TOLD_MAX ? `${text.slice(0, TOLD_MAX)}…` : text;
}

function inOrder(mounts: readonly Mount[]): Mount[] {
  const depth = ({ at }: Mount): number => at.split('/').filter((part) => part !== '').length;
  return [...mounts].sort((a, b) => depth(a) - depth(b) || (a.at < b.at ? -1 : 1));
}
