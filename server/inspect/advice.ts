import {
  type Address,
  fromPlainError,
  isRestoreError,
  type RestoreError,
  toPlainError,
} from '../../core/index.ts';
import type { Places } from '../../vfs/index.ts';

const DRIVE = /^\/?[A-Za-z]:(\/|$)/;
const DISK_ID = /^disk\d+$/;

/**
 * What is not found, with advice where the address itself shows what went wrong: a path where a volume
 * stands, wildcards, drives that are not known or not named. Any other error as it is.
 */
export async function withAdvice(
  error: unknown,
  address: Address,
  places: () => Promise<Places>,
): Promise<unknown> {
  if (!isRestoreError(error, 'NOT_FOUND')) return error;
  const hint = await adviceFor(error, address, places);
  return hint === undefined ? error : fromPlainError({ ...toPlainError(error), hint });
}

async function adviceFor(
  error: RestoreError,
  { machine, point, disk, volume, path }: Address,
  places: () => Promise<Places>,
): Promise<string | undefined> {
  const base = `${machine}@${point}`;
  if (path === undefined) {
    if (disk === undefined || DISK_ID.test(disk)) return undefined;
    const meant = volume === undefined ? disk : `${disk}/${volume}`;
    return `${error.hint ?? ''} A path stands behind a colon: ${base}:/${meant}.`.trim();
  }
  if (/[*?]/.test(path)) return 'For wildcards there is `rehydrate find` with --name.';
  if (disk !== undefined) return undefined;
  const drives = (await places()).mounts.map(({ at }) => at).filter((at) => DRIVE.test(at));
  const [drive] = drives;
  const isDrive = DRIVE.test(path);
  if (drive === undefined && isDrive) {
    return `Nothing on these disks tells their drive letters. Name the volume, such as ${base}/disk0/p1:/; \`rehydrate volumes\` lists them.`;
  }
  return drive === undefined || isDrive ? undefined : `Begin with a drive: ${base}:${drive}/.`;
}
