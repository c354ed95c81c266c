import { RestoreError } from '../../../core/index.ts';
import type { Volume } from '../driver.ts';
import { insideOf, type Place, readPieces } from '../pieces.ts';
import type { Geometry } from './boot-sector.ts';
import { clusterAt } from './chain.ts';
import { DirectoryReader, type NamedRecord, type RecordRules } from './directory.ts';
import type { FatTables } from './tables.ts';

/** Microsoft's limit is 65,536 entries; some writers go beyond. */
const DIRECTORY_BYTES_MAX = 32 * 1024 * 1024;

interface Places {
  readonly places: readonly Place[];
  /** Why they are not all of the directory. */
  readonly damage?: RestoreError;
}

/** Reads directories by where they begin; `root` stands for the root, wherever that lies. */
export class DirectoryContent {
  readonly rules: RecordRules;
  readonly #volume: Volume;
  readonly #geometry: Geometry;
  readonly #tables: FatTables;

  constructor(volume: Volume, geometry: Geometry, tables: FatTables) {
    this.#volume = volume;
    this.#geometry = geometry;
    this.#tables = tables;
    this.rules = { clusterBytes: geometry.clusterBytes, isWide: geometry.type === 'FAT32' };
  }

  /**
   * The directory's files, by the piece.
   *
   * @throws RestoreError `CORRUPT` behind the last one when the directory is damaged.
   */
  async *read(first: number | 'root', signal?: AbortSignal): AsyncGenerator<NamedRecord[]> {
    const reader = new DirectoryReader(this.rules);
    const { places, damage } = await this.#placesOf(first, signal);
    for await (const { bytes, at } of readPieces(this.#volume.metadata, places, signal)) {
      yield reader.read(bytes, at);
      if (reader.isEnded) break;
    }
    // Behind the mark nothing is missing, whatever became of the chain.
    if (damage !== undefined && !reader.isEnded) throw damage;
    if (first !== 'root' && reader.dot !== first) throw noDot(first, reader.dot);
  }

  /** The label that the root directory holds; empty without one. */
  async label(): Promise<string> {
    const reader = new DirectoryReader(this.rules);
    const { places } = await this.#placesOf('root', undefined);
    for await (const { bytes, at } of readPieces(this.#volume.metadata, places)) {
      reader.read(bytes, at);
      if (reader.isEnded || reader.label !== undefined) break;
    }
    return reader.label ?? '';
  }

  async #placesOf(first: number | 'root', signal: AbortSignal | undefined): Promise<Places> {
    const { metadata } = this.#volume;
    const { rootAt, rootBytes, rootCluster, type, clusterBytes } = this.#geometry;
    if (first === 'root' && type !== 'FAT32') {
      return insideOf(metadata.size, [{ at: rootAt, length: rootBytes }]);
    }
    const limit = Math.floor(DIRECTORY_BYTES_MAX / clusterBytes);
    const start = first === 'root' ? rootCluster : first;
    const chain = await this.#tables.followDirectory(start, limit, signal);
    const places = chain.runs.map((run) => ({
      at: clusterAt(this.#geometry, run.first),
      length: run.count * clusterBytes,
    }));
    const inside = insideOf(metadata.size, places);
    return chain.damage === undefined ? inside : { ...inside, damage: chain.damage };
  }
}

/** "Directory Creation": the first entry is `.`, with the directory's own cluster. */
function noDot(first: number, found: number | undefined): RestoreError {
  return new RestoreError('CORRUPT', 'a directory does not begin as one', {
    where: {
      structure: 'directory entry "."',
      expected: `cluster ${first}`,
      found: found === undefined ? 'no such entry' : `cluster ${found}`,
    },
    hint: 'The directory may have been overwritten: do not trust the names that it lists.',
  });
}
