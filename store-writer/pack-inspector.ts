import { asRestoreError } from '../core/index.ts';
import {
  type BlockReference,
  type NativeRepository,
  type PackRecord,
  readPackDirectory,
} from '../store-reader/index.ts';

/** What is known of a pack after a look at it. */
export interface PackHealth {
  /** Why the pack is not whole, in words; absent for a sound one. */
  readonly reason: string | undefined;
  /** Its directory's records as numbers, sorted by offset; absent when it has no sound directory. */
  readonly directory: PackDirectory | undefined;
  /** Offsets of records that failed, with why. */
  readonly bad: ReadonlyMap<number, string>;
}

/** Eight bytes a record, so that a repository of many TiB can be verified in bounded memory. */
interface PackDirectory {
  readonly offsets: Uint32Array;
  readonly prints: Uint32Array;
}

/** Records decoded in one go. */
const BATCH = 64;

/** Reads packs and proves what lies in them. */
export class PackInspector {
  blocksProved = 0;
  bytesProved = 0;
  readonly #repository: NativeRepository;
  readonly #lone = new Map<string, string | undefined>();

  constructor(repository: NativeRepository) {
    this.#repository = repository;
  }

  /** @param deep prove every record, not the ends of the pack alone. */
  async inspect(pack: string, deep: boolean): Promise<PackHealth> {
    const { backend, record } = this.#repository;
    let records: PackRecord[];
    try {
      records = await readPackDirectory(backend, pack, record.id);
    } catch (error) {
      return {
        reason: asRestoreError(error, 'cannot read it').message,
        directory: undefined,
        bad: new Map(),
      };
    }
    const bad = deep ? await this.#prove(records) : new Map<number, string>();
    const [first] = bad.values();
    const reason = first === undefined ? undefined : `${bad.size} damaged records: ${first}`;
    return { reason, directory: summarize(records), bad };
  }

  /** Why a block cannot be read, as far as the look at its pack tells; else reads it alone. */
  async faultOf(entry: BlockReference, health: PackHealth): Promise<string | undefined> {
    const known = health.bad.get(entry.offset);
    if (known !== undefined) return known;
    if (health.directory !== undefined && isListed(entry, health.directory)) return undefined;
    return await this.#proveAlone(entry);
  }

  async #prove(records: readonly PackRecord[]): Promise<Map<number, string>> {
    const bad = new Map<number, string>();
    for (let at = 0; at < records.length; at += BATCH) {
      const batch = records.slice(at, at + BATCH);
      const results = await this.#repository.prove(
        batch.map(({ reference, plainBytes }) => ({ reference, plainBytes })),
      );
      batch.forEach(({ reference, plainBytes }, index) => {
        const error = results[index];
        this.blocksProved += 1;
        this.bytesProved += plainBytes;
        if (error !== undefined) bad.set(reference.offset, error.message);
      });
    }
    return bad;
  }

  async #proveAlone(entry: BlockReference): Promise<string | undefined> {
    const key = `${entry.pack} ${entry.offset}`;
    if (this.#lone.has(key)) return this.#lone.get(key);
    const [error] = await this.#repository.prove([
      { reference: entry, plainBytes: this.#repository.record.blockSize, atMost: true },
    ]);
    const reason = error?.message;
    this.#lone.set(key, reason);
    return reason;
  }
}

function summarize(records: readonly PackRecord[]): PackDirectory {
  const sorted = records.toSorted((a, b) => a.reference.offset - b.reference.offset);
  return {
    offsets: Uint32Array.from(sorted, ({ reference }) => reference.offset),
    prints: Uint32Array.from(sorted, ({ reference }) => printOf(reference)),
  };
}

function isListed(entry: BlockReference, { offsets, prints }: PackDirectory): boolean {
  let low = 0;
  let high = offsets.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((offsets[middle] as number) < entry.offset) low = middle + 1;
    else high = middle;
  }
  return offsets[low] === entry.offset && prints[low] === printOf(entry);
}

/** 32 bits of all that a map entry and a directory entry must agree on. */
function printOf({ id, length, flags }: BlockReference): number {
  const start = Buffer.from(id.buffer, id.byteOffset, id.byteLength).readUInt32LE(0);
  return (start ^ Math.imul(length, 0x9e3779b1) ^ (flags << 24)) >>> 0;
}
