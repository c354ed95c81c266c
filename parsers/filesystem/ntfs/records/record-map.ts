import {
  type BlockSource,
  type ContentPlace,
  type Extent,
  isRestoreError,
  layout,
  type NodeId,
  type Ranges,
  type RecordMap,
  type RecordName,
  type RecordRun,
  readBytes,
} from '../../../../core/index.ts';
import type { Volume } from '../../driver.ts';
import type { Geometry } from '../boot-sector.ts';
import type { FileLoader } from '../file-loader.ts';
import { MAGIC, NAMESPACE, Record, RECORD_IN_USE, RECORD_NUMBER } from '../layout.ts';
import type { Lister } from '../lister.ts';
import { nodeOf, referenceOf } from '../node-id.ts';
import type { NtfsFile } from '../ntfs-file.ts';
import { freeClusters } from './free-clusters.ts';
import { clustersOf, isTouchedBy } from './clusters.ts';
import { mftPlaces } from './mft-places.ts';

const EXTEND = 11;
/** Files below `$Extend`, of which there are ten at the most. */
const EXTEND_FILES_MAX = 1000;
const EXTEND_DEPTH_MAX = 4;
const RUN_BYTES = 64 * 1024;
const UNIT_BYTES_MAX = 4096;
const BACKUP_BYTES = 4096;

export interface RecordMapParts {
  readonly volume: Volume;
  readonly geometry: Geometry;
  readonly loader: FileLoader;
  readonly lister: Lister;
}

/** What stretches of an NTFS volume mean: a record is one of the MFT's. */
export class NtfsRecordMap implements RecordMap {
  readonly geometry: string;
  readonly bytes: BlockSource;
  readonly replayed: readonly Extent[] = [];
  readonly unitBytes: number;
  readonly recordBytes: number;
  readonly #parts: RecordMapParts;

  constructor(parts: RecordMapParts) {
    const { geometry, volume } = parts;
    const { serial, recordBytes, clusterBytes } = geometry;
    this.geometry = `NTFS ${serial} ${recordBytes} ${clusterBytes}`;
    this.bytes = volume.data;
    this.unitBytes = Math.min(UNIT_BYTES_MAX, clusterBytes);
    this.recordBytes = recordBytes;
    this.#parts = parts;
  }

