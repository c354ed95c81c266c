/**
 * The bytes of a tar archive: ustar with pax extended headers (IEEE Std 1003.1-2017, `pax`,
 * "ustar Interchange Format"), sparse files as GNU tar's format 1.0, extended attributes and ACLs as
 * star, bsdtar and GNU tar have them.
 */
import {
  type ExtendedAttribute,
  type Extent,
  type FileKind,
  nameToBytes,
  RestoreError,
  type Timestamp,
} from '../../core/index.ts';
import { aclText } from './acl-text.ts';
import { encodePax, type PaxRecord } from './pax.ts';

/** What one member of an archive is. */
export interface TarMember {
  /** Relative, `/` between its parts; text as `nameFromBytes` has it. */
  readonly path: string;
  readonly kind: FileKind | 'hard-link';
  /** Bytes of a file's content. */
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modified: Timestamp;
  /** Of a symbolic link, its target; of a hard link, the path of the member that it repeats. */
  readonly target?: string;
  readonly device?: { readonly major: number; readonly minor: number };
  readonly xattrs?: readonly ExtendedAttribute[];
  /** Where a file holds data, ascending; the rest are holes. Absent: all of it. */
  readonly data?: readonly Extent[];
}

const TAR_BLOCK_BYTES = 512;
const OCTAL_8_MAX = 0o7777777;
const OCTAL_12_MAX = 0o77777777777;
const NAME_BYTES = 100;
const PREFIX_BYTES = 155;

const TYPE_FLAG = {
  file: '0',
  'hard-link': '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
} as const satisfies Partial<Record<TarMember['kind'], string>>;

/** A member's headers, and what its content is made of. */
export interface EncodedMember {
  /** Headers, and a sparse file's map. */
  readonly head: Uint8Array;
  /** The ranges of the file whose bytes follow, end to end. */
  readonly data: readonly Extent[];
  /** Zeros that fill the last block. */
  readonly paddingBytes: number;
}

/**
 * @throws RestoreError `UNSUPPORTED` for a socket, which no archive holds.
 */
export function encodeMember(member: TarMember): EncodedMember {
  const isFile = member.kind === 'file';
  const data = isFile ? (member.data ?? wholeOf(member.size)) : [];
  const dataBytes = data.reduce((sum, { length }) => sum + length, 0);
  const sparse = isFile && dataBytes < member.size;
  const map = sparse ? sparseMap(data, member.size) : new Uint8Array(0);
  const size = map.byteLength + dataBytes;
  const records = sparse ? sparseRecords(member) : [];
  const path = sparse ? placeholderPath(member.path) : pathOf(member);
  const head = Buffer.concat([headers(member, path, size, records), map]);
  return { head, data, paddingBytes: paddingOf(size) };
}

/** Two blocks of zeros end an archive; readers of tapes like whole records of 20. */
export function tarEnd(bytesBefore: number): Uint8Array {
  const record = 20 * TAR_BLOCK_BYTES;
  const end = bytesBefore + 2 * TAR_BLOCK_BYTES;
  return new Uint8Array(Math.ceil(end / record) * record - bytesBefore);
}

function wholeOf(size: number): Extent[] {
  return size === 0 ? [] : [{ offset: 0, length: size }];
}

