import {
  type BlockSource,
  borrowed,
  type Extent,
  extentsOf,
  Ranges,
  type SparseSource,
} from '../../core/index.ts';
import { findVolumes, type MachineVolumes, type Volume } from '../../parsers/index.ts';

/** A disk after, and where it may differ from the same disk before. */
export interface ChangedDisk {
  readonly id: string;
  readonly source: BlockSource;
  readonly changed: Ranges;
}

/** Where the volumes of two states of a machine may differ. */
export class ChangedVolumes {
  readonly #before: MachineVolumes;
  readonly #after: MachineVolumes;
  readonly #differences: MachineVolumes;

  private constructor(before: MachineVolumes, after: MachineVolumes, differences: MachineVolumes) {
    this.#before = before;
    this.#after = after;
    this.#differences = differences;
  }

  static async open(
    before: MachineVolumes,
    after: MachineVolumes,
    disks: readonly ChangedDisk[],
  ): Promise<ChangedVolumes> {
    const differences = await findVolumes(
      disks.map(({ id, source, changed }) => ({ id, source: differencesOf(source, changed) })),
    );
    return new ChangedVolumes(before, after, differences);
  }

  /** @returns `undefined` when the volume lies elsewhere than it did, or that is not known. */
  async of(id: string): Promise<Ranges | undefined> {
    const where = layoutOf(this.#after, id);
    if (where === undefined || where !== layoutOf(this.#before, id)) return undefined;
    const volume = this.#differences.volumes.find((one) => one.id === id);
    if (volume === undefined) return undefined;
    const extents: Extent[] = [];
    for await (const extent of extentsOf(volume.open())) extents.push(extent);
    return Ranges.of(extents);
  }
}

/**
 * A disk whose data are its differences: what a volume's layers make of them are the volume's. Its
 * bytes are those of the disk after, for the tables that say where volumes lie.
 */
function differencesOf(source: BlockSource, changed: Ranges): SparseSource {
  const lent = borrowed(source);
  return {
    size: lent.size,
    sectorSize: lent.sectorSize,
    readInto: (target, offset, signal) => lent.readInto(target, offset, signal),
    peek: (offset, length) => lent.peek(offset, length),
    close: () => lent.close(),
    async *extents(offset, length) {
      yield* changed.within(offset, length);
    },
  };
}

/** Where a volume lies, as text to compare; `undefined` when there is no such volume. */
function layoutOf(machine: MachineVolumes, id: string): string | undefined {
  const volume = machine.volumes.find((one) => one.id === id);
  if (volume === undefined) return undefined;
  if (volume.kind !== 'logical volume') return JSON.stringify(partOf(volume));
  // A group's sequence number is another after any change of it.
  const group = machine.groups.find(({ volumes }) => volumes.includes(volume));
  if (group === undefined) return undefined;
  const members = group.physicalVolumes.map(({ uuid, volumes }) => [
    uuid,
    volumes.map((each) => layoutOf(machine, each)),
  ]);
  return JSON.stringify([group.uuid, group.sequence, volume.uuid, volume.length, members]);
}

function partOf({ kind, disks, offset, length }: Volume): unknown {
  return [kind, disks, offset, length];
}
