import {
  type BlockSource,
  borrowed,
  type ErrorPlace,
  type Finding,
  RestoreError,
  slice,
  type SparseSource,
  throwIfAborted,
} from '../../core/index.ts';
import type { Partition, PartitionTable } from '../partition/partition.ts';
import { readPartitionTable } from '../partition/table.ts';
import { contentOf, type FoundContent, notLookedAt } from './content.ts';
import { type FoundPhysicalVolume, isLocal } from './lvm/copies.ts';
import { readLvmLabel } from './lvm/label.ts';
import { logicalVolumes } from './logical-volumes.ts';
import type { DiskVolumes, MachineDisk, MachineVolumes, Volume } from './model.ts';

export interface FindVolumesOptions {
  readonly signal?: AbortSignal;
}

/** Partitions of one disk whose content is looked at; the others are listed all the same. */
const LOOKED_AT_MAX = 256;

/** A boot record whose partitions lie elsewhere than the disk says is rather code of a boot sector. */
const BOOT_SECTOR_TYPES: ReadonlySet<string> = new Set([
  'NTFS',
  'exFAT',
  'FAT12',
  'FAT16',
  'FAT32',
  'ReFS',
  'BitLocker',
]);

/**
 * What the disks of one machine, at one time, hold: partitions, and volume groups across all of them.
 * Reads some KiB a volume. Damage is told in findings; the sources stay open and the caller's.
 *
 * @throws RestoreError `IO` when a disk cannot be read, `CANCELLED`.
 */
export async function findVolumes(
  disks: readonly MachineDisk[],
  options: FindVolumesOptions = {},
): Promise<MachineVolumes> {
  const found: DiskVolumes[] = [];
  for (const disk of disks) {
    throwIfAborted(options.signal);
    found.push(await volumesOfDisk(disk));
  }
  const physical = await physicalVolumes(found);
  const { groups, damage } = await logicalVolumes(
    physical.found,
    new Set(disks.map(({ id }) => id)),
  );
  const told = [physical.damage, damage];
  const complete = found.map((disk) => ({
    ...disk,
    volumes: disk.volumes.map((volume) => withFindings(volume, told)),
  }));
  const volumes = [...complete, ...groups].flatMap((part) => part.volumes);
  return { disks: complete, groups, volumes };
}

async function volumesOfDisk({ id, source }: MachineDisk): Promise<DiskVolumes> {
  const { size, sectorSize } = source;
  const base = { id, size, sectorSize };
  const findings: Finding[] = [];
  const table = await tableOf(source, findings);
  const bare = await contentOf(source, { mayHoldTable: false });
  const isKnown = !['empty', 'unknown', 'unreadable'].includes(bare.content.kind);
  if (table === undefined || (isKnown && isDoubtful(table, bare.content.type))) {
    const whole: Volume = {
      ...{ id: `${id}/p1`, kind: 'whole disk', disks: [id], number: 1, name: '', uuid: '' },
      ...{ offset: 0, length: size, ...bare, open: () => borrowed(source) },
    };
    if (!isKnown && bare.content.kind !== 'unreadable') {
      findings.push({ message: 'the disk has no partition table, and nothing known begins on it' });
    }
    findings.push(...(table?.findings ?? []));
    return { ...base, table: 'none', tableId: '', volumes: [whole], findings };
  }
  if (isKnown) {
    findings.push({
      message: `the disk has a partition table and bears marks of ${bare.content.type} too`,
    });
  }
  if (table.partitions.length === 0 && table.findings.length === 0) {
    findings.push({ message: 'the partition table holds no partitions' });
  }
  const volumes: Volume[] = [];
  for (const [index, partition] of table.partitions.entries()) {
    const isLookedAt = index < LOOKED_AT_MAX;
    volumes.push(await partitionVolume({ id, source }, table, partition, isLookedAt));
  }
  return {
    ...base,
    table: table.kind,
    tableId: table.id,
    volumes,
    findings: [...findings, ...table.findings],
  };
}

async function tableOf(
  source: BlockSource,
  findings: Finding[],
): Promise<PartitionTable | undefined> {
  try {
    return await readPartitionTable(source);
  } catch (error) {
    if (!isLocal(error)) throw error;
    findings.push({
      message: `the partition table cannot be read: ${error.message}`,
      where: error.where,
    });
    return undefined;
  }
}

/** Whether what begins at the disk's first sector counts for more than the table. */
function isDoubtful({ partitions, isFaint, kind }: PartitionTable, type: string): boolean {
  if (partitions.length === 0 || isFaint) return true;
  return (
    kind === 'mbr' && BOOT_SECTOR_TYPES.has(type) && partitions.some(({ isInside }) => !isInside)
  );
}

async function partitionVolume(
  { id: diskId, source }: MachineDisk,
  table: PartitionTable,
  partition: Partition,
  isLookedAt: boolean,
): Promise<Volume> {
  const { number, name, uuid, type, offset, length, isInside } = partition;
  const id = `${diskId}/p${number}`;
  const place = { offset, expected: `at most ${source.size}`, found: offset + length };
  const open = (): SparseSource => {
    if (isInside) return slice(borrowed(source, table.sectorSize), offset, length);
    throw new RestoreError('CORRUPT', 'the partition reaches beyond the end of the disk', {
      where: { object: id, ...place },
      hint: 'The disk was cut off, or its partition table is damaged. Export the disk to look at what is there.',
    });
  };
  const look = (): Promise<FoundContent> =>
    contentOf(open(), { partitionType: type.id, mayHoldTable: true });
  const found = !isInside ? cutOff(place) : isLookedAt ? await look() : notLookedAt();
  return {
    ...{ id, kind: 'partition', disks: [diskId], number, name, uuid, partitionType: type },
    ...{ offset, length, ...found, open },
  };
}

function cutOff(where: ErrorPlace): FoundContent {
  return {
    content: { kind: 'unreadable', type: '', label: '', uuid: '', isReadable: false },
    findings: [{ message: 'the partition reaches beyond the end of the disk', where }],
  };
}

type Damage = ReadonlyMap<string, readonly Finding[]>;

async function physicalVolumes(
  disks: readonly DiskVolumes[],
): Promise<{ found: FoundPhysicalVolume[]; damage: Damage }> {
  const found: FoundPhysicalVolume[] = [];
  const damage = new Map<string, Finding[]>();
  for (const volume of disks.flatMap(({ volumes }) => volumes)) {
    if (volume.content.kind !== 'physical volume') continue;
    try {
      const source = volume.open();
      const label = await readLvmLabel(source);
      const [disk = ''] = volume.disks;
      if (label !== undefined) found.push({ volume: volume.id, disk, source, label });
    } catch (error) {
      if (!isLocal(error)) throw error;
      damage.set(volume.id, [{ message: error.message, where: error.where }]);
    }
  }
  return { found, damage };
}

function withFindings(volume: Volume, damage: readonly Damage[]): Volume {
  const more = damage.flatMap((byVolume) => byVolume.get(volume.id) ?? []);
  return more.length === 0 ? volume : { ...volume, findings: [...volume.findings, ...more] };
}
