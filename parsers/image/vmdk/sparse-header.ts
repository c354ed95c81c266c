import { layout, readBytes } from '../../../core/index.ts';
import { corrupt, isPowerOfTwo, needBetween, needInside, unsupported } from '../checks.ts';
import { type ImageFile, SECTOR_BYTES } from '../image.ts';
import {
  COMPRESSION_DEFLATE,
  COWD_GT_ENTRIES,
  COWD_MAGIC,
  CowdHeader,
  FLAGS,
  GD_AT_END_HIGH_WORD,
  MARKER_END_OF_STREAM,
  MARKER_FOOTER,
  Marker,
  NEWLINES,
  SPARSE_MAGIC,
  SparseHeader,
} from './layout.ts';

/** 512 entries in all known files; more would only ever be damage. */
const GT_ENTRIES_LIMIT = 4096;
const GRAIN_SECTORS_LIMIT = 2 ** 21;
const COMPRESSED_GRAIN_SECTORS_LIMIT = 2 ** 13;
/** As much as qemu reads: a directory for 64 TiB and more. */
const DIRECTORY_ENTRIES_LIMIT = 2 ** 25;

/** A checked header of a sparse extent. */
export interface SparseExtentHeader {
  readonly sectorCount: number;
  readonly grainBytes: number;
  /** Entries of one grain table. */
  readonly tableCount: number;
  readonly directoryAt: number;
  readonly directoryCount: number;
  readonly compressed: boolean;
  readonly zeroedGrains: boolean;
  /** Bytes that hold headers and tables: no grain starts below. */
  readonly overheadBytes: number;
  /** Where the embedded descriptor lies, in bytes; `undefined` when there is none. */
  readonly descriptor: { readonly at: number; readonly length: number } | undefined;
}

/** @throws RestoreError `CORRUPT`, `UNSUPPORTED`. */
export async function readSparseHeader(file: ImageFile): Promise<SparseExtentHeader> {
  const head = await readSector(file, 'sparse extent header', 0);
  const magic = SparseHeader.magicNumber(head);
  if (magic === COWD_MAGIC) return cowdHeader(file, head);
  if (magic !== SPARSE_MAGIC) {
    throw corrupt(file, 'the file is not a sparse VMDK extent', {
      structure: 'sparse extent header',
      offset: 0,
      expected: 'the magic KDMV or COWD',
      found: `0x${magic.toString(16)}`,
    });
  }
  const atEnd = GD_AT_END_HIGH_WORD(head) === 0xffffffff;
  const header = await checkedHeader(file, atEnd ? await readFooter(file) : head);
  return { ...header, descriptor: descriptorPlace(file, head) };
}

async function checkedHeader(
  file: ImageFile,
  view: DataView,
): Promise<Omit<SparseExtentHeader, 'descriptor'>> {
  const flags = SparseHeader.flags(view);
  const compressed = checkKind(file, view, flags);
  const sectorCount = SparseHeader.capacity(view);
  const grainSectors = SparseHeader.grainSize(view);
  const limit = compressed ? COMPRESSED_GRAIN_SECTORS_LIMIT : GRAIN_SECTORS_LIMIT;
  needBetween(file, 'header field grainSize', grainSectors, 1, limit);
  if (!isPowerOfTwo(grainSectors)) {
    throw corrupt(file, 'the grain size is not a power of two', {
      structure: 'header field grainSize',
      found: grainSectors,
    });
  }
  const tableCount = SparseHeader.numGTEsPerGT(view);
  needBetween(file, 'header field numGTEsPerGT', tableCount, 1, GT_ENTRIES_LIMIT);
  const overheadBytes = sectors(file, 'header field overHead', SparseHeader.overHead(view));
  needInside(file, 'headers and tables', 0, overheadBytes);
  return {
    sectorCount: sectors(file, 'header field capacity', sectorCount) / SECTOR_BYTES,
    grainBytes: grainSectors * SECTOR_BYTES,
    tableCount,
    ...directory(file, SparseHeader.gdOffset(view), sectorCount, grainSectors * tableCount),
    compressed,
    zeroedGrains: (flags & FLAGS.zeroedGrains) !== 0,
    overheadBytes,
  };
}