function paddingOf(size: number): number {
  return (TAR_BLOCK_BYTES - (size % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
}

function pathOf({ path, kind }: TarMember): string {
  return kind === 'directory' && !path.endsWith('/') ? `${path}/` : path;
}

/** The extended header where one is needed, then the member's own. */
function headers(
  member: TarMember,
  path: string,
  size: number,
  more: readonly PaxRecord[],
): Uint8Array {
  const records = [...more, ...recordsOf(member, path, size)];
  const own = ustarHeader(member, path, size);
  if (records.length === 0) return own;
  const extended = encodePax(records);
  const name = `PaxHeaders/${path.slice(path.lastIndexOf('/', path.length - 2) + 1)}`;
  const header = ustarHeader(
    { ...member, mode: 0o644, uid: 0, gid: 0, target: '' },
    name,
    extended.byteLength,
    'x',
  );
  const padding = new Uint8Array(paddingOf(extended.byteLength));
  return Buffer.concat([header, extended, padding, own]);
}

/** What the plain header cannot say, or not exactly. */
function recordsOf(member: TarMember, path: string, size: number): PaxRecord[] {
  const { uid, gid, modified, target, xattrs = [] } = member;
  const records: PaxRecord[] = [];
  const add = (keyword: string, value: string | Uint8Array): void => {
    records.push({ keyword, value });
  };
  if (!fits(path) || !isAscii(path)) add('path', path);
  if (target !== undefined && (!isAscii(target) || target.length > NAME_BYTES)) {
    add('linkpath', target);
  }
  if (size > OCTAL_12_MAX) add('size', String(size));
  if (uid > OCTAL_8_MAX) add('uid', String(uid));
  if (gid > OCTAL_8_MAX) add('gid', String(gid));
  const { seconds, nanoseconds } = modified;
  const isPlainTime = nanoseconds === 0 && seconds >= 0 && seconds <= OCTAL_12_MAX;
  if (!isPlainTime) add('mtime', timeText(modified));
  for (const { name, value } of xattrs) {
    const acl = aclText(name, value);
    if (acl === undefined) add(`SCHILY.xattr.${keywordOf(name)}`, value);
    else add(acl.keyword, acl.text);
  }
  return records;
}

/**
 * An equals sign would end the keyword. GNU tar writes it so (`xattr_encode_keyword` of its xheader.c),
 * and a percent sign too where it would be read as one of the two.
 */
function keywordOf(name: string): string {
  return name.replaceAll(/%(?=25|3D)/g, '%25').replaceAll('=', '%3D');
}

function ustarHeader(
  member: TarMember,
  path: string,
  size: number,
  type: string = typeFlag(member),
): Uint8Array {
  const { mode, uid, gid, modified, target = '', device } = member;
  const header = new Uint8Array(TAR_BLOCK_BYTES);
  const [prefix, name] = split(path);
  put(header, 0, NAME_BYTES, name);
  octal(header, 100, 8, mode & 0o7777);
  octal(header, 108, 8, Math.min(uid, OCTAL_8_MAX));
  octal(header, 116, 8, Math.min(gid, OCTAL_8_MAX));
  octal(header, 124, 12, Math.min(size, OCTAL_12_MAX));
  octal(header, 136, 12, Math.min(Math.max(0, modified.seconds), OCTAL_12_MAX));
  put(header, 156, 1, type);
  put(header, 157, NAME_BYTES, target);
  put(header, 257, 8, 'ustar\x0000');
  octal(header, 329, 8, device?.major ?? 0);
  octal(header, 337, 8, device?.minor ?? 0);
  put(header, 345, PREFIX_BYTES, prefix);
  header.fill(0x20, 148, 156);
  let sum = 0;
  for (let at = 0; at < TAR_BLOCK_BYTES; at += 1) sum += header[at] as number;
  // A NUL and a blank behind six digits, as the format was first written.
  octal(header, 148, 7, sum);
  header[154] = 0;
  return header;
}

function typeFlag({ kind, path }: TarMember): string {
  const flag = (TYPE_FLAG as Partial<Record<TarMember['kind'], string>>)[kind];
  if (flag !== undefined) return flag;
  throw new RestoreError('UNSUPPORTED', 'an archive cannot hold a socket', {
    where: { object: path },
  });
}

function fits(path: string): boolean {
  const [prefix, name] = split(path);
  return name.length <= NAME_BYTES && prefix.length <= PREFIX_BYTES && prefix !== path;
}

/** Prefix and name: at the first slash behind which the name is short enough. */
function split(path: string): [prefix: string, name: string] {
  if (path.length <= NAME_BYTES) return ['', path];
  const at = path.indexOf('/', path.length - NAME_BYTES - 1);
  if (at <= 0 || at > PREFIX_BYTES || at === path.length - 1) return ['', path];
  return [path.slice(0, at), path.slice(at + 1)];
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (text.charCodeAt(index) > 0x7f) return false;
  }
  return true;
}

/** Decimal seconds; a time before 1970 is negative as a whole. */
function timeText({ seconds, nanoseconds }: Timestamp): string {
  if (nanoseconds === 0) return String(seconds);
  const isNegative = seconds < 0;
  const whole = isNegative ? -(seconds + 1) : seconds;
  const part = isNegative ? 1_000_000_000 - nanoseconds : nanoseconds;
  const digits = String(part).padStart(9, '0').replace(/0+$/, '');
  return `${isNegative ? '-' : ''}${whole}.${digits}`;
}

/** GNU tar manual, "Storing Sparse Files", PAX format version 1.0. */
function sparseRecords({ path, size }: TarMember): PaxRecord[] {
  return [
    { keyword: 'GNU.sparse.major', value: '1' },
    { keyword: 'GNU.sparse.minor', value: '0' },
    { keyword: 'GNU.sparse.name', value: path },
    { keyword: 'GNU.sparse.realsize', value: String(size) },
  ];
}

/** What readers without sparse files call it. */
function placeholderPath(path: string): string {
  const at = path.lastIndexOf('/');
  return `${path.slice(0, at + 1)}GNUSparseFile.0/${path.slice(at + 1)}`;
}

/** The count of data ranges, then offset and length of each, in lines; the file's end as the last. */
function sparseMap(data: readonly Extent[], size: number): Uint8Array {
  const last = data.at(-1);
  const reachesEnd = last !== undefined && last.offset + last.length === size;
  const ranges = reachesEnd ? data : [...data, { offset: size, length: 0 }];
  const lines = [ranges.length, ...ranges.flatMap(({ offset, length }) => [offset, length])];
  const text = Buffer.from(lines.map((number) => `${number}\n`).join(''));
  return Buffer.concat([text, new Uint8Array(paddingOf(text.byteLength))]);
}

/** As much of a text as there is room for. */
function put(header: Uint8Array, at: number, length: number, text: string): void {
  if (!isAscii(text)) {
    header.set(nameToBytes(text).subarray(0, length), at);
    return;
  }
  const count = Math.min(length, text.length);
  for (let index = 0; index < count; index += 1) header[at + index] = text.charCodeAt(index);
}

/** Digits that fill a field up to the NUL at its end. */
function octal(header: Uint8Array, at: number, length: number, value: number): void {
  let rest = value;
  for (let index = at + length - 2; index >= at; index -= 1) {
    header[index] = 0x30 + (rest % 8);
    rest = Math.floor(rest / 8);
  }
}
