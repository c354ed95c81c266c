import { RestoreError } from '../../../core/index.ts';
import { type ConfigSection, type ConfigValue, parseConfig } from './config-text.ts';

/** A volume group as its metadata describes it. Nothing is known yet of the disks that carry it. */
export interface GroupText {
  readonly name: string;
  readonly uuid: string;
  readonly sequence: number;
  readonly extentBytes: number;
  readonly status: readonly string[];
  readonly physicalVolumes: readonly PhysicalVolumeText[];
  readonly logicalVolumes: readonly LogicalVolumeText[];
}

export interface PhysicalVolumeText {
  readonly name: string;
  readonly uuid: string;
  readonly flags: readonly string[];
  /** Where its first extent begins, in bytes. */
  readonly dataOffset: number;
  readonly extentCount: number;
}

export interface LogicalVolumeText {
  readonly name: string;
  readonly uuid: string;
  readonly isVisible: boolean;
  readonly segments: readonly SegmentText[];
}

export interface SegmentText {
  readonly startExtent: number;
  readonly extentCount: number;
  readonly type: string;
  /** In bytes; 0 where there is one stripe only. */
  readonly stripeBytes: number;
  /** Name of a physical (or logical) volume and the extent at which the stripe begins there. */
  readonly stripes: readonly { readonly volume: string; readonly extent: number }[];
  /** Names of logical volumes by the role that they have in this one: `origin`, `cow_store`, … */
  readonly references: ReadonlyMap<string, string>;
}

const SECTOR = 512;
const NAME = /^[A-Za-z0-9_.+-]{1,128}$/;
const GROUP_ID = /^[A-Za-z0-9]{6}(?:-[A-Za-z0-9]{4}){5}-[A-Za-z0-9]{6}$/;
const EXTENTS_MAX = 2 ** 40;
const STRIPES_MAX = 1024;

/**
 * @throws RestoreError `CORRUPT` when the text is not a volume group, or contradicts itself.
 */
export function parseGroup(text: string): GroupText {
  const root = parseConfig(text);
  const [[name, section] = [undefined, undefined]] = [...root.sections];
  if (name === undefined || section === undefined || root.sections.size !== 1) {
    throw wrong('one volume group', `${root.sections.size} sections`);
  }
  checkName(name);
  if (!GROUP_ID.test(textOf(section, 'id'))) throw wrong('an identifier', 'another text');
  const extentSectors = count(section, 'extent_size', 2 ** 32);
  if (extentSectors === 0) throw wrong('extents of some size', '0');
  return {
    ...{ name, uuid: textOf(section, 'id'), sequence: count(section, 'seqno', 2 ** 32) },
    extentBytes: extentSectors * SECTOR,
    status: texts(section, 'status'),
    physicalVolumes: within(section, 'physical_volumes').map(physicalVolume),
    logicalVolumes: within(section, 'logical_volumes').map((entry) =>
      logicalVolume(entry, extentSectors * SECTOR),
    ),
  };
}

function physicalVolume([name, section]: readonly [string, ConfigSection]): PhysicalVolumeText {
  const start = count(section, 'pe_start', Number.MAX_SAFE_INTEGER / SECTOR);
  return {
    ...{ name, uuid: textOf(section, 'id'), flags: texts(section, 'flags') },
    dataOffset: start * SECTOR,
    extentCount: count(section, 'pe_count', EXTENTS_MAX),
  };
}

function logicalVolume(
  [name, section]: readonly [string, ConfigSection],
  extentBytes: number,
): LogicalVolumeText {
  checkName(name);
  const segments: SegmentText[] = [];
  let next = 0;
  const stated = count(section, 'segment_count', 2 ** 32);
  for (let index = 1; index <= stated; index += 1) {
    const segment = section.sections.get(`segment${index}`);
    if (segment === undefined) throw wrong(`segment${index} of ${name}`, 'none');
    const parsed = parseSegment(segment);
    if (parsed.startExtent !== next) {
      throw wrong(`a segment of ${name} at extent ${next}`, `${parsed.startExtent}`);
    }
    next += parsed.extentCount;
    segments.push(parsed);
  }
  if (!Number.isSafeInteger(next * extentBytes))
    throw wrong('a size below 2^53', `${next} extents`);
  const isVisible = texts(section, 'status').includes('VISIBLE');
  return { name, uuid: textOf(section, 'id'), isVisible, segments };
}

function parseSegment(section: ConfigSection): SegmentText {
  const references = new Map<string, string>();
  for (const [key, value] of section.values) {
    if (typeof value === 'string' && key !== 'type') references.set(key, value);
  }
  const extentCount = count(section, 'extent_count', EXTENTS_MAX);
  if (extentCount === 0) throw wrong('a segment of some extents', '0');
  return {
    startExtent: count(section, 'start_extent', EXTENTS_MAX),
    extentCount,
    // Types carry flags behind a plus sign: `striped+COMPRESSED`.
    type: textOf(section, 'type'),
    stripeBytes: section.values.has('stripe_size')
      ? count(section, 'stripe_size', 2 ** 32) * SECTOR
      : 0,
    stripes: stripesOf(section),
    references,
  };
}

function stripesOf(section: ConfigSection): SegmentText['stripes'] {
  const list = section.values.get('stripes');
  if (list === undefined) return [];
  if (typeof list === 'string' || typeof list === 'number' || list.length > 2 * STRIPES_MAX) {
    throw wrong('a list of stripes', 'another value');
  }
  const stripes: { volume: string; extent: number }[] = [];
  for (let at = 0; at < list.length; at += 2) {
    const [volume, extent] = [list[at], list[at + 1]];
    if (typeof volume !== 'string' || !isCount(extent, EXTENTS_MAX)) {
      throw wrong('names and extents in turn', 'other values');
    }
    stripes.push({ volume, extent });
  }
  // With one left out or too many, every byte of the volume would lie elsewhere.
  if (section.values.has('stripe_count') && section.values.get('stripe_count') !== stripes.length) {
    throw wrong(`${stripes.length} stripes`, 'another count');
  }
  return stripes;
}

function within(section: ConfigSection, name: string): [string, ConfigSection][] {
  return [...(section.sections.get(name)?.sections ?? [])];
}

function textOf(section: ConfigSection, key: string): string {
  const value = section.values.get(key);
  if (typeof value === 'string') return value;
  throw wrong(`a text for ${key}`, String(value).slice(0, 40));
}

function texts(section: ConfigSection, key: string): string[] {
  const value = section.values.get(key);
  if (value === undefined) return [];
  const list = Array.isArray(value) ? value : [value];
  return list.filter((item) => typeof item === 'string');
}

function count(section: ConfigSection, key: string, most: number): number {
  const value = section.values.get(key);
  if (isCount(value, most)) return value;
  throw wrong(`a count for ${key}`, String(value).slice(0, 40));
}

function isCount(value: ConfigValue | undefined, most: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= most;
}

function checkName(name: string): void {
  if (!NAME.test(name) || name === '.' || name === '..') throw wrong('a name', name.slice(0, 80));
}

function wrong(expected: string, found: string): RestoreError {
  return new RestoreError('CORRUPT', 'the metadata of a volume group is damaged', {
    where: { structure: 'LVM2 metadata text', expected, found },
  });
}
