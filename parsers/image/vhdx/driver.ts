import { corrupt } from '../checks.ts';
import type { ChainAccess, ImageDriver, ImageFile, Layer } from '../image.ts';
import { MappedSource } from '../mapped-source.ts';
import { TableReader } from '../tables.ts';
import { windowsReferences } from '../windows-path.ts';
import { readHeader } from './header.ts';
import { FILE_SIGNATURE } from './layout.ts';
import { replayLog } from './log.ts';
import { VhdxMap } from './map.ts';
import { readMetadata, type VhdxMetadata } from './metadata.ts';
import { readRegions } from './regions.ts';

/** VHDX: fixed, dynamic and differencing disks, with the log replayed in memory. */
export const vhdxDriver: ImageDriver = {
  format: 'vhdx',
  probe: ({ head }) =>
    Buffer.from(head).toString('latin1', 0, FILE_SIGNATURE.length) === FILE_SIGNATURE,
  async open(onDisk, chain) {
    const header = await readHeader(onDisk);
    const file = header.log === undefined ? onDisk : await replayLog(onDisk, header.log);
    const regions = await readRegions(file);
    const metadata = await readMetadata(file, regions.metadata);
    const tables = new TableReader(file, chain.tableBudgetBytes);
    const map = new VhdxMap(file, regions.bat, metadata, tables);
    await map.checkTables();
    const parent = await openParent(file, metadata, chain);
    return {
      source: new MappedSource({
        size: metadata.size,
        sectorSize: metadata.sectorSize,
        map,
        parent: parent?.source,
      }),
      format: 'vhdx',
      details: {
        subformat: parent !== undefined ? 'differencing' : metadata.fixed ? 'fixed' : 'dynamic',
        virtualSize: metadata.size,
        sectorSize: metadata.sectorSize,
        blockSize: metadata.blockBytes,
        logReplayed: header.log !== undefined,
        dataWriteGuid: header.dataWriteGuid,
      },
      identities: [header.dataWriteGuid],
    };
  },
};

/** Keys of section 2.6.2.6.3, in the order in which they are tried. */
const PATH_KEYS = ['relative_path', 'absolute_win32_path', 'volume_path'] as const;
const LINKAGE_KEYS = ['parent_linkage', 'parent_linkage2'] as const;

async function openParent(
  file: ImageFile,
  { parentLocator, sectorSize }: VhdxMetadata,
  chain: ChainAccess,
): Promise<Layer | undefined> {
  if (parentLocator === undefined) return undefined;
  const valuesOf = (keys: readonly string[]): string[] =>
    keys.map((key) => parentLocator.get(key) ?? '').filter((value) => value !== '');
  const [reference, ...alternatives] = windowsReferences(valuesOf(PATH_KEYS));
  const linkages = valuesOf(LINKAGE_KEYS).map((guid) => guid.replace(/[{}]/gu, '').toLowerCase());
  if (reference === undefined || linkages.length === 0) {
    throw corrupt(file, 'the differencing disk does not name its parent', {
      structure: 'parent locator',
      expected: `parent_linkage and one of ${PATH_KEYS.join(', ')}`,
      found: [...parentLocator.keys()].join(', ') || 'nothing',
    });
  }
  const parent = await chain.openParent(file, { reference, alternatives, format: 'vhdx' });
  if (!parent.identities.some((identity) => linkages.includes(identity))) {
    throw corrupt(file, 'the parent file has changed since this disk was made on it', {
      structure: 'parent locator key parent_linkage',
      expected: `a parent of data write GUID ${linkages.join(' or ')}`,
      found: parent.identities.join(', '),
      hint: 'Put back the parent as it was, or open the parent alone.',
    });
  }
  if (parent.source.sectorSize !== sectorSize) {
    throw corrupt(file, 'the disk and its parent differ in sector size', {
      structure: 'metadata item Logical Sector Size',
      expected: parent.source.sectorSize,
      found: sectorSize,
    });
  }
  return parent;
}
