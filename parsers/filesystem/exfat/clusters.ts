import { RestoreError } from '../../../core/index.ts';
import type { Volume } from '../driver.ts';
import { type Chain, clusterAt } from '../fat/chain.ts';
import { FatTable } from '../fat/table.ts';
import { insideOf, type Piece, type Place, readPieces } from '../pieces.ts';
import type { Geometry } from './boot-region.ts';
import { ENTRY_BYTES, ENTRY_TYPE, FileEntry } from './layout.ts';

/** Where a file's or a directory's bytes are. */
export interface Stretch {
  readonly firstCluster: number;
  readonly isContiguous: boolean;
  readonly size: number;
}

/** Section 7.4.4.2: a directory is 256 MiB at the most. */
const DIRECTORY_BYTES_MAX = 256 * 1024 * 1024;

/** Clusters in their order, by the FAT or by themselves. */
export class Clusters {
  readonly #volume: Volume;
  readonly #geometry: Geometry;
  readonly #table: FatTable;

  constructor(volume: Volume, geometry: Geometry) {
    this.#volume = volume;
    this.#geometry = geometry;
    const { fatAt: at, clusterCount, activeFat } = geometry;
    const name = `FAT ${activeFat + 1}`;
    this.#table = new FatTable(volume, { kind: 'exFAT', name, at, clusterCount });
  }

  /** The clusters of the first `size` bytes; with `damage` when some are missing. */
  async chainOf(
    { firstCluster, isContiguous, size }: Stretch,
    signal?: AbortSignal,
  ): Promise<Chain> {
    const needed = Math.ceil(size / this.#geometry.clusterBytes);
    if (needed === 0) return { runs: [], clusterCount: 0, isWhole: true };
    if (isContiguous) return this.#contiguous(firstCluster, needed);
    const chain = await this.#table.follow(firstCluster, needed, signal);
    if (chain.clusterCount >= needed) return { ...chain, damage: undefined };
    return { ...chain, damage: chain.damage ?? tooShort(firstCluster, needed, chain.clusterCount) };
  }

  /**
   * Bytes of a directory or a table by the piece, to the end of their last cluster, and why they are
   * not all. The root's size is not recorded.
   */
  async piecesOf(
    stretch: Stretch | 'root',
    signal?: AbortSignal,
  ): Promise<{ pieces: AsyncIterable<Piece>; damage: RestoreError | undefined }> {
    const { metadata } = this.#volume;
    const chain =
      stretch === 'root' ? await this.#root(signal) : await this.chainOf(stretch, signal);
    const inside = insideOf(metadata.size, this.#placesOf(chain));
    const pieces = readPieces(metadata, inside.places, signal);
    return { pieces, damage: chain.damage ?? inside.damage };
  }

  /**
   * Places at which the directory's next cluster may begin: a set of entries does not say whether its
   * directory has a chain in the FAT or is contiguous.
   */
  async clustersBehind(at: number): Promise<number[]> {
    const { dataAt, clusterBytes, clusterCount } = this.#geometry;
    const cluster = Math.floor((at - dataAt) / clusterBytes) + 2;
    const candidates = [await this.#table.entry(cluster), cluster + 1];
    return candidates
      .filter((candidate) => candidate >= 2 && candidate < clusterCount + 2)
      .map((candidate) => clusterAt(this.#geometry, candidate));
  }

  async #root(signal: AbortSignal | undefined): Promise<Chain> {
    const { rootCluster, clusterBytes } = this.#geometry;
    const limit = Math.ceil(DIRECTORY_BYTES_MAX / clusterBytes);
    const chain = await this.#table.follow(rootCluster, limit, signal);
    if (chain.isWhole || chain.damage !== undefined) return chain;
    return { ...chain, damage: tooShort(rootCluster, limit, chain.clusterCount) };
  }

  #contiguous(first: number, needed: number): Chain {
    const end = this.#geometry.clusterCount + 2;
    const count = first < 2 ? 0 : Math.max(0, Math.min(needed, end - first));
    const runs = count === 0 ? [] : [{ first, count }];
    if (count === needed) return { runs, clusterCount: count, isWhole: true };
    return { runs, clusterCount: count, isWhole: false, damage: tooShort(first, needed, count) };
  }

  #placesOf({ runs }: Chain): Place[] {
    const { clusterBytes } = this.#geometry;
    return runs.map(({ first, count }) => ({
      at: clusterAt(this.#geometry, first),
      length: count * clusterBytes,
    }));
  }
}

/** How many entries a set has by its first; `undefined` when that is none of a file. */
export function setLength(entry: Uint8Array): number | undefined {
  const view = new DataView(entry.buffer, entry.byteOffset, ENTRY_BYTES);
  if (FileEntry.entryType(view) !== ENTRY_TYPE.file) return undefined;
  return 1 + FileEntry.secondaryCount(view);
}

function tooShort(first: number, expected: number, found: number): RestoreError {
  return new RestoreError('CORRUPT', 'a file is longer than its clusters', {
    where: {
      structure: 'cluster chain',
      expected: `${expected} clusters from cluster ${first}`,
      found: `${found} clusters`,
    },
  });
}
