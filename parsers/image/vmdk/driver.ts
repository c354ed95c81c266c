import { isAllZero, layout, readBytes } from '../../../core/index.ts';
import { corrupt, needInside, unsupported } from '../checks.ts';
import {
  type ChainAccess,
  type ImageDriver,
  type ImageFile,
  type Layer,
  SECTOR_BYTES,
} from '../image.ts';
import { type ImageMap, MappedSource, type Run } from '../mapped-source.ts';
import { PAGE_BYTES } from '../tables.ts';
import {
  type Descriptor,
  type ExtentLine,
  looksLikeDescriptor,
  parseDescriptor,
} from './descriptor.ts';
import { COWD_MAGIC, SPARSE_MAGIC } from './layout.ts';
import { readSparseHeader, type SparseExtentHeader } from './sparse-header.ts';
import { SparseExtentMap } from './sparse-map.ts';

/** A descriptor is a few hundred bytes of text; thousands of extents make it some hundred KiB. */
const DESCRIPTOR_LIMIT_BYTES = 1024 * 1024;

/** VMDK, read side: descriptor files with their extents, and sparse files that embed one. */
export const vmdkDriver: ImageDriver = {
  format: 'vmdk',
  probe: ({ head }) => {
    const magic = head.byteLength >= 4 ? layout.u32le(0)(layout.viewOf(head)) : 0;
    return magic === SPARSE_MAGIC || magic === COWD_MAGIC || looksLikeDescriptor(head);
  },
  async open(file, chain) {
    const magic = layout.u32le(0)(layout.viewOf(await readStart(file, 4)));
    return magic === SPARSE_MAGIC || magic === COWD_MAGIC
      ? openMonolithic(file, chain)
      : openDescriptorFile(file, chain);
  },
};

/** One extent at its place on the disk. */
interface Extent {
  readonly start: number;
  readonly end: number;
  readonly map: ImageMap;
}

async function openMonolithic(file: ImageFile, chain: ChainAccess): Promise<Layer> {
  const header = await readSparseHeader(file);
  if (header.descriptor === undefined) {
    throw unsupported(file, 'the file is one extent of a disk, not the whole of it', {
      structure: 'header field descriptorOffset',
      offset: 28,
      expected: 'an embedded descriptor',
      found: 'none',
      hint: 'Open the descriptor, the small .vmdk file that names this one.',
    });
  }
  const { at, length } = header.descriptor;
  const descriptor = parseDescriptor(file, await readBytes(file.source, at, length));
  const budgetBytes = chain.tableBudgetBytes;
  const extent = await sparseExtent(
    file,
    header,
    0,
    header.sectorCount * SECTOR_BYTES,
    budgetBytes,
  );
  return layerOf(file, chain, descriptor, [extent], header);
}

async function openDescriptorFile(file: ImageFile, chain: ChainAccess): Promise<Layer> {
  if (file.source.size > DESCRIPTOR_LIMIT_BYTES) {
    throw corrupt(file, 'the file is not a VMDK image', {
      structure: 'descriptor',
      expected: `the magic KDMV, or a text of at most ${DESCRIPTOR_LIMIT_BYTES} bytes`,
      found: `${file.source.size} bytes`,
    });
  }
  const bytes = await readStart(file, file.source.size);
  if (!looksLikeDescriptor(bytes)) {
    throw corrupt(file, 'the file is not a VMDK image', {
      structure: 'descriptor',
      offset: 0,
      expected: 'the magic KDMV, or "# Disk DescriptorFile"',
      found: JSON.stringify(Buffer.from(bytes.subarray(0, 16)).toString('latin1')),
    });
  }
  const descriptor = parseDescriptor(file, bytes);
  const extents: Extent[] = [];
  const shareBytes = Math.floor(chain.tableBudgetBytes / descriptor.extents.length);
  const budgetBytes = Math.max(shareBytes, PAGE_BYTES);
  let start = 0;
  for (const line of descriptor.extents) {
    const end = start + line.sectorCount * SECTOR_BYTES;
    extents.push(await openExtent(file, chain, line, start, end, budgetBytes));
    start = end;
  }
  return layerOf(file, chain, descriptor, extents);
}

