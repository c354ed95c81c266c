import {
  type Attributes,
  type FileKind,
  nameFromBytes,
  type NodeId,
  RestoreError,
} from '../../../core/index.ts';
import { bytesAt } from '../bytes-at.ts';
import type { ContentRun } from '../content.ts';
import type { Volume } from '../driver.ts';
import { FILE_FLAGS, SECTOR_BYTES } from './layout.ts';
import { jolietName, type NameKind, plainName } from './names.ts';
import { badRecord, isDirectory, nextSector, type RawRecord, recordAt } from './record.ts';
import { SystemUse } from './system-use.ts';
import { shortTime } from './times.ts';

/** One of a volume's trees. */
export interface IsoTree {
  readonly kind: NameKind;
  /** Byte offset of the root directory. */
  readonly rootAt: number;
  readonly rootBytes: number;
  readonly blockBytes: number;
  /** Bytes of each system use area before its entries. */
  readonly skippedBytes: number;
}

/** A file, from its directory records. */
export interface IsoFile {
  /** Byte offset of the first record. */
  readonly node: NodeId;
  readonly name: string;
  readonly kind: FileKind;
  readonly size: number;
  readonly runs: readonly ContentRun[];
  readonly attributes: Attributes;
  readonly target: string | undefined;
  /** It stands for a directory that lies elsewhere: at this byte offset. */
  readonly childAt: number | undefined;
  /** Rock Ridge hides it: the directory is shown where it belongs. */
  readonly isRelocated: boolean;
  readonly error: RestoreError | undefined;
}

/** Extents of one file: 40 TiB of the largest. */
const EXTENTS_MAX = 10_000;

/** Makes files of directory records. */
export class Records {
  readonly tree: IsoTree;
  readonly #volume: Volume;

  constructor(volume: Volume, tree: IsoTree) {
    this.#volume = volume;
    this.tree = tree;
  }

  /**
   * The file whose first record lies at `node`.
   *
   * @throws RestoreError `INVALID` when no record does.
   */
  async at(node: NodeId, signal: AbortSignal | undefined): Promise<IsoFile> {
    const first = await this.#rawAt(node, signal);
    if (first === undefined) {
      throw new RestoreError('INVALID', `there is no node ${node} on this volume`);
    }
    const records = [first];
    let at = first.at + first.length;
    for (let last = first; isContinued(last); ) {
      const next: RawRecord | undefined =
        (await this.#rawAt(at, signal)) ?? (await this.#rawAt(nextSector(at), signal));
      if (next === undefined || !belongs(next, first) || records.length >= EXTENTS_MAX) {
        throw brokenOff(first);
      }
      records.push(next);
      last = next;
      at = next.at + next.length;
    }
    return this.fileOf(records, signal);
  }

  /** A file of its records, in their order. */
  async fileOf(records: readonly RawRecord[], signal: AbortSignal | undefined): Promise<IsoFile> {
    const [first] = records;
    if (first === undefined) throw new RestoreError('INVALID', 'a file has a record at least');
    const use = this.#wantsSystemUse ? await this.systemUseOf(first, signal) : NOTHING;
    return this.#fileWith(records, first, use);
  }

  /** The same without a promise, for the many files that their records tell all of. */
  fileAtHand(records: readonly RawRecord[]): IsoFile | undefined {
    const [first] = records;
    if (first === undefined) return undefined;
    const use = this.#wantsSystemUse ? this.#beginSystemUse(first) : NOTHING;
    return use.next === undefined ? this.#fileWith(records, first, use) : undefined;
  }

  /** Everything that a record's system use area and its continuations say. */
  async systemUseOf(record: RawRecord, signal: AbortSignal | undefined): Promise<SystemUse> {
    const use = this.#beginSystemUse(record);
    const { metadata } = this.#volume;
    while (use.next !== undefined) {
      const at = use.next.block * this.tree.blockBytes + use.next.offset;
      const { length } = use.next;
      if (at + length > metadata.size) {
        use.error ??= badRecord(at, length);
        break;
      }
      use.add(await bytesAt(metadata, at, length, signal));
    }
    return use;
  }

  #fileWith(records: readonly RawRecord[], first: RawRecord, use: SystemUse): IsoFile {
    const { runs, size } = this.#extentsOf(records);
    const kind = kindOf(first, use);
    const target = use.target === undefined ? undefined : nameFromBytes(use.target);
    const isFile = kind === 'file';
    const fullSize = isFile ? (use.fullSize ?? size) : size;
    const unreadable = isFile ? reasonOf(records, use) : undefined;
    return {
      node: first.at,
      name: this.#nameOf(first, use),
      kind,
      size: fullSize,
      runs,
      target,
      childAt: use.childBlock === undefined ? undefined : use.childBlock * this.tree.blockBytes,
      isRelocated: use.isRelocated,
      error: records.find(({ error }) => error !== undefined)?.error ?? use.error,
      attributes: {
        kind,
        size: kind === 'symlink' ? (use.target?.length ?? 0) : fullSize,
        allocated: Math.ceil(size / this.tree.blockBytes) * this.tree.blockBytes,
        links: use.posix?.links ?? 1,
        modified: shortTime(first.date),
        ...use.times,
        ...posixOf(use),
        fileNumber: first.at,
        generation: 0,
        ...(unreadable === undefined ? {} : { unreadable }),
      },
    };
  }

