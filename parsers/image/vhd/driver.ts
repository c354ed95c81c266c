import { slice } from '../../../core/index.ts';
import { needInside } from '../checks.ts';
import {
  type ChainAccess,
  type ImageDriver,
  type ImageFile,
  type Layer,
  SECTOR_BYTES,
} from '../image.ts';
import { MappedSource } from '../mapped-source.ts';
import { TableReader } from '../tables.ts';
import { hasCookie, readFooter, readHeader, type VhdFooter } from './footer.ts';
import { FOOTER_COOKIE } from './layout.ts';
import { VhdMap } from './map.ts';
import { openParent } from './parent.ts';

/** VHD: fixed, dynamic and differencing disks. */
export const vhdDriver: ImageDriver = {
  format: 'vhd',
  probe: ({ head, tail }) => hasCookie(head, FOOTER_COOKIE) || hasCookie(tail, FOOTER_COOKIE),
  async open(file, chain) {
    const footer = await readFooter(file);
    return footer.type === 'fixed' ? openFixed(file, footer) : openSparse(file, footer, chain);
  },
};

function openFixed(file: ImageFile, footer: VhdFooter): Layer {
  needInside(file, 'data and footer', 0, footer.size + SECTOR_BYTES);
  return {
    source: slice(file.source, 0, footer.size),
    format: 'vhd',
    details: detailsOf(footer),
    identities: [footer.uniqueId],
  };
}

async function openSparse(file: ImageFile, footer: VhdFooter, chain: ChainAccess): Promise<Layer> {
  const header = await readHeader(file, footer);
  const tables = new TableReader(file, chain.tableBudgetBytes);
  const differencing = footer.type === 'differencing';
  const map = new VhdMap(file, header, { size: footer.size, differencing }, tables);
  await map.checkTables();
  const parent = differencing ? await openParent(file, header, chain) : undefined;
  return {
    source: new MappedSource({
      size: footer.size,
      sectorSize: SECTOR_BYTES,
      map,
      parent: parent?.source,
    }),
    format: 'vhd',
    details: { ...detailsOf(footer), blockSize: header.blockBytes },
    identities: [footer.uniqueId],
  };
}

function detailsOf(footer: VhdFooter): Layer['details'] {
  return {
    subformat: footer.type,
    virtualSize: footer.size,
    sizeRule: footer.sizeRule,
    sectorSize: SECTOR_BYTES,
    creator: footer.creator,
    uniqueId: footer.uniqueId,
    footerFrom: footer.from,
  };
}
