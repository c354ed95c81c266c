import type { Finding } from '../../core/index.ts';

/** A volume in its place in the running machine. */
export interface Mount {
  /** `/`, `/var`, `C:` */
  readonly at: string;
  /** Id of the volume. */
  readonly volume: string;
  /** How it was found: `by UUID`, `by drive letter`, … */
  readonly how: string;
  /** The folder of the volume that is mounted, where it is not its root (btrfs): `@home`. */
  readonly subvolume?: string;
}

/** What the machine has somewhere and this restore point has not, or not for sure. */
export interface Unplaced {
  readonly at: string;
  /** As the machine names it. */
  readonly device: string;
  readonly why: string;
}

export interface MachinePlaces {
  /** Parents before what is mounted on them. */
  readonly mounts: readonly Mount[];
  readonly unplaced: readonly Unplaced[];
  readonly findings: readonly Finding[];
}

export const NO_PLACES: MachinePlaces = { mounts: [], unplaced: [], findings: [] };
