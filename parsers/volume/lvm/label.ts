import {
  type BlockSource,
  type Extent,
  layout,
  readBytes,
  RestoreError,
} from '../../../core/index.ts';
import { lvmChecksum } from './checksum.ts';

const SECTOR = 512;
/** The label stands in one of the first four sectors. */
const LABEL_SECTORS = 4;
const ID_BYTES = 32;
const AREAS_MAX = 16;
const CRC_FROM = 20;

/** lib/label/label.h of LVM2, `label_header`. */
const Label = {
  id: layout.text(0, 8, 'latin1'),
  sector: layout.bits64le(8),
  checksum: layout.u32le(16),
  contentAt: layout.u32le(20),
  type: layout.text(24, 8, 'latin1'),
} as const;

/** lib/format_text/layout.h, `pv_header`: then the data areas and the metadata areas, each list ended by an empty one. */
const Header = { uuid: layout.text(0, ID_BYTES, 'latin1'), deviceBytes: layout.u64le(32) } as const;
const HEADER_BYTES = 40;
const Area = { offset: layout.u64le(0), length: layout.u64le(8) } as const;
const AREA_BYTES = 16;

export interface PhysicalVolumeLabel {
  /** Dashed, as LVM prints it. */
  readonly uuid: string;
  readonly deviceBytes: number;
  /** Relative to the physical volume's start. */
  readonly metadataAreas: readonly Extent[];
}

/**
 * The label of an LVM2 physical volume.
 *
 * @returns `undefined` where there is none.
 * @throws RestoreError `CORRUPT` when every label that is there is damaged.
 */
export async function readLvmLabel(volume: BlockSource): Promise<PhysicalVolumeLabel | undefined> {
  const head = await readBytes(volume, 0, Math.min(LABEL_SECTORS * SECTOR, volume.size));
  let damage: RestoreError | undefined;
  for (let at = 0; at + SECTOR <= head.byteLength; at += SECTOR) {
    const view = layout.viewOf(head.subarray(at, at + SECTOR));
    if (Label.id(view) !== 'LABELONE' || Label.type(view) !== 'LVM2 001') continue;
    try {
      return parseLabel(view, at);
    } catch (error) {
      if (!(error instanceof RestoreError)) throw error;
      damage ??= error;
    }
  }
  if (damage !== undefined) throw damage;
  return undefined;
}

/** 6-4-4-4-4-4-6, as LVM prints its identifiers. */
export function dashedId(id: string): string {
  return id.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, '$1-$2-$3-$4-$5-$6-$7');
}

function parseLabel(view: DataView, offset: number): PhysicalVolumeLabel {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const found = lvmChecksum(bytes.subarray(CRC_FROM));
  const expected = Label.checksum(view);
  if (found !== expected) throw damaged(offset, `checksum ${expected}`, `${found}`);
  if (Label.sector(view) !== BigInt(offset / SECTOR)) {
    throw damaged(offset, `sector ${offset / SECTOR}`, `sector ${Label.sector(view)}`);
  }
  const at = Label.contentAt(view);
  const uuid = dashedId(Header.uuid(view, at));
  const deviceBytes = Header.deviceBytes(view, at);
  return { uuid, deviceBytes, metadataAreas: metadataAreas(view, at + HEADER_BYTES, offset) };
}

function metadataAreas(view: DataView, from: number, labelAt: number): Extent[] {
  const areas: Extent[] = [];
  let lists = 0;
  for (let index = 0; index < AREAS_MAX; index += 1) {
    const at = from + index * AREA_BYTES;
    const offset = Area.offset(view, at);
    if (offset === 0) lists += 1;
    else if (lists === 1 && areas.every((area) => area.offset !== offset)) {
      areas.push({ offset, length: Area.length(view, at) });
    }
    if (lists === 2) return areas;
  }
  throw damaged(labelAt, `at most ${AREAS_MAX} areas`, 'lists without an end');
}

function damaged(offset: number, expected: string, found: string): RestoreError {
  return new RestoreError('CORRUPT', 'the label of a physical volume is damaged', {
    where: { structure: 'LVM2 label', offset, expected, found },
  });
}
