import { type Attributes, layout, type NodeId } from '../../../core/index.ts';
import { ATTR, DirEntry, ENTRY_BYTES, NAME_DELETED, NAME_END } from './layout.ts';
import { LongName } from './long-name.ts';
import { labelOf, shortNameChecksum, shortNameOf } from './short-name.ts';
import { timestampOf } from './times.ts';

/** What a 32-byte entry says about the file it is. */
export interface FatRecord {
  /** Byte offset of the entry on the volume. */
  readonly node: NodeId;
  readonly isDirectory: boolean;
  readonly firstCluster: number;
  readonly size: number;
  readonly attributes: Attributes;
}

export interface NamedRecord extends FatRecord {
  readonly name: string;
  /** The 8.3 name, where the name is a long one. */
  readonly shortName: string | undefined;
}

/** What differs between volumes in how an entry is read. */
export interface RecordRules {
  readonly clusterBytes: number;
  /** FAT32: the cluster number has an upper half. */
  readonly isWide: boolean;
}

/** Reads a directory from its bytes, piece by piece: names span entries, and entries pieces. */
export class DirectoryReader {
  readonly #rules: RecordRules;
  readonly #longName = new LongName();
  #slot = 0;
  #dot: number | undefined;
  #isEnded = false;
  #label: string | undefined;

  constructor(rules: RecordRules) {
    this.#rules = rules;
  }

  /** The mark behind the last entry was met. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** The first volume label that was met. */
  get label(): string | undefined {
    return this.#label;
  }

  /** The cluster that the first entry, `.`, says is the directory's; `undefined` without one. */
  get dot(): number | undefined {
    return this.#dot;
  }

  /** The files among the entries of `piece`, whose first byte lies at `at` on the volume. */
  read(piece: Uint8Array, at: number): NamedRecord[] {
    const view = layout.viewOf(piece);
    const records: NamedRecord[] = [];
    for (let offset = 0; offset + ENTRY_BYTES <= piece.byteLength; offset += ENTRY_BYTES) {
      const first = piece[offset] as number;
      if (first === NAME_END) {
        this.#isEnded = true;
        break;
      }
      const record = this.#entry(piece, view, offset, at + offset);
      if (record !== undefined) records.push(record);
      this.#slot += 1;
    }
    return records;
  }

  #entry(piece: Uint8Array, view: DataView, offset: number, node: NodeId): NamedRecord | undefined {
    if (piece[offset] === NAME_DELETED) {
      this.#longName.clear();
      return undefined;
    }
    const attr = DirEntry.attr(view, offset);
    if ((attr & ATTR.longNameMask) === ATTR.longName) {
      this.#longName.add(view, offset);
      return undefined;
    }
    const long = this.#longName.take(shortNameChecksum(piece, offset));
    if ((attr & ATTR.volumeId) !== 0) {
      this.#label ??= labelOf(piece, offset);
      return undefined;
    }
    const short = shortNameOf(piece, offset, DirEntry.ntRes(view, offset));
    const record = recordAt(view, offset, node, this.#rules);
    if (short === '.' && this.#slot === 0) this.#dot = record.firstCluster;
    if (short === '.' || short === '..') return undefined;
    if (long === undefined) return { ...record, name: short, shortName: undefined };
    return { ...record, name: long, shortName: shortNameOf(piece, offset) };
  }
}

/** True when an entry is a file's short one: not free, no piece of a long name, no label. */
export function isFileEntry(entry: Uint8Array): boolean {
  const first = entry[0];
  const attr = DirEntry.attr(layout.viewOf(entry));
  return first !== NAME_END && first !== NAME_DELETED && (attr & ATTR.volumeId) === 0;
}

/** The entry at `offset` of `view`, which lies at `node` on the volume. */
export function recordAt(
  view: DataView,
  offset: number,
  node: NodeId,
  { clusterBytes, isWide }: RecordRules,
): FatRecord {
  const attr = DirEntry.attr(view, offset);
  const isDirectory = (attr & ATTR.directory) !== 0;
  const high = isWide ? (DirEntry.fstClusHI(view, offset) & 0x0fff) * 2 ** 16 : 0;
  const size = isDirectory ? 0 : DirEntry.fileSize(view, offset);
  return {
    node,
    isDirectory,
    firstCluster: high + DirEntry.fstClusLO(view, offset),
    size,
    attributes: attributesAt(view, offset, node, size, clusterBytes),
  };
}

function attributesAt(
  view: DataView,
  offset: number,
  node: NodeId,
  size: number,
  clusterBytes: number,
): Attributes {
  const attr = DirEntry.attr(view, offset);
  const accessed = DirEntry.lstAccDate(view, offset);
  const created = DirEntry.crtDate(view, offset);
  const createdTime = DirEntry.crtTime(view, offset);
  const tenth = DirEntry.crtTimeTenth(view, offset);
  return {
    kind: (attr & ATTR.directory) !== 0 ? 'directory' : 'file',
    size,
    allocated: Math.ceil(size / clusterBytes) * clusterBytes,
    links: 1,
    modified: timestampOf(DirEntry.wrtDate(view, offset), DirEntry.wrtTime(view, offset)),
    ...(accessed === 0 ? {} : { accessed: timestampOf(accessed, 0) }),
    ...(created === 0 ? {} : { created: timestampOf(created, createdTime, tenth) }),
    fileNumber: node,
    generation: 0,
    dosAttributes: attr & ATTR.dosMask,
  };
}
