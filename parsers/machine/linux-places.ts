import type { MachineVolumes, Volume } from '../volume/model.ts';
import { type CrypttabEntry, parseCrypttab } from './crypttab.ts';
import { type FstabEntry, parseFstab } from './fstab.ts';
import { matchDevice } from './match-device.ts';
import type { MachinePlaces, Mount, Unplaced } from './places.ts';

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
const MOUNTS_MAX = 1000;

/** Puts the volumes that `/etc/fstab` names in their places. */
export function linuxPlaces(root: LinuxRoot, machine: MachineVolumes): MachinePlaces {
  const crypttab = parseCrypttab(root.crypttab);
  const mounts = new Map<string, Mount>();
  const unplaced: Unplaced[] = [];
  for (const entry of parseFstab(root.fstab)) {
    if (!isPlace(entry)) continue;
    const placed = placeEntry(entry, machine, crypttab);
    if ('why' in placed || mounts.size >= MOUNTS_MAX) unplaced.push(refusal(entry, placed));
    else mounts.set(placed.at, placed);
  }
  const own = mounts.get('/');
  if (own === undefined) mounts.set('/', rootItself(root));
  return { mounts: inOrder([...mounts.values()]), unplaced, findings: [] };
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
  const folder = option?.slice('subvol='.length).replace(/^\/+|\/+$/g, '');
  return folder === '' ? undefined : folder;
}

function refusal({ at, device }: FstabEntry, placed: Mount | { readonly why: string }): Unplaced {
  return { at, device, why: 'why' in placed ? placed.why : 'there are too many mounts' };
}

function inOrder(mounts: readonly Mount[]): Mount[] {
  const depth = ({ at }: Mount): number => at.split('/').filter((part) => part !== '').length;
  return [...mounts].sort((a, b) => depth(a) - depth(b) || (a.at < b.at ? -1 : 1));
}
