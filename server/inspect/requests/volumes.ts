import {
  asRestoreError,
  type FileSystem,
  type Finding,
  isRestoreError,
  type RestoreError,
  type VolumeHealth,
} from '../../../core/index.ts';
import type { DiskVolumes, Volume, VolumeContent, VolumeGroup } from '../../../parsers/index.ts';
import { type Machine, showName, showText } from '../../../vfs/index.ts';
import type { VolumesRequest } from '../messages.ts';
import type { InspectContext } from '../session.ts';
import { JsonList } from '../text/json-list.ts';
import { type Branch, drawBranches, titleOf } from '../text/branches.ts';
import { formatSize } from '../text/size.ts';

/** A volume and what opening its file system told. */
interface Looked {
  readonly volume: Volume;
  /** Where the machine has it. */
  readonly at: readonly string[];
  readonly health: VolumeHealth | undefined;
  readonly freeBytes: number | undefined;
  readonly error: RestoreError | undefined;
}

/** `volumes`: disks, what is on them, and how far it can be trusted. */
export async function volumes(context: InspectContext, request: VolumesRequest): Promise<void> {
  const { session, output, remarks } = context;
  const json = request.json ? new JsonList(output, 'machines') : undefined;
  for (const text of request.addresses) {
    const { machine, name } = await session.point(text);
    const { mounts, problems } = await machine.places();
    const looked = new Map<string, Looked>();
    for (const volume of machine.volumes.volumes) {
      const at = mounts.filter((mount) => mount.volume === volume.id).map((mount) => mount.at);
      const one = await look(machine, volume, at);
      if (one.error !== undefined) remarks.fail(one.error, `volume ${showName(volume.id)}`);
      looked.set(volume.id, one);
    }
    const seen = (volume: Volume): Looked => looked.get(volume.id) as Looked;
    const { disks, groups } = machine.volumes;
    if (json === undefined) {
      for (const problem of problems) remarks.warn(problem.message);
      const branches = [
        ...disks.map((disk) => diskBranch(disk, seen)),
        ...groups.map((group) => groupBranch(group, seen)),
      ];
      output.write(`${name}\n${drawBranches(branches)}`);
    } else {
      json.add({
        point: name,
        disks: disks.map((disk) => ({
          ...disk,
          volumes: disk.volumes.map((v) => volumeJson(seen(v))),
        })),
        groups: groups.map((group) => ({
          ...group,
          volumes: group.volumes.map((v) => volumeJson(seen(v))),
        })),
        problems: problems.map(({ message }) => message),
      });
    }
  }
  json?.end();
}

async function look(machine: Machine, volume: Volume, at: readonly string[]): Promise<Looked> {
  const nothing = { volume, at, health: undefined, freeBytes: undefined, error: undefined };
  if (!volume.content.isReadable) return nothing;
  try {
    const opened = await machine.volume(volume.id)?.open();
    if (opened === undefined) return nothing;
    const { fileSystem } = opened;
    const freeBytes = fileSystem.space.freeBytes ?? (await countFree(fileSystem));
    return { ...nothing, health: fileSystem.health, freeBytes };
  } catch (error) {
    return { ...nothing, error: asRestoreError(error, 'the file system does not open') };
  }
}

/** Counting that takes too long is no reason to tell nothing else. */
async function countFree(fileSystem: FileSystem): Promise<number | undefined> {
  try {
    return await fileSystem.countFree?.();
  } catch (error) {
    if (isRestoreError(error, 'LIMIT')) return undefined;
    throw error;
  }
}

/** The function among the volume's fields is nothing that JSON has. */
function volumeJson({ volume, at, health, freeBytes, error }: Looked): object {
  return {
    ...volume,
    at,
    ...(health === undefined ? {} : { health }),
    ...(freeBytes === undefined ? {} : { freeBytes }),
    ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
  };
}

function diskBranch(disk: DiskVolumes, seen: (volume: Volume) => Looked): Branch {
  const table = disk.table === 'none' ? 'no partition table' : `${disk.table} ${disk.tableId}`;
  const title = titleOf([disk.id, formatSize(disk.size), table.trim()]);
  return {
    title,
    notes: disk.findings.map(noteOf),
    branches: disk.volumes.map((volume) => volumeBranch(seen(volume), disk.id)),
  };
}

function groupBranch(group: VolumeGroup, seen: (volume: Volume) => Looked): Branch {
  const carriers = group.physicalVolumes.map(({ name, volumes: on }) => {
    return on.length === 0 ? `${showName(name)} is missing` : on.map(showName).join(' or ');
  });
  return {
    title: titleOf([showName(group.name), 'volume group', `on ${carriers.join(', ')}`]),
    notes: group.findings.map(noteOf),
    branches: group.volumes.map((volume) => volumeBranch(seen(volume), '')),
  };
}

function volumeBranch({ volume, at, health, freeBytes, error }: Looked, disk: string): Branch {
  const { id, length, content, partitionType, name } = volume;
  const short = disk !== '' && id.startsWith(`${disk}/`) ? id.slice(disk.length + 1) : id;
  const label = content.label === '' ? '' : showName(content.label);
  const what = content.type === '' ? content.kind : `${content.type}${kindWord(content)}`;
  const isNamed = volume.kind === 'partition' && name !== '';
  const title = titleOf([
    showName(short),
    formatSize(length),
    what,
    label,
    at.length === 0 ? '' : `at ${at.map(showName).join(', ')}`,
    health?.state ?? (error === undefined ? '' : 'does not open'),
    freeBytes === undefined ? '' : `${formatSize(freeBytes)} free`,
    content.uuid === '' ? '' : `UUID ${showText(content.uuid)}`,
    isNamed ? `(${showName(name)})` : partitionType === undefined ? '' : `(${partitionType.name})`,
  ]);
  const omitted = health?.omitted ?? 0;
  const notes = [...volume.findings, ...(health?.findings ?? [])].map(noteOf);
  return {
    title,
    notes: [
      ...notes,
      ...(omitted > 0 ? [`and ${omitted} more findings`] : []),
      ...(error === undefined ? [] : [showText(error.message)]),
    ],
    branches: [],
  };
}

function kindWord({ type, kind }: VolumeContent): string {
  // A type may say it already: Microsoft reserved.
  const isSaid = kind === 'file system' || kind === 'swap' || type.endsWith(kind);
  return isSaid ? '' : ` ${kind}`;
}

function noteOf({ message, where }: Finding): string {
  const place = where?.structure === undefined ? '' : ` (${where.structure})`;
  return showText(`${message}${place}`);
}
