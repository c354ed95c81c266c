import type { Finding } from '../../core/index.ts';
import { contentOf, type FoundContent, notLookedAt } from './content.ts';
import { type FoundPhysicalVolume, isLocal } from './lvm/copies.ts';
import type { LogicalVolumeText } from './lvm/group.ts';
import { assembleGroups } from './lvm/groups.ts';
import {
  type AssembledGroup,
  disksOf,
  kindOf,
  openLogicalVolume,
  sizeOf,
} from './lvm/logical-volume.ts';
import type { Volume, VolumeGroup } from './model.ts';

/** Logical volumes of one group whose content is looked at; the others are listed all the same. */
const LOOKED_AT_MAX = 1024;

/**
 * The volume groups that lie on these physical volumes, and what their logical volumes hold.
 *
 * @param taken names that a group cannot have in the id of a volume, since disks have them.
 */
export async function logicalVolumes(
  found: readonly FoundPhysicalVolume[],
  taken: ReadonlySet<string>,
): Promise<{
  readonly groups: readonly VolumeGroup[];
  readonly damage: ReadonlyMap<string, readonly Finding[]>;
}> {
  const { groups, damage } = await assembleGroups(found);
  const names = Map.groupBy(groups, ({ state }) => state.group.name);
  const described: VolumeGroup[] = [];
  for (const assembled of groups) {
    const { name, uuid } = assembled.state.group;
    const isAlone = names.get(name)?.length === 1 && !taken.has(name);
    described.push(await describe(assembled, isAlone ? name : uuid));
  }
  return { groups: described, damage };
}

async function describe(
  assembled: AssembledGroup & { readonly findings: readonly Finding[] },
  prefix: string,
): Promise<VolumeGroup> {
  const { group } = assembled.state;
  const findings = [...assembled.findings];
  if (prefix !== group.name) {
    findings.push({
      message: `a disk or another group of this machine is called ${group.name} too`,
    });
  }
  const volumes: Volume[] = [];
  for (const text of group.logicalVolumes) {
    if (!isListed(assembled, text)) continue;
    const found =
      volumes.length < LOOKED_AT_MAX ? await contentOfLogical(assembled, text) : notLookedAt();
    volumes.push(volumeOf(assembled, text, prefix, found));
  }
  return {
    ...{ name: group.name, uuid: group.uuid, sequence: group.sequence, findings, volumes },
    extentBytes: group.extentBytes,
    physicalVolumes: [...assembled.physicalVolumes.values()].map(({ text, found }) => ({
      ...{ uuid: text.uuid, name: text.name, volumes: found.map(({ volume }) => volume) },
    })),
  };
}

/** A snapshot's own store is not marked as visible, but it is what people know as the snapshot. */
function isListed(assembled: AssembledGroup, text: LogicalVolumeText): boolean {
  return text.isVisible || kindOf(assembled, text) === 'snapshot';
}

function volumeOf(
  assembled: AssembledGroup,
  text: LogicalVolumeText,
  prefix: string,
  found: FoundContent,
): Volume {
  const { group } = assembled.state;
  return {
    ...{ id: `${prefix}/${text.name}`, kind: 'logical volume', disks: disksOf(assembled, text) },
    ...{ name: `${group.name}/${text.name}`, uuid: text.uuid, length: sizeOf(group, text) },
    ...found,
    open: () => openLogicalVolume(assembled, text),
  };
}

/** A logical volume that cannot be opened is listed all the same, with why. */
async function contentOfLogical(
  assembled: AssembledGroup,
  text: LogicalVolumeText,
): Promise<FoundContent> {
  try {
    return await contentOf(openLogicalVolume(assembled, text), { mayHoldTable: true });
  } catch (error) {
    if (!isLocal(error)) throw error;
    const kind = kindOf(assembled, text);
    const type = kind === undefined ? '' : `LVM ${kind}`;
    return {
      content: { kind: 'unreadable', type, label: '', uuid: '', isReadable: false },
      findings: [{ message: error.message, where: error.where }],
    };
  }
}