  get #wantsSystemUse(): boolean {
    return this.tree.kind === 'Rock Ridge';
  }

  #beginSystemUse({ at, systemUse }: RawRecord): SystemUse {
    const use = new SystemUse(at);
    use.add(systemUse.subarray(this.#skippedOf(systemUse)));
    return use;
  }

  /** SP itself, in the root, comes where it was found; it says what all others skip. */
  #skippedOf(area: Uint8Array): number {
    return area[0] === 0x53 && area[1] === 0x50 ? 0 : this.tree.skippedBytes;
  }

  async #rawAt(at: number, signal: AbortSignal | undefined): Promise<RawRecord | undefined> {
    const { metadata } = this.#volume;
    if (!Number.isSafeInteger(at) || at < 0) return undefined;
    const sectorAt = at - (at % SECTOR_BYTES);
    if (sectorAt + SECTOR_BYTES > metadata.size) return undefined;
    const sector = await bytesAt(metadata, sectorAt, SECTOR_BYTES, signal);
    return recordAt(sector, at - sectorAt, sectorAt, this.tree.blockBytes);
  }

  #nameOf({ name }: RawRecord, use: SystemUse): string {
    if (this.tree.kind === 'Joliet') return jolietName(name);
    return use.name === undefined ? plainName(name) : nameFromBytes(use.name);
  }

  #extentsOf(records: readonly RawRecord[]): { runs: ContentRun[]; size: number } {
    let size = 0;
    const runs = records.map(({ extentAt, dataLength }) => {
      const run = { offset: size, length: dataLength, at: extentAt };
      size += dataLength;
      return run;
    });
    return { runs, size };
  }
}

/** Says that this record is not the file's last (ECMA-119 9.1.6). */
export function isContinued(record: RawRecord): boolean {
  return (record.flags & FILE_FLAGS.multiExtent) !== 0 && !isDirectory(record);
}

/** True when a record goes on with the file of another. */
export function belongs(record: RawRecord, first: RawRecord): boolean {
  return !isDirectory(record) && Buffer.compare(record.name, first.name) === 0;
}

export function brokenOff({ at }: RawRecord): RestoreError {
  return new RestoreError('CORRUPT', 'a file in several extents lacks some of them', {
    where: { structure: 'directory record', offset: at, expected: 'another of the same name' },
  });
}

const NOTHING = new SystemUse(0);

/** A moved directory's place is taken by what says that it is a file. */
function kindOf(record: RawRecord, use: SystemUse): FileKind {
  if (use.childBlock !== undefined || isDirectory(record)) return 'directory';
  if (use.target !== undefined) return 'symlink';
  return use.kind === 'directory' ? 'file' : (use.kind ?? 'file');
}

function posixOf({ posix, device, kind }: SystemUse): Partial<Attributes> {
  if (posix === undefined) return {};
  const isDevice = kind === 'block-device' || kind === 'character-device';
  const { mode, uid, gid } = posix;
  return { mode: mode & 0o7777, uid, gid, ...(isDevice && device !== undefined ? { device } : {}) };
}

function reasonOf(records: readonly RawRecord[], use: SystemUse): string | undefined {
  if (records.some(({ isInterleaved }) => isInterleaved)) return 'interleaved, which is not read';
  return use.unreadable;
}
