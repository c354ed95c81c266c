import {
  type BlockSource,
  Budget,
  budgeted,
  type Finding,
  isRestoreError,
  RestoreError,
} from '../../../core/index.ts';
import { type GroupText, parseGroup } from './group.ts';
import type { PhysicalVolumeLabel } from './label.ts';
import { readMetadataText } from './metadata-area.ts';

const PARSED_CHARACTERS_MAX = 64 * 1024 * 1024;
/** Over all physical volumes. Partitions may overlap, so that one area is in any number of them. */
const READ_BYTES_MAX = 512 * 1024 * 1024;

/** A physical volume that was found, and where. */
export interface FoundPhysicalVolume {
  /** Id of the volume that carries it. */
  readonly volume: string;
  readonly disk: string;
  readonly source: BlockSource;
  readonly label: PhysicalVolumeLabel;
}

/** The newest intact description of a volume group. */
export interface GroupState {
  readonly group: GroupText;
  /** True when copies with the newest number describe different things. */
  readonly isAmbiguous: boolean;
  readonly findings: readonly Finding[];
}

interface Copy {
  readonly group: GroupText;
  readonly text: string;
  readonly from: string;
}

export interface GroupStates {
  readonly states: readonly GroupState[];
  /** Damage by the id of the volume in which it was met. */
  readonly damage: ReadonlyMap<string, readonly Finding[]>;
}

/**
 * Every group that the physical volumes describe. Each of their metadata areas holds a copy; areas that
 * are damaged are findings, and the newest of the intact copies counts.
 */
export async function readGroupStates(
  volumes: readonly FoundPhysicalVolume[],
): Promise<GroupStates> {
  const copies: Copy[] = [];
  const damage = new Map<string, Finding[]>();
  const parsed = new Map<string, Pick<Copy, 'group' | 'text'>>();
  const budget = new Budget({ readBytes: READ_BYTES_MAX });
  let parsedCharacters = 0;
  for (const { volume, source, label } of volumes) {
    for (const area of label.metadataAreas) {
      try {
        const text = await readMetadataText(budgeted(source, budget), area);
        if (text === undefined) continue;
        if (!parsed.has(text)) parsedCharacters = spend(parsedCharacters, text.length);
        // One text for all copies that are alike: each is as large as its area.
        const known = parsed.get(text) ?? { group: parseGroup(text), text };
        parsed.set(text, known);
        copies.push({ ...known, from: volume });
      } catch (error) {
        if (!isLocal(error)) throw error;
        const { message, where } = error;
        damage.set(volume, [...(damage.get(volume) ?? []), { message, where }]);
      }
    }
  }
  const byGroup = Map.groupBy(copies, ({ group }) => group.uuid);
  return { states: [...byGroup.values()].map(newest), damage };
}

/** Copies are alike: a machine whose disks hold many large texts that differ is hostile. */
function spend(before: number, more: number): number {
  if (before + more <= PARSED_CHARACTERS_MAX) return before + more;
  throw new RestoreError('LIMIT', 'the disks hold more LVM2 metadata than what is read', {
    where: {
      structure: 'LVM2 metadata text',
      expected: `at most ${PARSED_CHARACTERS_MAX} characters`,
    },
  });
}

/** Damage and oddity of one structure, that leave others readable. */
export function isLocal(error: unknown): error is RestoreError {
  return (
    isRestoreError(error, 'CORRUPT') ||
    isRestoreError(error, 'UNSUPPORTED') ||
    isRestoreError(error, 'LIMIT')
  );
}

function newest(copies: readonly Copy[]): GroupState {
  const sequence = Math.max(...copies.map(({ group }) => group.sequence));
  const current = copies.filter(({ group }) => group.sequence === sequence);
  const [first] = current as [Copy, ...Copy[]];
  const findings: Finding[] = [];
  const old = copies.filter(({ group }) => group.sequence < sequence);
  if (old.length > 0) {
    const places = [...new Set(old.map(({ from }) => from))].join(', ');
    findings.push({ message: `older metadata than number ${sequence} on ${places}` });
  }
  const shape = shapeOf(first.group);
  const isAmbiguous = current.some(
    ({ text, group }) => text !== first.text && shapeOf(group) !== shape,
  );
  if (isAmbiguous) {
    findings.push({ message: `there are different states of the group with number ${sequence}` });
  }
  return { group: first.group, isAmbiguous, findings };
}

function shapeOf(group: GroupText): string {
  return JSON.stringify(group, (_, value: unknown) => (value instanceof Map ? [...value] : value));
}
