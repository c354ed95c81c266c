import {
  type BlockSource,
  borrowed,
  concat,
  RestoreError,
  type SectorSize,
  slice,
  type SparseSource,
  striped,
  zeroSource,
} from '../../../core/index.ts';
import type { FoundPhysicalVolume, GroupState } from './copies.ts';
import type { GroupText, LogicalVolumeText, PhysicalVolumeText, SegmentText } from './group.ts';

/** A group with what was found of its physical volumes, by their names inside the group. */
export interface AssembledGroup {
  readonly state: GroupState;
  readonly physicalVolumes: ReadonlyMap<string, AssembledVolume>;
  /** What volumes are beside their segments, by name: `snapshot`. */
  readonly roles: ReadonlyMap<string, string>;
  /** Names of all logical volumes. */
  readonly names: ReadonlySet<string>;
  readonly sectorSize: SectorSize;
}

export interface AssembledVolume {
  readonly text: PhysicalVolumeText;
  /** None when it is missing; several when the same identifier stands on several disks. */
  readonly found: readonly FoundPhysicalVolume[];
}

/** Segment types that are read: a mapping of extents and nothing more, or zeros. */
const READ_TYPES: ReadonlySet<string> = new Set(['striped', 'linear', 'zero']);

/**
 * A logical volume's bytes, from the disks that carry its extents. Closing it leaves them open.
 *
 * @throws RestoreError `UNSUPPORTED` for other kinds than linear and striped ones, `CORRUPT` when a
 *   physical volume is missing, cannot be told apart from another, or ends too early.
 */
export function openLogicalVolume(
  assembled: AssembledGroup,
  volume: LogicalVolumeText,
): SparseSource {
  const { group, isAmbiguous } = assembled.state;
  if (isAmbiguous) throw refused(group, volume, 'the disks describe the group in different ways');
  const kind = kindOf(assembled, volume);
  if (kind !== undefined) throw unsupported(group, volume, kind);
  const parts = volume.segments.map((segment) => segmentSource(assembled, volume, segment));
  if (parts.length === 0) throw refused(group, volume, 'it has no segments');
  return concat(parts);
}

/** Ids of the disks on which a logical volume lies, as far as they are there. */
export function disksOf({ physicalVolumes }: AssembledGroup, volume: LogicalVolumeText): string[] {
  const names = volume.segments.flatMap(({ stripes }) => stripes.map(({ volume: name }) => name));
  const found = [...new Set(names)].flatMap((name) => physicalVolumes.get(name)?.found ?? []);
  return [...new Set(found.map(({ disk }) => disk))];
}

/** Bytes of a logical volume, as its metadata has it. */
export function sizeOf({ extentBytes }: GroupText, { segments }: LogicalVolumeText): number {
  return segments.reduce((sum, { extentCount }) => sum + extentCount, 0) * extentBytes;
}

/** What a logical volume is when it is more than a mapping of extents: `thin`, `raid1`, `snapshot`, … */
export function kindOf({ roles }: AssembledGroup, volume: LogicalVolumeText): string | undefined {
  const role = roles.get(volume.name);
  if (role !== undefined) return role;
  const isOther = ({ type }: SegmentText): boolean => !READ_TYPES.has(plain(type));
  const other = volume.segments.find(isOther);
  return other === undefined ? undefined : plain(other.type);
}

/** What volumes are to each other in snapshots, by name: told by the segment of a hidden volume. */
export function rolesOf({ logicalVolumes }: GroupText): ReadonlyMap<string, string> {
  const roles = new Map<string, string>();
  for (const { type, references } of logicalVolumes.flatMap(({ segments }) => segments)) {
    if (type !== 'snapshot') continue;
    const store = references.get('cow_store');
    const merging = references.get('merging_store');
    const origin = references.get('origin');
    if (store !== undefined) roles.set(store, 'snapshot');
    if (merging !== undefined) roles.set(merging, 'snapshot');
    if (merging !== undefined && origin !== undefined) roles.set(origin, 'snapshot being merged');
  }
  return roles;
}

/** Groups may mix disks of both sizes: the larger serves both. */
export function sectorSizeOf(volumes: Iterable<AssembledVolume>): SectorSize {
  const found = [...volumes].flatMap((volume) => volume.found);
  return found.some(({ source }) => source.sectorSize === 4096) ? 4096 : 512;
}

function segmentSource(
  assembled: AssembledGroup,
  volume: LogicalVolumeText,
  segment: SegmentText,
): BlockSource {
  const { state, sectorSize } = assembled;
  const { group } = state;
  const size = segment.extentCount * group.extentBytes;
  if (plain(segment.type) === 'zero') return zeroSource(size, sectorSize);
  const { stripes, stripeBytes } = segment;
  const share = size / stripes.length;
  const isEven = stripes.length > 0 && share % group.extentBytes === 0;
  const isStriped = stripes.length > 1;
  if (!isEven || (isStriped && (stripeBytes === 0 || share % stripeBytes !== 0))) {
    throw refused(
      group,
      volume,
      `a segment of ${segment.extentCount} extents does not fit its stripes`,
    );
  }
  const members = stripes.map(({ volume: name, extent }) =>
    stripeSource(assembled, volume, { name, extent, length: share }),
  );
  return isStriped ? striped(members, stripeBytes) : (members[0] as BlockSource);
}

interface Stripe {
  readonly name: string;
  readonly extent: number;
  readonly length: number;
}

function stripeSource(
  { state: { group }, physicalVolumes, names, sectorSize }: AssembledGroup,
  volume: LogicalVolumeText,
  { name, extent, length }: Stripe,
): BlockSource {
  const physical = physicalVolumes.get(name);
  if (physical === undefined) {
    if (names.has(name)) throw unsupported(group, volume, `stacked on ${name}`);
    throw refused(group, volume, `it lies on ${name}, which the group does not name`);
  }
  const { text, found } = physical;
  const [first, second] = found;
  if (first === undefined) {
    throw refused(
      group,
      volume,
      `physical volume ${text.uuid} (${name}) is on no disk of this machine`,
    );
  }
  if (second !== undefined) {
    const places = found.map(({ volume: place }) => place).join(' and ');
    throw refused(group, volume, `physical volume ${text.uuid} (${name}) is on ${places} alike`);
  }
  const start = text.dataOffset + extent * group.extentBytes;
  const end = start + length;
  if (extent * group.extentBytes + length > text.extentCount * group.extentBytes) {
    throw refused(group, volume, `it reaches beyond the ${text.extentCount} extents of ${name}`);
  }
  if (!Number.isSafeInteger(end) || end > first.source.size) {
    throw refused(group, volume, `it reaches beyond the end of ${first.volume}, which was cut off`);
  }
  return slice(borrowed(first.source, sectorSize), start, length);
}

/** Types carry flags behind a plus sign: `cache+METADATA_FORMAT`. */
function plain(type: string): string {
  return type.replace(/\+.*$/s, '');
}

function refused(group: GroupText, volume: LogicalVolumeText, why: string): RestoreError {
  return new RestoreError('CORRUPT', `the logical volume is incomplete: ${why}`, {
    where: { object: `${group.name}/${volume.name}` },
    hint: 'Restore points hold the disks that were backed up: look whether one was left out.',
  });
}

function unsupported(group: GroupText, volume: LogicalVolumeText, kind: string): RestoreError {
  return new RestoreError('UNSUPPORTED', `logical volumes of this kind are not read: ${kind}`, {
    where: { object: `${group.name}/${volume.name}` },
    hint: 'Export the disks over iSCSI and let a Linux machine activate the volume group.',
  });
}
