import {
  HealthLog,
  isRestoreError,
  layout,
  readBytes,
  type RestoreError,
  type SparseSource,
} from '../../../core/index.ts';
import type { Volume } from '../driver.ts';
import type { Attribute } from './attribute.ts';
import {
  ATTRIBUTE_LIST_BYTES_MAX,
  type ListedAttribute,
  parseAttributeList,
} from './attribute-list.ts';
import type { Geometry } from './boot-sector.ts';
import { corrupt } from './damage.ts';
import { FileRecord } from './file-record.ts';
import { RECORD_NUMBER, TYPE } from './layout.ts';
import { Mft, soundFault } from './mft.ts';
import { type LostPart, openStream, type Stream } from './stream.ts';

/** How many of the first records `$MFTMirr` has, whatever the sizes are. */
const MIRRORED_RECORDS = 4;

/**
 * Opens the MFT, which is a file whose map is in its own first record. A long map goes on in other
 * records, which its beginning must make readable; so they are read in the order of the file.
 *
 * @throws RestoreError `CORRUPT` when neither the first record nor its copy can be read.
 */
export async function openMft(volume: Volume, geometry: Geometry): Promise<Mft> {
  const { health } = volume;
  const first = await readFirstRecord(volume, geometry);
  const source = await openTable(volume, geometry, first);
  // What it finds wrong is told together with what is read instead.
  const plain = new Mft(source, geometry.recordBytes, new HealthLog(), new Map([[0, first]]));
  const replaced = await mirroredRecords(volume, geometry, plain);
  return new Mft(source, geometry.recordBytes, health, new Map([...replaced, [0, first]]));
}

/** A sound record of its own, read from `at` on the volume; what is wrong with it otherwise. */
export async function readRecordAt(
  volume: Volume,
  geometry: Geometry,
  number: number,
  at: number,
): Promise<FileRecord> {
  const where = { structure: `file record ${number}`, offset: at };
  if (at + geometry.recordBytes > volume.metadata.size) {
    throw corrupt('a file record lies outside the volume', {
      ...where,
      expected: `an end by ${volume.metadata.size}`,
    });
  }
  const view = layout.viewOf(await readBytes(volume.metadata, at, geometry.recordBytes));
  const fault = soundFault(view);
  if (fault === undefined) return new FileRecord(number, view);
  throw corrupt('a file record is damaged', { ...where, found: fault });
}

async function readFirstRecord(volume: Volume, geometry: Geometry): Promise<FileRecord> {
  try {
    return expectMap(await readRecordAt(volume, geometry, RECORD_NUMBER.MFT, geometry.mftAt));
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    const copy = await readRecordAt(volume, geometry, RECORD_NUMBER.MFT, geometry.mirrorAt);
    const record = expectMap(copy);
    noteMirror(volume.health, error);
    return record;
  }
}

function noteMirror(health: HealthLog, error: RestoreError): void {
  const message = `${error.message}; its copy in $MFTMirr is read instead`;
  health.note('partly damaged', { message, where: error.where });
}

/** @throws RestoreError `CORRUPT` when the record holds no map of a file's beginning. */
function expectMap(record: FileRecord): FileRecord {
  const [head] = dataOf(record.attributes());
  if (record.isInUse && head !== undefined && !head.isResident && head.lowestCluster === 0) {
    return record;
  }
  throw corrupt('the first file record is not that of the MFT', {
    structure: 'file record 0',
    expected: 'the map of $MFT',
    found: 'another',
  });
}

async function openTable(
  volume: Volume,
  geometry: Geometry,
  first: FileRecord,
): Promise<SparseSource> {
  const attributes = first.attributes();
  const parts = dataOf(attributes).slice(0, 1);
  const lost: LostPart[] = [];
  const open = (extra: readonly LostPart[]): SparseSource => {
    const stream: Stream = { parts, lost: [...lost, ...extra] };
    return openStream(volume.data, geometry, stream);
  };
  let known: SparseSource | undefined;
  for (const entry of await furtherParts(volume, geometry, attributes)) {
    volume.budget.checkTime();
    known ??= open([notYet(endOf(parts, geometry))]);
    const part = await readPart(known, geometry, entry);
    if (isRestoreError(part)) {
      volume.health.damage(part);
      lost.push({ lowestCluster: entry.lowestCluster, error: part });
    } else {
      parts.push(part);
      known = undefined;
    }
  }
  return open([]);
}

