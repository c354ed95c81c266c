import {
  type BlockSource,
  Budget,
  type BudgetLimits,
  budgeted,
  cache,
  type FileSystem,
  HealthLog,
  RestoreError,
} from '../../core/index.ts';
import type { FileSystemDriver, Identification, Volume } from './driver.ts';
import { FILE_SYSTEM_DRIVERS } from './registry.ts';
import { withBudget } from './with-budget.ts';

export interface OpenFileSystemOptions {
  /** What each call may use. */
  readonly limits?: Partial<BudgetLimits>;
  /** Bytes of metadata kept. */
  readonly cacheBytes?: number;
}

const CACHE_BYTES = 48 * 1024 * 1024;
const CACHE_LINE_BYTES = 64 * 1024;

/** What a volume holds: its driver's word for it; `undefined` when no driver knows it. */
export async function identifyFileSystem(source: BlockSource): Promise<Identification | undefined> {
  const found = await findDriver(volumeOf(source, new Budget(), {}));
  return found?.identification;
}

/**
 * Opens the file system that begins at the source's first byte. The source stays the caller's, and
 * is to be closed after the file system.
 *
 * @throws RestoreError `UNSUPPORTED` when no driver knows it, and what the driver throws.
 */
export async function openFileSystem(
  source: BlockSource,
  options: OpenFileSystemOptions = {},
): Promise<FileSystem> {
  const budget = new Budget(options.limits);
  const volume = volumeOf(source, budget, options);
  const found = await findDriver(volume);
  if (found === undefined) {
    throw new RestoreError('UNSUPPORTED', 'no file system that is known begins here', {
      where: { expected: `one of ${FILE_SYSTEM_DRIVERS.map(({ name }) => name).join(', ')}` },
      hint: 'Look at the partitions with `rehydrate volumes`, or export the disk.',
    });
  }
  budget.renew();
  return withBudget(await found.driver.open(volume), budget);
}

async function findDriver(
  volume: Volume,
): Promise<{ driver: FileSystemDriver; identification: Identification } | undefined> {
  for (const driver of FILE_SYSTEM_DRIVERS) {
    const identification = await driver.identify(volume);
    if (identification !== undefined) return { driver, identification };
  }
  return undefined;
}

function volumeOf(source: BlockSource, budget: Budget, options: OpenFileSystemOptions): Volume {
  const data = budgeted(source, budget);
  const budgetBytes = options.cacheBytes ?? CACHE_BYTES;
  const metadata = cache(data, { budgetBytes, lineBytes: CACHE_LINE_BYTES });
  return { data, metadata, budget, health: new HealthLog() };
}
