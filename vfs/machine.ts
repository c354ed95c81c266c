import { isRestoreError, RestoreError } from '../core/index.ts';
import {
  findVolumes,
  type MachineDisk,
  type MachineVolumes,
  placeVolumes,
  resolveVolume,
  type Volume,
  type VolumeWish,
} from '../parsers/index.ts';
import { borrowedFileSystem } from './borrowed-file-system.ts';
import { KeptVolume } from './kept-volume.ts';
import type { OpenVolume, VolumeHandle } from './place.ts';
import { type Places, treeOfDisk, treeOfMachine } from './places.ts';
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
const VOLUME_CACHE_BYTES_MAX = 32 * 1024 * 1024;
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

  /** The volumes' file systems that someone has entered so far. */
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
    const machine = (): Promise<Tree> => this.tree();
    const tree = address.disk === undefined ? await machine() : await this.#treeOf(address);
    const hidden = this.#hiddenBehind(address.disk);
    if (tree.mounts.size === 0 && !tree.hasRoot) throw hidden ?? nothingKnown();
    try {
      return await resolvePath(tree, address.path ?? '/', { machine, ...options });
    } catch (error) {
      // Damage never reads as absence.
      if (isRestoreError(error, 'NOT_FOUND') && hidden !== undefined) throw hidden;
      throw error;
    }
  }

  /** Closes the file systems; the disks stay their owner's. */
  async close(): Promise<void> {
    await Promise.all([...this.#handles.values()].map((kept) => kept.close()));
  }

  /** What keeps all volumes of a disk (of any, without one) from being seen. */
  #hiddenBehind(disk: string | undefined): RestoreError | undefined {
    const { disks } = this.volumes;
    const named = disks.some(({ id }) => id === disk) ? disks.filter((d) => d.id === disk) : disks;
    const damaged = named.find((d) => d.volumes.length === 0 && d.findings.length > 0);
    if (damaged === undefined) return undefined;
    const [finding] = damaged.findings;
    const message = `the volumes of ${damaged.id} cannot be found: ${finding?.message ?? ''}`;
    return new RestoreError('CORRUPT', message, {
      hint: 'Look with `rehydrate volumes`; `rehydrate verify` tells whether the repository is damaged.',
    });
  }

  async #place(): Promise<Places> {
    const found = await placeVolumes(this.volumes, async ({ id }) => {
      const { fileSystem } = await this.#handle(id).openUnnoticed();
      return borrowedFileSystem(fileSystem);
    });
    return treeOfMachine(this.volumes, found, (id) => this.#handle(id));
  }

  async #treeOf({ disk = '', volume }: MachineAddress): Promise<Tree> {
    const isDisk = this.volumes.disks.some(({ id }) => id === disk);
    if (isDisk && volume === undefined) {
      return treeOfDisk(this.volumes, disk, (id) => this.#handle(id));
    }
    const found = await this.#find({ disk, volume });
    return new Tree([{ at: '/', volume: this.#handle(found.id) }]);
  }

  /** Drive letters take a look at every volume: only where nothing else is called so. */
  async #find(wish: VolumeWish): Promise<Volume> {
    try {
      return resolveVolume(this.volumes, wish);
    } catch (error) {
      if (!isRestoreError(error, 'NOT_FOUND')) throw error;
      return resolveVolume(this.volumes, wish, (await this.places()).mounts);
    }
  }

  #handle(id: string): KeptVolume {
    const kept = this.#handles.get(id);
    if (kept === undefined) throw new RestoreError('NOT_FOUND', `there is no volume ${id}`);
    return kept;
  }
}

function nothingKnown(): RestoreError {
  return new RestoreError('UNSUPPORTED', 'nothing that is known to hold files is on these disks', {
    hint: '`rehydrate volumes` shows what there is; export a disk to look at it otherwise.',
  });
}
