import { layout, readBytes } from '../../../core/index.ts';
import { corrupt, needBetween, needInside, unsupported } from '../checks.ts';
import { type ImageFile, SECTOR_BYTES } from '../image.ts';
import type { Compression } from '../inflate.ts';
import { type Extensions, readExtensions } from './extensions.ts';
import { HEADER_BYTES_V2, HEADER_BYTES_V3, Header, INCOMPATIBLE, MAGIC } from './layout.ts';

/** Above this the L1 table is larger than qemu reads, and no disk needs it. */
const L1_LIMIT_BYTES = 32 * 1024 * 1024;
const BACKING_NAME_LIMIT_BYTES = 1023;
const CLUSTER_BITS_LOW = 9;
const CLUSTER_BITS_HIGH = 21;
const EXTENDED_CLUSTER_BITS_LOW = 14;
const COMPRESSIONS: readonly Compression[] = ['deflate', 'zstd'];

/** A checked header. Sizes and offsets in bytes. */
export interface Qcow2Header {
  readonly version: number;
  readonly size: number;
  readonly clusterBits: number;
  readonly clusterBytes: number;
  readonly l1At: number;
  /** L1 entries that the disk needs; the table may have more. */
  readonly l1Count: number;
  /** Entries of an L2 table, and bytes of one. */
  readonly l2Count: number;
  readonly l2EntryBytes: number;
  readonly extendedL2: boolean;
  readonly compression: Compression;
  readonly dirty: boolean;
  readonly externalData: boolean;
  readonly snapshotCount: number;
  readonly backingFile: string | undefined;
  readonly extensions: Extensions;
}

/** @throws RestoreError `CORRUPT` or `UNSUPPORTED`. */
export async function readHeader(file: ImageFile): Promise<Qcow2Header> {
  const view = await readFixedPart(file);
  const version = Header.version(view);
  const clusterBits = Header.cluster_bits(view);
  needBetween(file, 'header field cluster_bits', clusterBits, CLUSTER_BITS_LOW, CLUSTER_BITS_HIGH);
  const features = version >= 3 ? Header.incompatible_features(view) : 0n;
  const headerBytes = version >= 3 ? headerLength(file, view, 2 ** clusterBits) : HEADER_BYTES_V2;
  const backingAt = Header.backing_file_offset(view);
  const extensions = await readExtensions(
    file,
    headerBytes,
    extensionEnd(file, clusterBits, backingAt),
  );
  checkFeatures(file, features, extensions);
  if (Header.crypt_method(view) !== 0) {
    throw unsupported(file, 'the image is encrypted', {
      structure: 'header field crypt_method',
      offset: 32,
      expected: '0 (none)',
      found: Header.crypt_method(view) === 2 ? '2 (LUKS)' : Header.crypt_method(view),
      hint: 'Decrypt it first with qemu-img convert --object secret,...',
    });
  }
  const extendedL2 = (features & INCOMPATIBLE.extendedL2) !== 0n;
  if (extendedL2 && clusterBits < EXTENDED_CLUSTER_BITS_LOW) {
    needBetween(
      file,
      'header field cluster_bits',
      clusterBits,
      EXTENDED_CLUSTER_BITS_LOW,
      CLUSTER_BITS_HIGH,
    );
  }
  return {
    version,
    clusterBits,
    clusterBytes: 2 ** clusterBits,
    ...geometry(file, view, clusterBits, extendedL2),
    extendedL2,
    compression: compressionOf(file, view, features, headerBytes),
    dirty: (features & INCOMPATIBLE.dirty) !== 0n,
    externalData: (features & INCOMPATIBLE.externalDataFile) !== 0n,
    snapshotCount: Header.nb_snapshots(view),
    backingFile: await readBackingName(file, view, backingAt),
    extensions,
  };
}

async function readFixedPart(file: ImageFile): Promise<DataView> {
  needInside(file, 'qcow2 header', 0, HEADER_BYTES_V2);
  const available = Math.min(HEADER_BYTES_V3 + 8, file.source.size);
  const view = layout.viewOf(await readBytes(file.source, 0, available));
  if (Header.magic(view) !== MAGIC) {
    throw corrupt(file, 'the file is not a qcow2 image', {
      structure: 'qcow2 header',
      offset: 0,
      expected: 'the magic QFI\\xfb',
      found: `0x${Header.magic(view).toString(16)}`,
      hint: 'Leave the format out to have it found by content.',
    });
  }
  const version = Header.version(view);
  if (version !== 2 && version !== 3) {
    throw unsupported(file, 'this qcow2 version is not read', {
      structure: 'header field version',
      offset: 4,
      expected: '2 or 3',
      found: version,
    });
  }
  if (version === 3) needInside(file, 'qcow2 header', 0, HEADER_BYTES_V3);
  return view;
}

