import { corrupt, unsupported } from '../checks.ts';
import {
  type ChainAccess,
  IMAGE_FORMATS,
  type ImageDriver,
  type ImageFile,
  type ImageFormat,
  type Layer,
  SECTOR_BYTES,
} from '../image.ts';
import { inflate } from '../inflate.ts';
import { MappedSource } from '../mapped-source.ts';
import { TableReader } from '../tables.ts';
import { Unpacker } from '../unpack.ts';
import { type Qcow2Header, readHeader } from './header.ts';
import { Qcow2Map } from './map.ts';

/** qcow2, versions 2 and 3, read side. The refcounts are not needed to read, and not looked at. */
export const qcow2Driver: ImageDriver = {
  format: 'qcow2',
  probe: ({ head }) => {
    const text = Buffer.from(head).toString('latin1', 0, 8);
    return text.startsWith('QFI\xfb') && text !== 'QFI\xfb\0\0\0\x01';
  },
  async open(file, chain) {
    const header = await readHeader(file);
    const tables = new TableReader(file, chain.tableBudgetBytes);
    const data = header.externalData ? await openDataFile(file, header, chain) : file;
    const { size, clusterBytes, compression } = header;
    const unpacker = new Unpacker(file, 2 * chain.tableBudgetBytes, (packed, cluster) =>
      inflate(file, compression, packed, cluster, clusterBytes),
    );
    const map = new Qcow2Map(file, data, header, tables, unpacker);
    await map.checkTables();
    const parent = await openBacking(file, header, chain);
    return {
      source: new MappedSource({
        size,
        sectorSize: SECTOR_BYTES,
        map,
        parent: parent?.source,
      }),
      format: 'qcow2',
      details: detailsOf(header, data),
      identities: [],
    };
  },
};

function detailsOf(header: Qcow2Header, data: ImageFile): Layer['details'] {
  return {
    version: header.version,
    virtualSize: header.size,
    sectorSize: SECTOR_BYTES,
    clusterSize: header.clusterBytes,
    compression: header.compression,
    extendedL2: header.extendedL2,
    dirty: header.dirty,
    internalSnapshots: header.snapshotCount,
    ...(header.backingFile === undefined ? {} : { backingFile: header.backingFile }),
    ...(header.externalData ? { dataFile: data.path } : {}),
  };
}

async function openDataFile(
  file: ImageFile,
  { extensions }: Qcow2Header,
  chain: ChainAccess,
): Promise<ImageFile> {
  const reference = extensions.dataFile;
  if (reference === undefined) {
    throw unsupported(file, 'the image keeps its data in a file that it does not name', {
      structure: 'header extension 0x44415441 (external data file name)',
      expected: 'a file name',
      found: 'none',
    });
  }
  return chain.openNeighbour(file, 'data', [localName(file, reference)]);
}

async function openBacking(
  file: ImageFile,
  { backingFile, extensions }: Qcow2Header,
  chain: ChainAccess,
): Promise<Layer | undefined> {
  if (backingFile === undefined) return undefined;
  const format = formatOf(file, extensions.backingFormat);
  return chain.openParent(file, { reference: localName(file, backingFile), format });
}

/** qemu's format names, where they differ from ours. */
const QEMU_NAMES: Readonly<Record<string, ImageFormat>> = {
  vpc: 'vhd',
  file: 'raw',
  host_device: 'raw',
};

function formatOf(file: ImageFile, name: string | undefined): ImageFormat | undefined {
  if (name === undefined || name === '') return undefined;
  const format = QEMU_NAMES[name] ?? IMAGE_FORMATS.find((known) => known === name);
  if (format !== undefined) return format;
  throw unsupported(file, 'the backing file is of a format that is not read', {
    structure: 'header extension 0xe2792aca (backing format)',
    expected: IMAGE_FORMATS.join(', '),
    found: name,
  });
}

/** qemu's names may be URLs or whole configurations; only local files are followed. */
function localName(file: ImageFile, reference: string): string {
  const name = reference.startsWith('file:') ? reference.slice('file:'.length) : reference;
  if (name === '' || name.includes('\0')) {
    throw corrupt(file, 'the name of another file is damaged', {
      structure: 'file reference',
      expected: 'a file name',
      found: JSON.stringify(reference),
    });
  }
  if (!/^[a-z][\w+.-]*:/iu.test(name)) return name;
  throw unsupported(file, 'the image stands on something other than a local file', {
    structure: 'file reference',
    expected: 'a file name',
    found: reference.slice(0, 100),
    hint: 'Flatten the image first: qemu-img convert -O qcow2 IN OUT.',
  });
}
