import type { ImageDriver } from './image.ts';
import { qcow2Driver } from './qcow2/driver.ts';
import { rawDriver } from './raw.ts';
import { vhdDriver } from './vhd/driver.ts';
import { vhdxDriver } from './vhdx/driver.ts';
import { vmdkDriver } from './vmdk/driver.ts';

/** Every image format, in the order probed. One more format is one more line. */
export const IMAGE_DRIVERS: readonly ImageDriver[] = [
  qcow2Driver,
  vmdkDriver,
  vhdxDriver,
  vhdDriver,
  rawDriver,
];