function headerLength(file: ImageFile, view: DataView, clusterBytes: number): number {
  const length = Header.header_length(view);
  needBetween(file, 'header field header_length', length, HEADER_BYTES_V3, clusterBytes);
  needBetween(file, 'header field header_length modulo 8', length % 8, 0, 0);
  needBetween(file, 'header field refcount_order', Header.refcount_order(view), 0, 6);
  return length;
}

/** Extensions end where the backing file's name starts, else with the first cluster. */
function extensionEnd(file: ImageFile, clusterBits: number, backingAt: number): number {
  const clusterBytes = 2 ** clusterBits;
  const end = backingAt > 0 ? Math.min(backingAt, clusterBytes) : clusterBytes;
  return Math.min(end, file.source.size);
}

function checkFeatures(file: ImageFile, features: bigint, { featureNames }: Extensions): void {
  if ((features & INCOMPATIBLE.corrupt) !== 0n) {
    throw corrupt(file, 'the image is marked as corrupt', {
      structure: 'header field incompatible_features',
      offset: 72,
      expected: 'the corrupt bit clear',
      found: 'set',
      hint: 'Repair a copy with qemu-img check -r all, then check what it holds.',
    });
  }
  const known = Object.values(INCOMPATIBLE).reduce((all, bit) => all | bit, 0n);
  const unknown = features & ~known;
  if (unknown === 0n) return;
  const names: string[] = [];
  for (let bit = 0; bit < 64; bit += 1) {
    if ((unknown >> BigInt(bit)) & 1n)
      names.push(featureNames.get(bit) ?? `unnamed feature, bit ${bit}`);
  }
  throw unsupported(file, 'the image uses features that are not read', {
    structure: 'header field incompatible_features',
    offset: 72,
    found: names.join(', '),
    hint: 'Convert it with the tool that wrote it.',
  });
}

type Geometry = Pick<Qcow2Header, 'size' | 'l1At' | 'l1Count' | 'l2Count' | 'l2EntryBytes'>;

function geometry(
  file: ImageFile,
  view: DataView,
  clusterBits: number,
  extendedL2: boolean,
): Geometry {
  const clusterBytes = 2 ** clusterBits;
  const size = Header.size(view);
  needBetween(file, 'header field size modulo 512', size % SECTOR_BYTES, 0, 0);
  const l2EntryBytes = extendedL2 ? 16 : 8;
  const l2Count = clusterBytes / l2EntryBytes;
  const l1Count = Math.ceil(size / (clusterBytes * l2Count));
  needBetween(file, 'L1 entries that header field size asks for', l1Count, 0, L1_LIMIT_BYTES / 8);
  needBetween(file, 'header field l1_size', Header.l1_size(view), l1Count, 0xffffffff);
  const l1At = Header.l1_table_offset(view);
  if (l1Count > 0) {
    needBetween(file, 'header field l1_table_offset', l1At, clusterBytes, Number.MAX_SAFE_INTEGER);
    needBetween(
      file,
      'header field l1_table_offset modulo cluster size',
      l1At % clusterBytes,
      0,
      0,
    );
    needInside(file, 'L1 table', l1At, l1Count * 8);
  }
  return { size, l1At, l1Count, l2Count, l2EntryBytes };
}

function compressionOf(
  file: ImageFile,
  view: DataView,
  features: bigint,
  headerBytes: number,
): Compression {
  const type = headerBytes > HEADER_BYTES_V3 ? Header.compression_type(view) : 0;
  const flagged = (features & INCOMPATIBLE.compressionType) !== 0n;
  if (flagged !== type > 0) {
    throw corrupt(file, 'the compression type contradicts its feature bit', {
      structure: 'header field compression_type',
      offset: 104,
      expected: flagged ? 'not 0' : 0,
      found: type,
    });
  }
  const compression = COMPRESSIONS[type];
  if (compression !== undefined) return compression;
  throw unsupported(file, 'this compression type is not read', {
    structure: 'header field compression_type',
    offset: 104,
    expected: '0 (deflate) or 1 (zstd)',
    found: type,
  });
}

async function readBackingName(
  file: ImageFile,
  view: DataView,
  at: number,
): Promise<string | undefined> {
  if (at === 0) return undefined;
  const length = Header.backing_file_size(view);
  if (length === 0) return undefined;
  needBetween(file, 'header field backing_file_size', length, 1, BACKING_NAME_LIMIT_BYTES);
  needInside(file, 'backing file name', at, length);
  return new TextDecoder().decode(await readBytes(file.source, at, length));
}
