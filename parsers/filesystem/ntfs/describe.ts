import { type Attributes, type FileKind, nameToBytes } from '../../../core/index.ts';
import { DOS_ATTRIBUTE, FileName, NAMESPACE, Standard, TIMES, TYPE } from './layout.ts';
import { linkOf } from './link.ts';
import type { NtfsFile } from './ntfs-file.ts';
import { missingContent } from './reparse.ts';
import { headOf, type Stream } from './stream.ts';
import { timestampAt } from './timestamp.ts';

/** What is told of a file, all from its record. */
export function describe(file: NtfsFile): Attributes {
  const { record, extras } = file;
  const { view, valueAt } = file.standard;
  const kind = kindOf(file);
  const data = kind === 'file' ? file.stream(TYPE.DATA) : undefined;
  const { size, allocated } = sizesOf(file, kind, data);
  const attributes: Attributes = {
    kind,
    size,
    allocated,
    links: linksOf(file),
    modified: timestampAt(view, valueAt + TIMES.MODIFIED),
    accessed: timestampAt(view, valueAt + TIMES.ACCESSED),
    changed: timestampAt(view, valueAt + TIMES.CHANGED),
    created: timestampAt(view, valueAt + TIMES.CREATED),
    fileNumber: record.number,
    generation: record.sequence,
    dosAttributes: dosAttributesOf(file),
  };
  const unreadable = kind === 'file' ? whyUnreadable(file, data) : undefined;
  if (unreadable === undefined && extras.linux === undefined && extras.reparse === undefined) {
    return attributes;
  }
  const linux = linuxAttributes(file, kind);
  return { ...attributes, ...linux, ...(unreadable === undefined ? {} : { unreadable }) };
}

export function kindOf({ record, extras }: NtfsFile): FileKind {
  const { reparse } = extras;
  if (reparse?.kind === 'special') return reparse.special;
  if (reparse !== undefined && linkOf(reparse) !== undefined) return 'symlink';
  return record.isDirectory ? 'directory' : 'file';
}

/** As Windows tells them, and ntfs-3g in `system.ntfs_attrib`. */
export function dosAttributesOf({ record, standard }: NtfsFile): number {
  const stored = Standard.fileAttributes(standard.view, standard.valueAt);
  const bits = record.isDirectory
    ? stored | DOS_ATTRIBUTE.DIRECTORY
    : stored & ~DOS_ATTRIBUTE.DIRECTORY;
  return bits === 0 ? DOS_ATTRIBUTE.NORMAL : bits >>> 0;
}

/** Why the unnamed stream, `data`, is not to be read; `undefined` when it is. */
export function whyUnreadable(file: NtfsFile, data: Stream | undefined): string | undefined {
  const { reparse, reparseError } = file.extras;
  if (reparseError !== undefined) return reparseError.message;
  if (data === undefined) return 'it has no content: its data stream is missing';
  const head = headOf(data);
  if (head.isEncrypted) return 'it is encrypted (EFS)';
  if (reparse === undefined) return undefined;
  const reason = missingContent(reparse, dosAttributesOf(file));
  if (reason !== undefined || reparse.kind !== 'other') return reason;
  // A filter's file with less on the volume than it is long has its content elsewhere.
  const isShort = !head.isResident && head.allocated < head.size;
  return isShort && !head.isCompressed
    ? `parts of its content are kept elsewhere (reparse point ${reparse.name})`
    : undefined;
}

function sizesOf(
  file: NtfsFile,
  kind: FileKind,
  data: Stream | undefined,
): { size: number; allocated: number } {
  if (kind === 'symlink' && file.extras.reparse !== undefined) {
    const target = linkOf(file.extras.reparse)?.target ?? '';
    return { size: nameToBytes(target).byteLength, allocated: 0 };
  }
  if (kind === 'directory') return directorySizes(file);
  if (data === undefined) return NOTHING;
  const head = headOf(data);
  return { size: head.size, allocated: head.allocated };
}

const NOTHING = { size: 0, allocated: 0 } as const;

/** Of the blocks of its index; small directories need none. */
function directorySizes(file: NtfsFile): { size: number; allocated: number } {
  const blocks = file.attributes.find(
    ({ type, name, lowestCluster }) =>
      type === TYPE.INDEX_ALLOCATION && name === '$I30' && lowestCluster === 0,
  );
  if (blocks === undefined) return NOTHING;
  return { size: blocks.size, allocated: blocks.allocated };
}

/** Short names are counted in the record, but are no links of their own. */
function linksOf(file: NtfsFile): number {
  if (file.record.isDirectory) return 1;
  let shortNames = 0;
  for (const attribute of file.attributes) {
    if (attribute.type !== TYPE.FILE_NAME) continue;
    if (FileName.namespace(attribute.view, attribute.valueAt) === NAMESPACE.DOS) shortNames += 1;
  }
  return Math.max(1, file.record.links - shortNames);
}

function linuxAttributes({ extras }: NtfsFile, kind: FileKind): Partial<Attributes> {
  const { linux, reparse } = extras;
  const ofPoint = reparse?.kind === 'special' ? reparse.device : undefined;
  const isDevice = kind === 'block-device' || kind === 'character-device';
  const device = isDevice ? (ofPoint ?? linux?.device) : undefined;
  return {
    ...(linux?.mode === undefined ? {} : { mode: linux.mode & 0o7777 }),
    ...(linux?.uid === undefined ? {} : { uid: linux.uid }),
    ...(linux?.gid === undefined ? {} : { gid: linux.gid }),
    ...(device === undefined ? {} : { device }),
  };
}
