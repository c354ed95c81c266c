import type { Finding } from '../../../core/index.ts';
import { type FoundPhysicalVolume, type GroupState, readGroupStates } from './copies.ts';
import type { PhysicalVolumeText } from './group.ts';
import {
  type AssembledGroup,
  type AssembledVolume,
  rolesOf,
  sectorSizeOf,
} from './logical-volume.ts';

const FINDINGS_MAX = 200;

export interface AssembledGroups {
  readonly groups: readonly (AssembledGroup & { readonly findings: readonly Finding[] })[];
  /** Damage by the id of the volume in which it was met. */
  readonly damage: ReadonlyMap<string, readonly Finding[]>;
}

/**
 * The volume groups of one machine from all its physical volumes. Only these are looked at, so that
 * another machine's copies with the same names and identifiers are no matter.
 */
export async function assembleGroups(
  found: readonly FoundPhysicalVolume[],
): Promise<AssembledGroups> {
  const { states, damage } = await readGroupStates(found);
  const byUuid = Map.groupBy(found, ({ label }) => label.uuid);
  const groups = states.map((state) => {
    const physicalVolumes = new Map<string, AssembledVolume>();
    for (const text of state.group.physicalVolumes) {
      physicalVolumes.set(text.name, { text, found: byUuid.get(text.uuid) ?? [] });
    }
    const findings = [...state.findings, ...findingsOn(state, [...physicalVolumes.values()])];
    const names = new Set(state.group.logicalVolumes.map(({ name }) => name));
    return {
      ...{ state, physicalVolumes, names, roles: rolesOf(state.group), findings },
      sectorSize: sectorSizeOf(physicalVolumes.values()),
    };
  });
  return { groups, damage };
}

function findingsOn({ group }: GroupState, volumes: readonly AssembledVolume[]): Finding[] {
  const all = volumes.flatMap(({ text, found }) => findingsOnVolume(text, found));
  const findings = all.slice(0, FINDINGS_MAX);
  if (all.length > FINDINGS_MAX) {
    findings.push({ message: `${all.length - FINDINGS_MAX} more such findings` });
  }
  if (group.status.includes('EXPORTED')) findings.push({ message: 'the group was exported' });
  return findings;
}

function findingsOnVolume(
  { uuid, name, flags }: PhysicalVolumeText,
  found: readonly FoundPhysicalVolume[],
): Finding[] {
  const findings: Finding[] = [];
  if (found.length === 0) {
    findings.push({ message: `physical volume ${uuid} (${name}) is on no disk of this machine` });
  }
  if (found.length > 1) {
    const places = found.map(({ volume }) => volume).join(', ');
    findings.push({
      message: `physical volume ${uuid} (${name}) is on several disks: ${places}; which is right is not guessed`,
    });
  }
  if (flags.includes('MISSING')) {
    findings.push({
      message: `physical volume ${uuid} (${name}) was missing when the group was last changed`,
    });
  }
  return findings;
}