  async *recordsIn(ranges: Ranges, signal?: AbortSignal): AsyncGenerator<RecordRun> {
    const { recordBytes } = this;
    for await (const place of mftPlaces(this.#parts.loader.mft, signal)) {
      for (const { offset, length } of ranges.within(place.at, place.length)) {
        const from = place.offset + offset - place.at;
        const start = Math.floor(from / recordBytes);
        const end = Math.min(this.#count, Math.ceil((from + length) / recordBytes));
        const most = RUN_BYTES / recordBytes;
        for (let first = start; first < end; ) {
          const count = Math.min(end - first, most - (first % most));
          yield { first, count };
          first += count;
        }
      }
    }
  }

  recordPlaces(signal?: AbortSignal): AsyncIterable<ContentPlace> {
    return mftPlaces(this.#parts.loader.mft, signal);
  }

  async readRecords({ first, count }: RecordRun, signal?: AbortSignal): Promise<Uint8Array> {
    const held = Math.max(0, Math.min(count, this.#count - first));
    const { source } = this.#parts.loader.mft;
    return await readBytes(
      source,
      held === 0 ? 0 : first * this.recordBytes,
      held * this.recordBytes,
      signal,
    );
  }

  async baseOf(number: number, signal?: AbortSignal): Promise<number> {
    const raw = await this.readRecords({ first: number, count: 1 }, signal);
    if (!isInUse(raw)) return number;
    const view = layout.viewOf(raw);
    const base = Record.baseLow(view);
    return base === 0 ? number : base;
  }

  async fileOf(number: number, signal?: AbortSignal): Promise<NodeId | undefined> {
    if (number < RECORD_NUMBER.FIRST_USER && number !== RECORD_NUMBER.ROOT) return undefined;
    const raw = await this.readRecords({ first: number, count: 1 }, signal);
    if (!isInUse(raw)) return undefined;
    const record = await this.#parts.loader.mft.read(number, signal);
    if (record.base !== undefined) return undefined;
    return nodeOf(number, record.sequence, record.isDirectory);
  }

  numberOf(node: NodeId): number {
    return referenceOf(node).number;
  }

  async *placesOf(number: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    const file = await this.#load(number, signal);
    if (file === undefined || file.lost.length > 0) return;
    try {
      yield* clustersOf(file.attributes, this.#parts.geometry);
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
    }
  }

  async *ownPlaces(signal?: AbortSignal): AsyncGenerator<Extent> {
    const { geometry } = this.#parts;
    for (let number = 0; number < RECORD_NUMBER.FIRST_USER; number += 1) {
      if (number !== RECORD_NUMBER.ROOT) yield* this.placesOf(number, signal);
    }
    const below: number[] = [];
    await this.#extended(EXTEND, 0, below, signal);
    for (const number of below) yield* this.placesOf(number, signal);
    // The boot sector's copy, behind the last cluster.
    const end = Math.max(0, geometry.totalBytes - BACKUP_BYTES);
    yield { offset: end, length: BACKUP_BYTES * 2 };
  }

  async *freeIn(ranges: Ranges, signal?: AbortSignal): AsyncGenerator<Extent> {
    const { loader, geometry } = this.#parts;
    yield* freeClusters(loader, geometry, ranges, signal);
  }

  async *ownersOf(ranges: Ranges, signal?: AbortSignal): AsyncGenerator<number> {
    const { loader, geometry, volume } = this.#parts;
    for await (const batch of loader.mft.scan(signal)) {
      volume.budget.checkTime();
      for (const record of batch) {
        if (isRestoreError(record) || !record.isInUse) continue;
        if (isTouchedBy(record, geometry, ranges)) yield record.base?.number ?? record.number;
      }
    }
  }

  async *namesOf(
    numbers: ReadonlySet<number>,
    _first: readonly number[],
    signal?: AbortSignal,
  ): AsyncGenerator<RecordName> {
    await this.#parts.loader.mft.prefetch(numbers, signal);
    for (const number of numbers) {
      if (number < RECORD_NUMBER.FIRST_USER) continue;
      const file = await this.#load(number, signal);
      for (const { parent, name, namespace } of file === undefined ? [] : namesIn(file)) {
        if (namespace !== NAMESPACE.DOS) yield { number, parent, name };
      }
    }
  }

  get #count(): number {
    return this.#parts.loader.mft.count;
  }

  /** Numbers of what lies below a directory of the system's own. */
  async #extended(
    number: number,
    depth: number,
    found: number[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { loader, lister } = this.#parts;
    try {
      const file = await loader.load({ number, sequence: 0 }, signal);
      const reference = { number, sequence: file.record.sequence };
      const options = signal === undefined ? {} : { signal };
      for await (const batch of lister.list({ reference, file }, options)) {
        for (const { node, kind } of batch) {
          if (found.length >= EXTEND_FILES_MAX) return;
          const own = referenceOf(node).number;
          found.push(own);
          if (kind === 'directory' && depth < EXTEND_DEPTH_MAX) {
            await this.#extended(own, depth + 1, found, signal);
          }
        }
      }
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT') && !isRestoreError(error, 'INVALID')) throw error;
    }
  }

  async #load(number: number, signal: AbortSignal | undefined): Promise<NtfsFile | undefined> {
    try {
      const raw = await this.readRecords({ first: number, count: 1 }, signal);
      if (!isInUse(raw)) return undefined;
      return await this.#parts.loader.load({ number, sequence: 0 }, signal);
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      return undefined;
    }
  }
}

/** A record that Windows found torn may be in use: whoever reads it is told. */
function isInUse(raw: Uint8Array): boolean {
  if (raw.byteLength === 0) return false;
  const view = layout.viewOf(raw);
  const magic = Record.magic(view);
  if (magic === MAGIC.FILE) return (Record.flags(view) & RECORD_IN_USE) !== 0;
  return magic === MAGIC.BAAD || !raw.every((byte) => byte === 0);
}

function namesIn(file: NtfsFile): ReturnType<NtfsFile['names']> {
  try {
    return file.names();
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    return [];
  }
}
