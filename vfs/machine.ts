import type { RestoreError } from '../core/index.ts';
import {
  findVolumes,
  type MachineDisk,
  type MachineVolumes,
  resolveVolume,
  type Volume,
  type VolumeAt,
} from '../parsers/index.ts';
import { KeptVolume } from './kept-volume.ts';
import type { Mount, OpenVolume, VolumeHandle } from './place.ts';
import { type ResolvedPath, type ResolveOptions, resolvePath } from './resolve.ts';
import { Tree } from './tree.ts';

/** A part of a machine's address: which disk, which volume, which file. */
export interface MachineAddress {
  readonly disk?: string;
  readonly volume?: string;
  readonly path?: string;
}

/** Metadata kept over all volumes of a machine, in bytes, and for one at the most and the least. */
const CACHE_BYTES = 96 * 1024 * 1024;
const VOLUME_CACHE_BYTES_MAX = 48 * 1024 * 1024;
const VOLUME_CACHE_BYTES_MIN = 4 * 1024 * 1024;

/** The disks of one machine at one point in time, their volumes, and the files in those. */
export class Machine {
  readonly volumes: MachineVolumes;
  readonly #handles = new Map<string, KeptVolume>();
  #placing: Promise<Places> | undefined;

  private constructor(volumes: MachineVolumes) {
    this.volumes = volumes;
    const readable = volumes.volumes.filter(({ content }) => content.isReadable).length;
    const share = Math.floor(CACHE_BYTES / Math.max(1, readable));
    const cacheBytes = Math.min(VOLUME_CACHE_BYTES_MAX, Math.max(VOLUME_CACHE_BYTES_MIN, share));
    for (const volume of volumes.volumes) {
      this.#handles.set(volume.id, new KeptVolume(volume, cacheBytes));
    }
  }

  /**
   * Looks at the disks' tables; file systems are opened when someone enters them.
   *
   * @throws RestoreError as `findVolumes`.
   */
  static async open(disks: readonly MachineDisk[]): Promise<Machine> {
    return new Machine(await findVolumes(disks));
  }

  /** The volumes' file systems that have been opened so far. */
  get opened(): readonly OpenVolume[] {
    return [...this.#handles.values()].flatMap(({ opened }) =>
      opened === undefined ? [] : [opened],
    );
  }

  /** A volume by its id, to be opened. @returns `undefined` when there is none. */
  volume(id: string): VolumeHandle | undefined {
    return this.#handles.get(id);
  }

  /** Where the machine's own system has its volumes, as far as that is known. */
  places(): Promise<Places> {
    this.#placing ??= this.#place();
    return this.#placing;
  }

  /** The whole machine as its own system shows it, as far as that is known. */
  async tree(): Promise<Tree> {
    return (await this.places()).tree;
  }

  /**
   * The file or directory that an address names.
   *
   * @throws RestoreError as `resolvePath` and `resolveVolume`.
   */
  async resolve(address: MachineAddress, options: ResolveOptions = {}): Promise<ResolvedPath> {
    const { tree: machine, mounts } = await this.places();
    const tree = address.disk === undefined ? machine : this.#treeOf(address, mounts);
    return await resolvePath(tree, address.path ?? '/', { machine, ...options });
  }

  /** Closes the file systems; the disks stay their owner's. */
  async close(): Promise<void> {
    await Promise.all([...this.#handles.values()].map((kept) => kept.close()));
  }

  async #place(): Promise<Places> {
    const holding = this.volumes.volumes.filter(holdsFiles);
    const tree = listingTree(holding.map(({ id }) => this.#named(id, id)));
    return { tree, mounts: [], problems: [] };
  }

  #treeOf({ disk, volume }: MachineAddress, mounts: readonly VolumeAt[]): Tree {
    const isDisk = this.volumes.disks.some(({ id }) => id === disk);
    if (isDisk && volume === undefined) {
      const own = this.volumes.volumes.filter((v) => v.disks.includes(disk ?? '') && holdsFiles(v));
      const prefix = `${disk}/`;
      return listingTree(
        own.map(({ id }) => this.#named(id.startsWith(prefix) ? id.slice(prefix.length) : id, id)),
      );
    }
    const found = resolveVolume(this.volumes, { disk, volume }, mounts);
    return new Tree([{ at: '/', volume: this.#handle(found.id) }]);
  }

  #named(name: string, id: string): Mount {
    return { at: `/${name}`, volume: this.#handle(id) };
  }

  #handle(id: string): VolumeHandle {
    return this.#handles.get(id) as KeptVolume;
  }
}

/** A machine's volumes at their places. */
export interface Places {
  readonly tree: Tree;
  readonly mounts: readonly VolumeAt[];
  /** Why volumes that should have a place have none. */
  readonly problems: readonly RestoreError[];
}

/** One volume is the tree; several are listed by name, so that nothing is hidden. */
function listingTree(mounts: readonly Mount[]): Tree {
  const [first] = mounts;
  if (first === undefined || mounts.length > 1) return new Tree(mounts);
  return new Tree([{ at: '/', volume: first.volume }]);
}

/** What has files, even when they cannot be read: to say so is better than to hide them. */
function holdsFiles({ content }: Volume): boolean {
  return content.isReadable || FILE_KINDS.has(content.kind);
}

const FILE_KINDS: ReadonlySet<string> = new Set(['file system', 'encrypted', 'unreadable']);
