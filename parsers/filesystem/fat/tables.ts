import { type HealthLog, isRestoreError, RestoreError } from '../../../core/index.ts';
import type { Chain } from './chain.ts';
import type { FatTable } from './table.ts';

const NOTHING: Chain = { runs: [], clusterCount: 0, isWhole: false };

/** The copies of a volume's FAT: each chain is read by the first copy in which it is sound. */
export class FatTables {
  readonly #tables: readonly FatTable[];
  readonly #health: HealthLog;

  /** @param tables best first. */
  constructor(tables: readonly FatTable[], health: HealthLog) {
    this.#tables = tables;
    this.#health = health;
  }

  /** The chain of a file that needs so many clusters; one with `damage` lacks some of them. */
  async followFile(first: number, needed: number, signal?: AbortSignal): Promise<Chain> {
    if (needed === 0) return NOTHING;
    return this.#best(
      async (table) => {
        const chain = await table.follow(first, needed, signal);
        // What comes behind the file's end is no matter.
        if (chain.clusterCount >= needed) return { ...chain, damage: undefined };
        if (chain.damage !== undefined) return chain;
        return { ...chain, damage: tooShort(table, first, needed, chain.clusterCount) };
      },
      ({ clusterCount }) => clusterCount >= needed,
    );
  }

  /** The chain of a directory, whose size is not recorded: whole, or with `damage`. */
  async followDirectory(first: number, limit: number, signal?: AbortSignal): Promise<Chain> {
    return this.#best(
      async (table) => {
        const chain = await table.follow(first, limit, signal);
        if (chain.isWhole || chain.damage !== undefined) return chain;
        return { ...chain, damage: tooLong(table, first, limit) };
      },
      ({ isWhole }) => isWhole,
    );
  }

  /** What `read` makes of the first copy that it can read. */
  async first<T>(read: (table: FatTable) => Promise<T>): Promise<T> {
    let failure: unknown;
    for (const table of this.#tables) {
      try {
        return await read(table);
      } catch (error) {
        if (!isBadCopy(error)) throw error;
        this.#health.damage(error);
        failure ??= error;
      }
    }
    throw failure;
  }

  /** By the first copy in which the chain is enough; else by the first, with its damage. */
  async #best(
    follow: (table: FatTable) => Promise<Chain>,
    isEnough: (chain: Chain) => boolean,
  ): Promise<Chain> {
    let best: Chain | undefined;
    let failure: unknown;
    for (const table of this.#tables) {
      try {
        const chain = await follow(table);
        best ??= chain;
        if (!isEnough(chain)) continue;
        this.#tell(best, failure);
        return chain;
      } catch (error) {
        if (!isBadCopy(error)) throw error;
        failure ??= error;
      }
    }
    if (best === undefined) throw failure;
    this.#tell(best, failure);
    return best;
  }

  #tell({ damage }: Chain, failure: unknown): void {
    if (damage !== undefined) this.#health.damage(damage);
    if (failure instanceof RestoreError) this.#health.damage(failure);
  }
}

/** Of a copy, that is: others may be sound. */
function isBadCopy(error: unknown): error is RestoreError {
  return isRestoreError(error, 'CORRUPT') || isRestoreError(error, 'IO');
}

function tooShort(table: FatTable, first: number, needed: number, found: number): RestoreError {
  return new RestoreError('CORRUPT', 'a file is longer than its chain of clusters', {
    where: {
      structure: table.place.name,
      offset: table.place.at,
      expected: `${needed} clusters from cluster ${first}`,
      found: `${found} clusters`,
    },
  });
}

function tooLong(table: FatTable, first: number, limit: number): RestoreError {
  return new RestoreError('CORRUPT', 'a directory is longer than any can be', {
    where: {
      structure: table.place.name,
      offset: table.place.at,
      expected: `at most ${limit} clusters from cluster ${first}`,
      found: 'more',
    },
  });
}
