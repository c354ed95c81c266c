import {
  asRestoreError,
  type BlockSource,
  Budget,
  type FileSystem,
  type Finding,
  nameFromBytes,
  type NodeId,
  readBytes,
  throwIfAborted,
} from '../../core/index.ts';
import type { MachineVolumes, Volume } from '../volume/model.ts';
import { isOwnRoot, linuxPlaces, type LinuxRoot } from './linux-places.ts';
import { type MachinePlaces, NO_PLACES } from './places.ts';
import { windowsPlaces } from './windows-places.ts';

export interface PlaceVolumesOptions {
  readonly signal?: AbortSignal;
}

/** For all volumes of a machine: each has its own budget, and a hostile machine has hundreds. */
const TIME_MS_MAX = 30_000;
const TABLE_BYTES_MAX = 1024 * 1024;
/** Where a root is on btrfs: the volume's own, or a subvolume of the names that installers give. */
const ROOT_FOLDERS = ['', '@', '@rootfs', 'root'];
const SYSTEM_HIVE = ['Windows', 'System32', 'config', 'SYSTEM'];

/**
 * Looks at every readable file system for a Linux or a Windows root, and puts the machine's volumes
 * where these have them. A machine that starts both has both.
 *
 * @param openVolume opens a volume's file system; closed here after use.
 * @throws RestoreError `IO`, `CANCELLED`; what one volume's damage hides is a finding.
 */
export async function placeVolumes(
  machine: MachineVolumes,
  openVolume: (volume: Volume) => Promise<FileSystem>,
  options: PlaceVolumesOptions = {},
): Promise<MachinePlaces> {
  const findings: Finding[] = [];
  const linux: LinuxRoot[] = [];
  const windows: MachinePlaces[] = [];
  const budget = new Budget({ timeMs: TIME_MS_MAX });
  for (const volume of machine.volumes.filter(({ content }) => content.isReadable)) {
    throwIfAborted(options.signal);
    await guarded(volume, findings, async () => {
      budget.checkTime();
      const fileSystem = await openVolume(volume);
      try {
        const root = await findLinux(volume, fileSystem);
        if (root !== undefined) linux.push(root);
        const hive = await findFile(fileSystem, SYSTEM_HIVE);
        if (hive !== undefined) {
          windows.push(
            await using(hive, (systemHive) => windowsPlaces({ volume, systemHive }, machine)),
          );
        }
      } finally {
        await fileSystem.close();
      }
    });
  }
  const [first = NO_PLACES, ...others] = windows;
  if (others.length > 0)
    findings.push({ message: 'there are several Windows; the first one counts' });
  return together([chooseLinux(linux, machine, findings), first], findings);
}

function chooseLinux(
  roots: readonly LinuxRoot[],
  machine: MachineVolumes,
  findings: Finding[],
): MachinePlaces {
  const root = roots.find((each) => isOwnRoot(each, machine)) ?? roots[0];
  if (root === undefined) return NO_PLACES;
  const others = roots.filter((each) => each !== root).map(({ volume }) => volume.id);
  if (others.length > 0) {
    findings.push({
      message: `${root.volume.id} is taken as the root; ${others.join(', ')} look like one too`,
    });
  }
  return linuxPlaces(root, machine);
}

function together(parts: readonly MachinePlaces[], findings: readonly Finding[]): MachinePlaces {
  return {
    mounts: parts.flatMap(({ mounts }) => mounts),
    unplaced: parts.flatMap(({ unplaced }) => unplaced),
    findings: [...findings, ...parts.flatMap((part) => part.findings)],
  };
}

async function findLinux(volume: Volume, fileSystem: FileSystem): Promise<LinuxRoot | undefined> {
  for (const folder of ROOT_FOLDERS) {
    const above = folder === '' ? [] : [folder];
    const fstab = await findFile(fileSystem, [...above, 'etc', 'fstab']);
    if (fstab === undefined) continue;
    const crypttab = await findFile(fileSystem, [...above, 'etc', 'crypttab']);
    return {
      volume,
      ...(folder === '' ? {} : { subvolume: folder }),
      fstab: await using(fstab, readTable),
      crypttab: crypttab === undefined ? '' : await using(crypttab, readTable),
    };
  }
  return undefined;
}

/** A regular file, where there is one; symbolic links are not followed. */
async function findFile(
  fileSystem: FileSystem,
  path: readonly string[],
): Promise<BlockSource | undefined> {
  let node: NodeId = fileSystem.root;
  for (const name of path) {
    if ((await fileSystem.stat(node)).kind !== 'directory') return undefined;
    const next = await fileSystem.lookup(node, name);
    if (next === undefined) return undefined;
    node = next;
  }
  if ((await fileSystem.stat(node)).kind !== 'file') return undefined;
  return await fileSystem.open(node);
}

async function readTable(source: BlockSource): Promise<string> {
  return nameFromBytes(await readBytes(source, 0, Math.min(source.size, TABLE_BYTES_MAX)));
}

async function using<T>(source: BlockSource, use: (source: BlockSource) => Promise<T>): Promise<T> {
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}

async function guarded(
  volume: Volume,
  findings: Finding[],
  look: () => Promise<void>,
): Promise<void> {
  try {
    await look();
  } catch (thrown) {
    const error = asRestoreError(thrown, 'a volume could not be looked at');
    if (error.code === 'IO' || error.code === 'CANCELLED') throw error;
    findings.push({ message: `${volume.id}: ${error.message}`, where: error.where });
  }
}
