import { RestoreError, throwIfAborted } from '../../../core/index.ts';
import { bytesAt } from '../bytes-at.ts';
import type { Volume } from '../driver.ts';
import type { Geometry } from './boot-sector.ts';
import { clusterAt } from './chain.ts';
import { DirectoryReader, type NamedRecord, type RecordRules } from './directory.ts';
import type { FatTables } from './tables.ts';

/** Microsoft's limit is 65,536 entries; some writers go beyond. */
const DIRECTORY_BYTES_MAX = 32 * 1024 * 1024;
const PIECE_BYTES = 64 * 1024;

interface Places {
  readonly runs: readonly { readonly at: number; readonly length: number }[];
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
    const { runs, damage } = await this.#placesOf(first, signal);
    for await (const { bytes, at } of this.#pieces(runs, signal)) {
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
    const { runs } = await this.#placesOf('root', undefined);
    for await (const { bytes, at } of this.#pieces(runs, undefined)) {
      reader.read(bytes, at);
      if (reader.isEnded || reader.label !== undefined) break;
    }
    return reader.label ?? '';
  }

  async *#pieces(
    runs: Places['runs'],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<{ bytes: Uint8Array; at: number }> {
    const { metadata } = this.#volume;
    for (const { at, length } of runs) {
      for (let done = 0; done < length; ) {
        throwIfAborted(signal);
        // Up to the next line of the cache, so that what it holds need not be copied.
        const from = at + done;
        const pieceBytes = Math.min(length - done, PIECE_BYTES - (from % PIECE_BYTES));
        yield { bytes: await bytesAt(metadata, from, pieceBytes, signal), at: from };
        done += pieceBytes;
      }
    }
  }

  async #placesOf(first: number | 'root', signal: AbortSignal | undefined): Promise<Places> {
    const { rootAt, rootBytes, rootCluster, type, clusterBytes } = this.#geometry;
    if (first === 'root' && type !== 'FAT32') {
      return this.#inside([{ at: rootAt, length: rootBytes }]);
    }
    const limit = Math.floor(DIRECTORY_BYTES_MAX / clusterBytes);
    const start = first === 'root' ? rootCluster : first;
    const chain = await this.#tables.followDirectory(start, limit, signal);
    const places = chain.runs.map((run) => ({
      at: clusterAt(this.#geometry, run.first),
      length: run.count * clusterBytes,
    }));
    return {
      ...(chain.damage === undefined ? {} : { damage: chain.damage }),
      ...this.#inside(places),
    };
  }

  /** Cuts places at the end of a volume that is shorter than it says. */
  #inside(places: Places['runs']): Places {
    const { size } = this.#volume.metadata;
    const runs = places
      .filter(({ at }) => at < size)
      .map(({ at, length }) => ({ at, length: Math.min(length, size - at) }));
    const isCut = places.some(({ at, length }) => at + length > size);
    return isCut ? { runs, damage: cutOff(size) } : { runs };
  }
}

/** For what lies behind the end of a volume that was cut off. */
export function cutOff(sizeBytes: number): RestoreError {
  return new RestoreError('CORRUPT', 'the volume ends before this part of it', {
    where: { structure: 'data area', expected: 'more', found: `${sizeBytes} bytes` },
    hint: 'The disk or its image was cut off; what lies before its end is read.',
  });
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
