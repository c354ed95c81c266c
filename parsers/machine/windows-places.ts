import type { BlockSource } from '../../core/index.ts';
import type { MachineVolumes, Volume } from '../volume/model.ts';
import { Hive } from './hive.ts';
import { driveLetters, type LetterTarget, volumesAt } from './mounted-devices.ts';
import type { MachinePlaces, Mount, Unplaced } from './places.ts';

/** A volume with Windows on it, and its `\Windows\System32\config\SYSTEM`. */
export interface WindowsRoot {
  readonly volume: Volume;
  readonly systemHive: BlockSource;
}

/**
 * Puts volumes at the drive letters that Windows gave them.
 *
 * @throws RestoreError `CORRUPT` when the hive cannot be read.
 */
export async function windowsPlaces(
  { volume, systemHive }: WindowsRoot,
  machine: MachineVolumes,
): Promise<MachinePlaces> {
  const hive = await Hive.open(systemHive);
  const values = (await hive.values(['MountedDevices'])) ?? [];
  const mounts: Mount[] = [];
  const unplaced: Unplaced[] = [];
  for (const { at, target } of driveLetters(values)) {
    const found = volumesAt(target, machine);
    const [first, second] = found;
    if (first !== undefined && second === undefined) {
      mounts.push({ at, volume: first.id, how: 'by drive letter' });
    } else {
      unplaced.push({ at, device: nameOf(target), why: whyNot(target, found) });
    }
  }
  const hasOwn = mounts.some((mount) => mount.volume === volume.id);
  if (!hasOwn && !mounts.some(({ at }) => at === 'C:')) {
    mounts.push({ at: 'C:', volume: volume.id, how: 'it holds \\Windows' });
  }
  mounts.sort((a, b) => (a.at < b.at ? -1 : 1));
  return {
    mounts,
    unplaced: unplaced.filter(({ at }) => !isMounted(mounts, at)),
    findings: hive.findings,
  };
}

function isMounted(mounts: readonly Mount[], at: string): boolean {
  return mounts.some((mount) => mount.at === at);
}

function whyNot(target: LetterTarget, found: readonly Volume[]): string {
  if (target.kind === 'device') return 'a CD drive, a removable disk or the like';
  if (found.length === 0) return 'no disk of this restore point has such a partition';
  return `several volumes fit: ${found.map(({ id }) => id).join(', ')}`;
}

function nameOf(target: LetterTarget): string {
  if (target.kind === 'gpt') return `partition ${target.guid}`;
  if (target.kind === 'device') return target.path;
  return `disk ${target.signature}, offset ${target.offset}`;
}