/** True when the grains are compressed. */
function checkKind(file: ImageFile, view: DataView, flags: number): boolean {
  const version = SparseHeader.version(view);
  if (version < 1 || version > 3) {
    throw unsupported(file, 'this VMDK version is not read', {
      structure: 'header field version',
      offset: 4,
      expected: '1, 2 or 3',
      found: version,
    });
  }
  if ((flags & FLAGS.newlines) !== 0 && SparseHeader.newlines(view) !== NEWLINES) {
    throw corrupt(file, 'the file was changed as if it were text', {
      structure: 'header newline test',
      offset: 73,
      expected: '0a 20 0d 0a',
      found: `0x${SparseHeader.newlines(view).toString(16)}`,
      hint: 'Copy it again in binary mode.',
    });
  }
  const algorithm = SparseHeader.compressAlgorithm(view);
  const compressed = (flags & FLAGS.compressed) !== 0;
  const sound = compressed
    ? algorithm === COMPRESSION_DEFLATE && (flags & FLAGS.markers) !== 0
    : algorithm === 0;
  if (sound) return compressed;
  throw unsupported(file, 'this kind of compression is not read', {
    structure: 'header fields flags and compressAlgorithm',
    expected: 'deflate with grain markers, or none',
    found: `flags 0x${flags.toString(16)}, algorithm ${algorithm}`,
  });
}

/** The footer, a copy of the header, stands before the last sector, between two markers. */
async function readFooter(file: ImageFile): Promise<DataView> {
  const end = file.source.size;
  const marker = await readSector(file, 'footer marker', end - 3 * SECTOR_BYTES);
  const footer = await readSector(file, 'footer', end - 2 * SECTOR_BYTES);
  const last = await readSector(file, 'end-of-stream marker', end - SECTOR_BYTES);
  const sound =
    Marker.type(marker) === MARKER_FOOTER &&
    Marker.size(marker) === 0 &&
    SparseHeader.magicNumber(footer) === SPARSE_MAGIC &&
    GD_AT_END_HIGH_WORD(footer) !== 0xffffffff &&
    Marker.type(last) === MARKER_END_OF_STREAM &&
    Marker.size(last) === 0;
  if (sound) return footer;
  throw corrupt(file, 'the stream-optimized image has no footer: its end is missing', {
    structure: 'footer',
    offset: end - 3 * SECTOR_BYTES,
    expected: 'footer marker, footer, end-of-stream marker',
    found: 'something else',
  });
}

function cowdHeader(file: ImageFile, view: DataView): SparseExtentHeader {
  needBetween(file, 'header field version', CowdHeader.version(view), 1, 1);
  const sectorCount = CowdHeader.numSectors(view);
  const grainSectors = CowdHeader.grainSize(view);
  needBetween(file, 'header field grainSize', grainSectors, 1, GRAIN_SECTORS_LIMIT);
  const span = grainSectors * COWD_GT_ENTRIES;
  const place = directory(file, CowdHeader.gdOffset(view), sectorCount, span);
  needBetween(
    file,
    'header field numGDEntries',
    CowdHeader.numGDEntries(view),
    place.directoryCount,
    2 ** 32,
  );
  return {
    sectorCount,
    grainBytes: grainSectors * SECTOR_BYTES,
    tableCount: COWD_GT_ENTRIES,
    ...place,
    compressed: false,
    zeroedGrains: false,
    overheadBytes: place.directoryAt + place.directoryCount * 4,
    descriptor: undefined,
  };
}

function directory(
  file: ImageFile,
  gdSector: number,
  sectorCount: number,
  sectorsPerTable: number,
): Pick<SparseExtentHeader, 'directoryAt' | 'directoryCount'> {
  const directoryCount = Math.ceil(sectorCount / sectorsPerTable);
  needBetween(file, 'grain directory entries', directoryCount, 0, DIRECTORY_ENTRIES_LIMIT);
  const directoryAt = sectors(file, 'header field gdOffset', gdSector);
  if (directoryCount > 0) {
    needBetween(file, 'header field gdOffset', gdSector, 1, Number.MAX_SAFE_INTEGER);
    needInside(file, 'grain directory', directoryAt, directoryCount * 4);
  }
  return { directoryAt, directoryCount };
}

function descriptorPlace(file: ImageFile, view: DataView): SparseExtentHeader['descriptor'] {
  const at = sectors(file, 'header field descriptorOffset', SparseHeader.descriptorOffset(view));
  const length = sectors(file, 'header field descriptorSize', SparseHeader.descriptorSize(view));
  if (at === 0 || length === 0) return undefined;
  needBetween(file, 'header field descriptorSize in bytes', length, SECTOR_BYTES, 2 ** 20);
  needInside(file, 'embedded descriptor', at, length);
  return { at, length };
}

function sectors(file: ImageFile, structure: string, count: number): number {
  needBetween(file, structure, count, 0, Math.floor(Number.MAX_SAFE_INTEGER / SECTOR_BYTES));
  return count * SECTOR_BYTES;
}

async function readSector(file: ImageFile, structure: string, at: number): Promise<DataView> {
  needInside(file, structure, at, SECTOR_BYTES);
  return layout.viewOf(await readBytes(file.source, at, SECTOR_BYTES));
}
