import { nameFromBytes, RestoreError } from '../../../../core/index.ts';

/** A directory entry as it is stored: a name and where it leads. */
export interface Link {
  readonly name: string;
  readonly inode: number;
  /** `file_type`; 0 where directories do not say. */
  readonly type: number;
}

/** The name in `[start, end)` of a directory's block, as it is shown. */
export type NameDecoder = (area: Uint8Array, start: number, end: number) => string;

export const plainName: NameDecoder = (area, start, end) =>
  nameFromBytes(area.subarray(start, end));

/** What a directory's entries are read by. */
export interface LinkRules {
  /** The directory's inode number, for errors. */
  readonly directory: number;
  readonly inodeCount: number;
  /** Entries say the file's type. */
  readonly hasTypes: boolean;
  /** Bytes that follow each name: the hash in directories both encrypted and casefolded. */
  readonly trailerBytes: number;
  readonly decode: NameDecoder;
  /** Entries of these inodes alone, where a few are looked for among many. */
  readonly wanted?: ReadonlySet<number>;
}

/** Kernel documentation, filesystems/ext4, "Directory Entries", `ext4_dir_entry_2`. */
const ENTRY_HEADER_BYTES = 8;
const ENTRY_BYTES_MIN = 12;
const WHOLE_BLOCK = 0x1_0000;

/**
 * Adds the entries of one block, or of one inline area, to `links`, `.` and `..` left out.
 *
 * @param offset where the area lies on the volume, for errors.
 * @returns why the rest of the area cannot be read, when it cannot.
 */
export function addLinks(
  area: Uint8Array,
  rules: LinkRules,
  offset: number,
  links: Link[],
): RestoreError | undefined {
  const view = new DataView(area.buffer, area.byteOffset, area.byteLength);
  const size = area.byteLength;
  for (let at = 0; at < size; ) {
    if (at + ENTRY_HEADER_BYTES > size)
      return bad(rules, offset + at, 'an entry', `${size - at} bytes`);
    const inode = view.getUint32(at, true);
    const length = recordLength(view.getUint16(at + 4, true), size);
    const nameLength = view.getUint8(at + 6);
    const next = at + length;
    const least = ENTRY_HEADER_BYTES + ((nameLength + 3) & ~3);
    if (length < ENTRY_BYTES_MIN || length % 4 !== 0 || next > size || length < least) {
      return bad(rules, offset + at, `rec_len ${Math.max(12, least)} to ${size - at}`, length);
    }
    if (inode > rules.inodeCount) {
      return bad(rules, offset + at, `inode up to ${rules.inodeCount}`, inode);
    }
    const start = at + ENTRY_HEADER_BYTES;
    const isWanted = rules.wanted === undefined || rules.wanted.has(inode);
    if (inode !== 0 && isWanted && !isDots(area, start, nameLength)) {
      if (nameLength === 0) return bad(rules, offset + at, 'a name', 'none');
      if (length < least + rules.trailerBytes) return bad(rules, offset + at, 'a hash', 'none');
      links.push({
        name: rules.decode(area, start, start + nameLength),
        inode,
        type: rules.hasTypes ? view.getUint8(at + 7) : 0,
      });
    }
    at = next;
  }
  return undefined;
}

/** With 64 KiB blocks a record as long as the block does not fit 16 bits. */
function recordLength(stored: number, size: number): number {
  if (size < WHOLE_BLOCK) return stored;
  if (stored === 0xffff || stored === 0) return size;
  return (stored & 0xfffc) | ((stored & 3) << 16);
}

function isDots(area: Uint8Array, start: number, length: number): boolean {
  const dot = 0x2e;
  if (length === 1) return area[start] === dot;
  return length === 2 && area[start] === dot && area[start + 1] === dot;
}

function bad(
  { directory }: LinkRules,
  offset: number,
  expected: string,
  found: string | number,
): RestoreError {
  return new RestoreError('CORRUPT', 'a directory entry is damaged', {
    where: { structure: `directory inode ${directory}`, offset, expected, found },
  });
}
