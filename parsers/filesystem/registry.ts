import type { FileSystemDriver } from './driver.ts';
import { extByBackupDriver, extDriver } from './ext/driver.ts';
import { exfatDriver } from './exfat/driver.ts';
import { fatDriver } from './fat/driver.ts';
import { iso9660Driver } from './iso9660/driver.ts';
import { ntfsByBackupDriver, ntfsDriver } from './ntfs/driver.ts';

/**
 * Every file system that is read, in the order in which a volume is tried. The one place to add one.
 * FAT comes late: it has no signature but the plausibility of its fields. Last comes what is known
 * only by leftovers, which another file system may have as well.
 */
export const FILE_SYSTEM_DRIVERS: readonly FileSystemDriver[] = [
  extDriver,
  ntfsDriver,
  exfatDriver,
  fatDriver,
  iso9660Driver,
  extByBackupDriver,
  ntfsByBackupDriver,
];
