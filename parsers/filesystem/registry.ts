import type { FileSystemDriver } from './driver.ts';
import { fatDriver } from './fat/driver.ts';

/**
 * Every file system that is read, in the order in which a volume is tried. The one place to add one.
 * FAT comes last: it has no signature but the plausibility of its fields.
 */
export const FILE_SYSTEM_DRIVERS: readonly FileSystemDriver[] = [fatDriver];
