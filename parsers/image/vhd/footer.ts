import { layout, readBytes } from '../../../core/index.ts';
import { corrupt, isPowerOfTwo, needBetween, needInside, unsupported } from '../checks.ts';
import { type ImageFile, SECTOR_BYTES } from '../image.ts';
import {
  DISK_TYPES,
  FOOTER_BYTES,
  FOOTER_CHECKSUM_AT,
  FOOTER_COOKIE,
  Footer,
  HEADER_BYTES,
  HEADER_CHECKSUM_AT,
  HEADER_COOKIE,
  Header,
} from './layout.ts';

/** The largest geometry that the footer can say; larger disks have it too. */
const GEOMETRY_LIMIT_SECTORS = 65535 * 16 * 255;
/** Creators whose disks are as large as their geometry says; all others mean Current Size. */
const GEOMETRY_CREATORS: readonly string[] = ['vpc', 'qemu'];
const MAJOR_VERSION_1 = 1;
const BLOCK_LIMIT_BYTES = 2 ** 30;

export interface VhdFooter {
  readonly type: 'fixed' | 'dynamic' | 'differencing';
  /** Virtual size in bytes. */
  readonly size: number;
  readonly sizeRule: 'geometry' | 'current size';
  readonly creator: string;
  readonly uniqueId: string;
  readonly headerAt: number;
  /** Which copy was sound. */
  readonly from: 'end' | 'copy at start';
}

export interface VhdHeader {
  readonly tableAt: number;
  readonly blockCount: number;
  readonly blockBytes: number;
  readonly bitmapBytes: number;
  readonly view: DataView;
}

/**
 * The footer at the file's end, else its copy at the start.
 *
 * @throws RestoreError `CORRUPT` when neither passes its checksum.
 */
export async function readFooter(file: ImageFile): Promise<VhdFooter> {
  needInside(file, 'VHD footer', 0, FOOTER_BYTES);
  const end = file.source.size - FOOTER_BYTES;
  const last = await readBytes(file.source, end, FOOTER_BYTES);
  if (isSound(last, FOOTER_COOKIE, FOOTER_CHECKSUM_AT)) return parseFooter(file, last, 'end', end);
  const first = await readBytes(file.source, 0, FOOTER_BYTES);
  if (isSound(first, FOOTER_COOKIE, FOOTER_CHECKSUM_AT)) {
    const footer = parseFooter(file, first, 'copy at start', 0);
    if (footer.type !== 'fixed') return footer;
  }
  throw corrupt(file, 'the VHD footer is missing or damaged, and so is its copy', {
    structure: 'hard disk footer',
    offset: end,
    expected: `"${FOOTER_COOKIE}" and a right checksum, here or at offset 0`,
    found: describeFound(last),
  });
}

/** @throws RestoreError `CORRUPT`. */
export async function readHeader(file: ImageFile, footer: VhdFooter): Promise<VhdHeader> {
  const { headerAt } = footer;
  needInside(file, 'dynamic disk header', headerAt, HEADER_BYTES);
  const bytes = await readBytes(file.source, headerAt, HEADER_BYTES);
  const view = layout.viewOf(bytes);
  if (!isSound(bytes, HEADER_COOKIE, HEADER_CHECKSUM_AT)) {
    throw corrupt(file, 'the dynamic disk header is missing or damaged', {
      structure: 'dynamic disk header',
      offset: headerAt,
      expected: `"${HEADER_COOKIE}" and a right checksum`,
      found: describeFound(bytes),
    });
  }
  const blockBytes = Header.blockSize(view);
  needBetween(file, 'header field Block Size', blockBytes, SECTOR_BYTES, BLOCK_LIMIT_BYTES);
  if (!isPowerOfTwo(blockBytes)) {
    throw corrupt(file, 'the block size is not a power of two', {
      structure: 'header field Block Size',
      offset: headerAt + 32,
      found: blockBytes,
    });
  }
  const blockCount = Math.ceil(footer.size / blockBytes);
  needBetween(
    file,
    'header field Max Table Entries',
    Header.maxTableEntries(view),
    blockCount,
    2 ** 32,
  );
  const tableAt = Header.tableOffset(view);
  needBetween(file, 'header field Table Offset modulo 4', tableAt % 4, 0, 0);
  needInside(file, 'block allocation table', tableAt, blockCount * 4);
  const bitmapBytes = Math.ceil(blockBytes / SECTOR_BYTES / 8 / SECTOR_BYTES) * SECTOR_BYTES;
  return { tableAt, blockCount, blockBytes, bitmapBytes, view };
}