async function openExtent(
  file: ImageFile,
  chain: ChainAccess,
  line: ExtentLine,
  start: number,
  end: number,
  budgetBytes: number,
): Promise<Extent> {
  if (line.type === 'ZERO')
    return { start, end, map: { run: (_, length) => ({ kind: 'zero', length }) } };
  const part = await chain.openNeighbour(file, 'extent', [line.reference as string]);
  if (line.type === 'SPARSE' || line.type === 'VMFSSPARSE') {
    const header = await readSparseHeader(part);
    if (header.sectorCount < line.sectorCount) {
      throw corrupt(part, 'the extent is smaller than its descriptor says', {
        structure: 'header field capacity',
        expected: `${line.sectorCount} sectors`,
        found: `${header.sectorCount} sectors`,
      });
    }
    return sparseExtent(part, header, start, end, budgetBytes);
  }
  const flatAt = line.startSector * SECTOR_BYTES;
  needInside(part, 'flat extent', flatAt, end - start);
  const map: ImageMap = {
    run: (offset, length): Run => ({
      kind: 'data',
      file: part.source,
      at: flatAt + offset,
      length,
    }),
  };
  return { start, end, map };
}

async function sparseExtent(
  file: ImageFile,
  header: SparseExtentHeader,
  start: number,
  end: number,
  budgetBytes: number,
): Promise<Extent> {
  const map = new SparseExtentMap(file, header, budgetBytes);
  await map.checkTables();
  return { start, end, map };
}

async function layerOf(
  file: ImageFile,
  chain: ChainAccess,
  descriptor: Descriptor,
  extents: readonly Extent[],
  header?: SparseExtentHeader,
): Promise<Layer> {
  const size = extents.at(-1)?.end;
  if (size === undefined) {
    throw corrupt(file, 'the descriptor names no extents', {
      structure: 'descriptor',
      expected: 'at least one extent line',
      found: 'none',
    });
  }
  const parent = await openParent(file, chain, descriptor);
  return {
    source: new MappedSource({
      size,
      sectorSize: SECTOR_BYTES,
      map: joined(extents),
      parent: parent?.source,
    }),
    format: 'vmdk',
    details: {
      subformat: descriptor.createType,
      virtualSize: size,
      sectorSize: SECTOR_BYTES,
      extents: extents.length,
      contentId: descriptor.cid,
      ...(header === undefined
        ? {}
        : { grainSize: header.grainBytes, compressed: header.compressed }),
    },
    identities: [descriptor.cid],
  };
}

async function openParent(
  file: ImageFile,
  chain: ChainAccess,
  { parentCid, parentReference }: Descriptor,
): Promise<Layer | undefined> {
  if (parentCid === undefined || parentReference === undefined) return undefined;
  const parent = await chain.openParent(file, { reference: parentReference, format: 'vmdk' });
  if (parent.identities.includes(parentCid)) return parent;
  throw corrupt(file, 'the parent file has changed since this one was made on it', {
    structure: 'descriptor line parentCID',
    expected: `a parent of content id ${parentCid}`,
    found: `content id ${parent.identities.join(', ')}`,
    hint: 'Put back the parent as it was, or open the parent alone.',
  });
}

/** The extents end to end. Runs stop at an extent's end. */
function joined(extents: readonly Extent[]): ImageMap {
  return {
    run(offset, limit) {
      let low = 0;
      for (let high = extents.length - 1; low < high; ) {
        const middle = (low + high) >>> 1;
        if ((extents[middle] as Extent).end <= offset) low = middle + 1;
        else high = middle;
      }
      const { start, end, map } = extents[low] as Extent;
      return map.run(offset - start, Math.min(limit, end - offset));
    },
  };
}

async function readStart(file: ImageFile, length: number): Promise<Uint8Array> {
  needInside(file, 'image header', 0, length);
  const bytes = await readBytes(file.source, 0, length);
  if (!isAllZero(bytes)) return bytes;
  throw corrupt(file, 'the file is not a VMDK image', {
    structure: 'image header',
    offset: 0,
    expected: 'a sparse extent header or a descriptor',
    found: 'zeros',
  });
}
