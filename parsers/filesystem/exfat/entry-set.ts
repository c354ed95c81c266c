import {
  type Attributes,
  asRestoreError,
  layout,
  type NodeId,
  RestoreError,
} from '../../../core/index.ts';
import { nameHash, setChecksum } from './checksum.ts';
import {
  ENTRY_BYTES,
  ENTRY_TYPE,
  FILE_ATTRIBUTES,
  FileEntry,
  NAME_AT,
  NAME_UNITS,
  STREAM_FLAGS,
  StreamEntry,
} from './layout.ts';
import { exfatTimestamp } from './times.ts';
import type { Upcase } from './upcase.ts';

/** A file, as its set of directory entries has it (sections 7.4 to 7.7). */
export interface FileRecord {
  /** Byte offset of the set's first entry on the volume. */
  readonly node: NodeId;
  readonly name: string;
  readonly isDirectory: boolean;
  readonly attributes: Attributes;
  readonly firstCluster: number;
  readonly size: number;
  /** What was ever written; behind it the content is zeros. */
  readonly validBytes: number;
  /** The clusters follow one another and the FAT says nothing of them. */
  readonly isContiguous: boolean;
}

/** A set whose name can be trusted, and nothing else: the file is there and cannot be told of. */
export interface BrokenRecord {
  readonly node: NodeId;
  readonly name: string;
  readonly error: RestoreError;
}

export interface SetRules {
  readonly clusterBytes: number;
  readonly clusterCount: number;
  readonly upcase: Upcase;
}

const NAME_LENGTH_MAX = 255;

/**
 * Reads the entries of one file.
 *
 * @throws RestoreError `CORRUPT` when not even the name can be told.
 */
export function fileOf(set: Uint8Array, node: NodeId, rules: SetRules): FileRecord | BrokenRecord {
  const view = layout.viewOf(set);
  const name = nameOf(view, node);
  const isSound = FileEntry.setChecksum(view) === setChecksum(set);
  if (!isSound && StreamEntry.nameHash(view, ENTRY_BYTES) !== nameHash(rules.upcase.fold(name))) {
    throw damaged(node, 'a right checksum', 'a wrong one');
  }
  if (!isSound) return { node, name, error: damaged(node, 'a right checksum', 'a wrong one') };
  const unknown = unknownSecondary(view);
  if (unknown !== undefined) return { node, name, error: unsupportedEntry(node, unknown) };
  try {
    return recordOf(view, node, name, rules);
  } catch (error) {
    return { node, name, error: asRestoreError(error, 'a file cannot be told of') };
  }
}

/** For an entry that must be understood and is not (section 6.2.1.3, "TypeImportance"). */
export function unsupportedEntry(offset: number, found: number): RestoreError {
  return new RestoreError('UNSUPPORTED', 'a directory has a critical entry of an unknown kind', {
    where: { structure: 'EntryType', offset, found: `0x${found.toString(16)}` },
  });
}

export function damaged(offset: number, expected: string, found: string): RestoreError {
  return new RestoreError('CORRUPT', 'a set of directory entries is damaged', {
    where: { structure: 'directory entry set', offset, expected, found },
    hint: 'Repair a copy of the volume with `fsck.exfat` to get at the file.',
  });
}

function recordOf(view: DataView, node: NodeId, name: string, rules: SetRules): FileRecord {
  const size = StreamEntry.dataLength(view, ENTRY_BYTES);
  const validBytes = StreamEntry.validDataLength(view, ENTRY_BYTES);
  const most = rules.clusterBytes * rules.clusterCount;
  if (size > most) throw damaged(node, `a DataLength of at most ${most}`, `${size}`);
  if (validBytes > size) {
    throw damaged(node, `a ValidDataLength of at most ${size}`, `${validBytes}`);
  }
  const flags = StreamEntry.generalSecondaryFlags(view, ENTRY_BYTES);
  const attributes = FileEntry.fileAttributes(view);
  return {
    node,
    name,
    isDirectory: (attributes & FILE_ATTRIBUTES.directory) !== 0,
    attributes: attributesOf(view, node, size, rules.clusterBytes),
    firstCluster: StreamEntry.firstCluster(view, ENTRY_BYTES),
    size,
    validBytes,
    isContiguous: (flags & STREAM_FLAGS.noFatChain) !== 0,
  };
}

function attributesOf(
  view: DataView,
  node: NodeId,
  size: number,
  clusterBytes: number,
): Attributes {
  const attributes = FileEntry.fileAttributes(view);
  return {
    kind: (attributes & FILE_ATTRIBUTES.directory) !== 0 ? 'directory' : 'file',
    size,
    allocated: Math.ceil(size / clusterBytes) * clusterBytes,
    links: 1,
    modified: exfatTimestamp(
      FileEntry.lastModifiedTimestamp(view),
      FileEntry.lastModified10msIncrement(view),
      FileEntry.lastModifiedUtcOffset(view),
    ),
    accessed: exfatTimestamp(
      FileEntry.lastAccessedTimestamp(view),
      0,
      FileEntry.lastAccessedUtcOffset(view),
    ),
    created: exfatTimestamp(
      FileEntry.createTimestamp(view),
      FileEntry.create10msIncrement(view),
      FileEntry.createUtcOffset(view),
    ),
    fileNumber: node,
    generation: 0,
    dosAttributes: attributes & FILE_ATTRIBUTES.mask,
  };
}

/** A stream extension comes first, then the name, 15 units an entry (section 7.7). */
function nameOf(view: DataView, node: NodeId): string {
  const count = view.byteLength / ENTRY_BYTES;
  if (count < 3 || view.getUint8(ENTRY_BYTES) !== ENTRY_TYPE.streamExtension) {
    throw damaged(node, 'a stream extension behind the file entry', `${count} entries`);
  }
  const length = StreamEntry.nameLength(view, ENTRY_BYTES);
  const entries = Math.ceil(length / NAME_UNITS);
  if (length === 0 || length > NAME_LENGTH_MAX || 2 + entries > count) {
    throw damaged(node, 'a name that fits its entries', `${length} units in ${count - 2} entries`);
  }
  let name = '';
  for (let index = 0; index < length; index += 1) {
    const at = (2 + Math.floor(index / NAME_UNITS)) * ENTRY_BYTES;
    if (index % NAME_UNITS === 0 && view.getUint8(at) !== ENTRY_TYPE.fileName) {
      throw damaged(node, 'a file name entry', `type ${view.getUint8(at)}`);
    }
    name += String.fromCharCode(view.getUint16(at + NAME_AT + (index % NAME_UNITS) * 2, true));
  }
  if (name === '.' || name === '..') throw damaged(node, 'a name', JSON.stringify(name));
  return name;
}

/** The type of a critical secondary entry that is not known. */
function unknownSecondary(view: DataView): number | undefined {
  for (let at = 2 * ENTRY_BYTES; at < view.byteLength; at += ENTRY_BYTES) {
    const type = view.getUint8(at);
    const isBenign = (type & ENTRY_TYPE.isBenign) !== 0;
    if (!isBenign && type !== ENTRY_TYPE.fileName) return type;
  }
  return undefined;
}