/** A 16-byte id as text. */
export function idText(id: Uint8Array): string {
  return Buffer.from(id).toString('hex');
}

function parseFooter(
  file: ImageFile,
  bytes: Uint8Array,
  from: VhdFooter['from'],
  at: number,
): VhdFooter {
  const view = layout.viewOf(bytes);
  const type = DISK_TYPES[Footer.diskType(view)];
  if (type === undefined || Footer.fileFormatVersion(view) >>> 16 !== MAJOR_VERSION_1) {
    throw unsupported(file, 'this kind of VHD is not read', {
      structure: 'footer fields File Format Version and Disk Type',
      offset: at,
      expected: 'version 1; type 2 (fixed), 3 (dynamic) or 4 (differencing)',
      found: `version ${Footer.fileFormatVersion(view) >>> 16}, type ${Footer.diskType(view)}`,
    });
  }
  return {
    type,
    ...sizeOf(file, view),
    creator: Footer.creatorApplication(view),
    uniqueId: idText(Footer.uniqueId(view)),
    headerAt: type === 'fixed' ? 0 : Footer.dataOffset(view),
    from,
  };
}

/**
 * Virtual PC shows the guest a disk of as many sectors as the geometry has, which may be a few less
 * than Current Size; Hyper-V and nearly all others show Current Size. Like qemu, we go by the
 * creator, and by Current Size wherever the geometry is at its limit; unlike qemu, we take Current
 * Size, which is what the specification says, for creators that we do not know.
 */
function sizeOf(file: ImageFile, view: DataView): Pick<VhdFooter, 'size' | 'sizeRule'> {
  const currentSize = Footer.currentSize(view);
  needBetween(file, 'footer field Current Size modulo 512', currentSize % SECTOR_BYTES, 0, 0);
  const sectors = Footer.cylinders(view) * Footer.heads(view) * Footer.sectorsPerTrack(view);
  const byGeometry =
    GEOMETRY_CREATORS.includes(Footer.creatorApplication(view)) &&
    sectors > 0 &&
    sectors !== GEOMETRY_LIMIT_SECTORS;
  return byGeometry
    ? { size: sectors * SECTOR_BYTES, sizeRule: 'geometry' }
    : { size: currentSize, sizeRule: 'current size' };
}

function isSound(bytes: Uint8Array, cookie: string, checksumAt: number): boolean {
  const view = layout.viewOf(bytes);
  return hasCookie(bytes, cookie) && checksum(bytes, checksumAt) === view.getUint32(checksumAt);
}

export function hasCookie(bytes: Uint8Array, cookie: string): boolean {
  return Buffer.from(bytes.subarray(0, cookie.length)).toString('latin1') === cookie;
}

/** One's complement of the sum of all bytes but the checksum's own four. */
function checksum(bytes: Uint8Array, checksumAt: number): number {
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  const own = bytes.subarray(checksumAt, checksumAt + 4).reduce((total, byte) => total + byte, 0);
  return ~(sum - own) >>> 0;
}

function describeFound(bytes: Uint8Array): string {
  const cookie = Buffer.from(bytes.subarray(0, 8)).toString('latin1');
  const known = cookie === FOOTER_COOKIE || cookie === HEADER_COOKIE;
  return known ? `"${cookie}" and a wrong checksum` : JSON.stringify(cookie);
}