/** What the attribute list says of the map behind its first part, in the order of the file. */
async function furtherParts(
  volume: Volume,
  geometry: Geometry,
  attributes: readonly Attribute[],
): Promise<ListedAttribute[]> {
  const attribute = attributes.find(({ type }) => type === TYPE.ATTRIBUTE_LIST);
  if (attribute === undefined) return [];
  const content = openStream(volume.metadata, geometry, { parts: [attribute], lost: [] });
  if (content.size > ATTRIBUTE_LIST_BYTES_MAX) {
    throw attribute.damaged(`at most ${ATTRIBUTE_LIST_BYTES_MAX} bytes`, content.size);
  }
  return parseAttributeList(await readBytes(content, 0, content.size))
    .filter(({ type, lowestCluster }) => type === TYPE.DATA && lowestCluster > 0)
    .toSorted((one, other) => one.lowestCluster - other.lowestCluster);
}

async function readPart(
  known: SparseSource,
  geometry: Geometry,
  { recordNumber, sequence, lowestCluster, instance }: ListedAttribute,
): Promise<Attribute | RestoreError> {
  try {
    const at = recordNumber * geometry.recordBytes;
    const where = { structure: `file record ${recordNumber}`, offset: at };
    if (at + geometry.recordBytes > known.size) throw corrupt('a part of $MFT is missing', where);
    const view = layout.viewOf(await readBytes(known, at, geometry.recordBytes));
    const fault = soundFault(view);
    if (fault !== undefined) {
      throw corrupt('a file record is damaged', { ...where, found: fault });
    }
    const record = new FileRecord(recordNumber, view);
    const part = dataOf(record.attributes()).find(
      (one) => one.instance === instance && one.lowestCluster === lowestCluster,
    );
    const isOurs = record.isInUse && record.sequence === sequence && record.base?.number === 0;
    if (part !== undefined && isOurs) return part;
    throw corrupt('a part of $MFT is not where its attribute list has it', where);
  } catch (error) {
    if (isRestoreError(error, 'CORRUPT')) return error;
    throw error;
  }
}

function endOf(parts: readonly Attribute[], { clusterCount }: Geometry): number {
  const last = parts.at(-1)?.runs(clusterCount).at(-1);
  return last === undefined ? 0 : last.first + last.count;
}

function notYet(lowestCluster: number): LostPart {
  const error = corrupt('a part of $MFT is needed to find itself', {
    structure: '$ATTRIBUTE_LIST of file record 0',
    found: `cluster ${lowestCluster} onwards`,
  });
  return { lowestCluster, error };
}

const dataOf = (attributes: readonly Attribute[]): Attribute[] =>
  attributes.filter(({ type, isNamed }) => type === TYPE.DATA && !isNamed);

/** Those of the first records that cannot be read in the MFT, from `$MFTMirr`. */
async function mirroredRecords(
  volume: Volume,
  geometry: Geometry,
  mft: Mft,
): Promise<Map<number, FileRecord>> {
  const replaced = new Map<number, FileRecord>();
  for (let number = 1; number < MIRRORED_RECORDS; number += 1) {
    try {
      await mft.read(number);
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      try {
        const at = geometry.mirrorAt + number * geometry.recordBytes;
        replaced.set(number, await readRecordAt(volume, geometry, number, at));
        noteMirror(volume.health, error);
      } catch (again) {
        if (!isRestoreError(again, 'CORRUPT')) throw again;
        volume.health.damage(error);
      }
    }
  }
  return replaced;
}
