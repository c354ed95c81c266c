import type { DirectoryEntry, FileSystem, NodeId } from '../core/index.ts';

/** An open file system in a machine. */
export interface OpenVolume {
  /** As addresses have it: `disk0/p1`, `vg/lv`; empty for directories that exist in the view alone. */
  readonly id: string;
  readonly fileSystem: FileSystem;
}

/** A volume that is opened when someone enters it, and then kept open. */
export interface VolumeHandle {
  readonly id: string;
  /** @throws RestoreError what opening its file system throws, each time anew. */
  open(): Promise<OpenVolume>;
}

/** A volume at its place in a machine's tree. */
export interface Mount {
  /** Absolute path without a slash at its end: `/`, `/var`, `/C:`. */
  readonly at: string;
  readonly volume: VolumeHandle;
}

/** One file or directory of a machine, wherever it lies. */
export interface Place {
  /** From the tree's root, links followed, as it was asked for where case does not matter. */
  readonly path: string;
  readonly volume: OpenVolume;
  readonly node: NodeId;
}

/** What a directory of a machine holds: its volume's entries, and what is mounted in it. */
export interface TreeEntry extends DirectoryEntry {
  /** The volume that takes the entry's place. */
  readonly mount?: VolumeHandle;
}

/** `parent` and `name` as one path. */
export function joinPath(parent: string, name: string): string {
  return parent === '/' ? `/${name}` : `${parent}/${name}`;
}
