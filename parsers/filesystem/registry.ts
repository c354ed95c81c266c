import type { FileSystemDriver } from './driver.ts';

/**
 * Every file system that is read, in the order in which a volume is tried. The one place to add one.
 */
export const FILE_SYSTEM_DRIVERS: readonly FileSystemDriver[] = [];
