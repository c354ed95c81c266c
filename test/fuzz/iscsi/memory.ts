import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Of memory that is in use, garbage collected: what would be left by a leak. */
export const MEMORY_GROWTH_BYTES: number = 64 * 1024 * 1024;

export function memoryInUseBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
