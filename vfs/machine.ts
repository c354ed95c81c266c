import { type BlockSource, RestoreError, type SectorSize } from '../core/index.ts';
import { identifyFileSystem, openFileSystem } from '../parsers/index.ts';
import type { Mount, OpenVolume, VolumeHandle } from './place.ts';
import { type ResolvedPath, type ResolveOptions, resolvePath } from './resolve.ts';
import { Tree } from './tree.ts';

/** A disk of a machine, by the id that addresses use. */
export interface MachineDisk {
  readonly id: string;
  readonly source: BlockSource;
}

/** A part of a machine's address: which disk, which volume, which file. */
export interface MachineAddress {
  readonly disk?: string;
  readonly volume?: string;
  readonly path?: string;
}

export interface MachineVolume {
  readonly id: string;
  readonly disk: string;
  readonly type: string;
  readonly label: string;
  readonly uuid: string;
  readonly sizeBytes: number;
  readonly sectorSize: SectorSize;
  open(): BlockSource;
}

/** Metadata kept over all volumes of a machine, in bytes, and for one at the most and the least. */
const CACHE_BYTES = 96 * 1024 * 1024;
const VOLUME_CACHE_BYTES_MAX = 48 * 1024 * 1024;
const VOLUME_CACHE_BYTES_MIN = 4 * 1024 * 1024;

/** The disks of one machine at one point in time, their volumes, and the files in those. */
export class Machine {
  readonly volumes: readonly MachineVolume[];
  readonly #handles = new Map<string, KeptVolume>();
  #tree: Promise<Tree> | undefined;

  private constructor(volumes: readonly MachineVolume[]) {
    this.volumes = volumes;
    const share = Math.floor(CACHE_BYTES / Math.max(1, volumes.length));
    const cacheBytes = Math.min(VOLUME_CACHE_BYTES_MAX, Math.max(VOLUME_CACHE_BYTES_MIN, share));
    for (const volume of volumes) this.#handles.set(volume.id, new KeptVolume(volume, cacheBytes));
  }

  /** Looks at the disks' tables; file systems are opened when someone enters them. */
  static async open(disks: readonly MachineDisk[]): Promise<Machine> {
    return new Machine(await bareVolumes(disks));
  }

  /** The volumes' file systems that have been opened so far. */
  get opened(): readonly OpenVolume[] {
    return [...this.#handles.values()].flatMap(({ opened }) =>
      opened === undefined ? [] : [opened],
    );
  }

  /** The whole machine as its own system shows it, as far as that is known. */
  tree(): Promise<Tree> {
    this.#tree ??= this.#makeTree();
    return this.#tree;
  }

  /**
   * The file or directory that an address names.
   *
   * @throws RestoreError as `resolvePath`; `NOT_FOUND`, `INVALID` for its disk and volume.
   */
  async resolve(address: MachineAddress, options: ResolveOptions = {}): Promise<ResolvedPath> {
    const machine = await this.tree();
    const tree = address.disk === undefined ? machine : this.#treeOf(address.disk, address.volume);
    return await resolvePath(tree, address.path ?? '/', { machine, ...options });
  }

  /** Closes the file systems; the disks stay their owner's. */
  async close(): Promise<void> {
    await Promise.all([...this.#handles.values()].map((kept) => kept.close()));
  }

  async #makeTree(): Promise<Tree> {
    return listingTree(this.volumes.map(({ id }) => ({ name: id, volume: this.#handle(id) })));
  }

  #treeOf(disk: string, volume: string | undefined): Tree {
    const own = this.volumes.filter((candidate) => candidate.disk === disk);
    if (volume === undefined) {
      return listingTree(
        own.map(({ id }) => ({ name: id.slice(disk.length + 1), volume: this.#handle(id) })),
      );
    }
    const found = own.find(({ id }) => id === `${disk}/${volume}`);
    if (found === undefined) throw new RestoreError('NOT_FOUND', `no volume ${volume} on ${disk}`);
    return new Tree([{ at: '/', volume: this.#handle(found.id) }]);
  }

  #handle(id: string): VolumeHandle {
    return this.#handles.get(id) as KeptVolume;
  }
}

/** One volume is the tree; several are listed by name, so that nothing is hidden. */
function listingTree(volumes: readonly { name: string; volume: VolumeHandle }[]): Tree {
  const [first] = volumes;
  if (first !== undefined && volumes.length === 1)
    return new Tree([{ at: '/', volume: first.volume }]);
  const mounts: Mount[] = volumes.map(({ name, volume }) => ({ at: `/${name}`, volume }));
  return new Tree(mounts);
}

class KeptVolume implements VolumeHandle {
  readonly id: string;
  readonly #volume: MachineVolume;
  readonly #cacheBytes: number;
  #opening: Promise<OpenVolume> | undefined;
  #opened: OpenVolume | undefined;

  constructor(volume: MachineVolume, cacheBytes: number) {
    this.id = volume.id;
    this.#volume = volume;
    this.#cacheBytes = cacheBytes;
  }

  get opened(): OpenVolume | undefined {
    return this.#opened;
  }

  open(): Promise<OpenVolume> {
    this.#opening ??= this.#start();
    return this.#opening;
  }

  async close(): Promise<void> {
    await this.#opened?.fileSystem.close();
  }

  async #start(): Promise<OpenVolume> {
    try {
      const source = this.#volume.open();
      const fileSystem = await openFileSystem(source, { cacheBytes: this.#cacheBytes });
      this.#opened = { id: this.id, fileSystem };
      return this.#opened;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }
}

async function bareVolumes(disks: readonly MachineDisk[]): Promise<MachineVolume[]> {
  const volumes: MachineVolume[] = [];
  for (const { id, source } of disks) {
    const found = await identifyFileSystem(source);
    if (found === undefined) continue;
    const { size: sizeBytes, sectorSize } = source;
    volumes.push({ id: `${id}/p1`, disk: id, ...found, sizeBytes, sectorSize, open: () => source });
  }
  return volumes;
}
