import { hash } from 'node:crypto';
import { asRestoreError, type Extent, RestoreError } from '../core/index.ts';
import {
  type BlockReference,
  type DiskRecord,
  FANOUT,
  type NativeDisk,
  type NativeRepository,
  type Page,
  type PointName,
  type PointRecord,
  pointObject,
  readPackSet,
} from '../store-reader/index.ts';
import { listLostPoints, listPacks } from './claims.ts';
import { type PackHealth, PackInspector } from './pack-inspector.ts';

/**
 * How deep to look. `structure`: the commits, points, index pages, and that every pack is there and
 * whole at its ends. `new`: also every block of the packs not proved before. `all`: every block.
 */
export type VerifyScope = 'structure' | 'new' | 'all';

/** A part of a disk that cannot be read. */
export interface DiskDamage {
  readonly machine: string;
  readonly takenAt: string;
  readonly pointId: string;
  /** Absent when the whole point is unreadable. */
  readonly disk?: string;
  /** Ranges of the disk, in bytes, merged. */
  readonly ranges: readonly Extent[];
  /** One error that stands for them. */
  readonly reason: string;
}

/** An object of the repository that is damaged or missing. */
export interface ObjectDamage {
  readonly object: string;
  readonly reason: string;
}

export interface VerifyReport {
  readonly clean: boolean;
  readonly points: number;
  readonly packs: number;
  /** Blocks and pages read, decrypted, decompressed and hashed. */
  readonly blocksProved: number;
  readonly bytesProved: number;
  readonly damagedDisks: readonly DiskDamage[];
  readonly damagedObjects: readonly ObjectDamage[];
  /** Packs no restore point needs: left by captures that were killed. */
  readonly unreferencedPacks: number;
}

export interface VerifyOptions {
  readonly scope: VerifyScope;
  /** Packs proved earlier; those proved now are added. For `new`. */
  readonly proved?: Set<string>;
  readonly onProgress?: (done: { packs: number; totalPacks: number; bytes: number }) => void;
  readonly signal?: AbortSignal;
}

/** Checks a repository and says exactly which machines, points, disks and offsets are affected. */
export async function verifyRepository(
  repository: NativeRepository,
  options: VerifyOptions,
): Promise<VerifyReport> {
  return await new Verifier(repository, options).run();
}

/** A leaf entry that cannot be read, relative to its page: shared pages are looked at once. */
interface PageFaults {
  /** Blocks, relative to the first block below the page. */
  readonly blocks: readonly { readonly block: number; readonly count: number }[];
  readonly reason: string;
}

class Verifier {
  readonly #repository: NativeRepository;
  readonly #options: VerifyOptions;
  readonly #inspector: PackInspector;
  readonly #objects = new Map<string, string>();
  readonly #disks: DiskDamage[] = [];
  readonly #health = new Map<string, PackHealth>();
  /** Faults below a page, by page id. */
  readonly #pages = new Map<string, PageFaults | undefined>();

  constructor(repository: NativeRepository, options: VerifyOptions) {
    this.#repository = repository;
    this.#options = options;
    this.#inspector = new PackInspector(repository);
  }

  async run(): Promise<VerifyReport> {
    const { catalog } = this.#repository;
    for (const error of catalog.damage) {
      this.#objects.set(error.where.object ?? 'commits', error.message);
    }
    const points = await this.#loadPoints(catalog.points);
    const needed = await this.#neededPacks(points);
    await this.#inspectPacks(needed);
    for (const point of points) {
      for (const disk of point.disks) await this.#checkDisk(point, disk);
    }
    await this.#reportLostPoints();
    const present = await listPacks(this.#repository.backend);
    return {
      clean: this.#objects.size === 0 && this.#disks.length === 0,
      points: catalog.points.length,
      packs: needed.size,
      blocksProved: this.#inspector.blocksProved,
      bytesProved: this.#inspector.bytesProved,
      damagedDisks: this.#disks,
      damagedObjects: [...this.#objects].map(([object, reason]) => ({ object, reason })),
      unreferencedPacks: [...present].filter((pack) => !needed.has(pack)).length,
    };
  }

  async #loadPoints(names: readonly PointName[]): Promise<PointRecord[]> {
    const points: PointRecord[] = [];
    for (const name of names) {
      try {
        points.push(await this.#repository.point(name));
      } catch (error) {
        const { message, where } = asRestoreError(error, 'cannot read a point');
        this.#objects.set(where.object ?? `point ${name.id}`, message);
        const { machine, takenAt, id } = name;
        this.#disks.push({ machine, takenAt, pointId: id, ranges: [], reason: message });
      }
    }
    return points;
  }

  /** A point without its commit is hidden, not gone: its own record still says whose it is. */
  async #reportLostPoints(): Promise<void> {
    for (const id of await listLostPoints(this.#repository)) {
      const object = pointObject(id);
      const reason = 'the commit that names this restore point is damaged or missing';
      this.#objects.set(object, reason);
      try {
        const sha256 = hash('sha256', await this.#repository.backend.get(object));
        const name = { id, machine: '', takenAt: '', sha256 };
        const { machine, takenAt } = await this.#repository.point(name);
        this.#disks.push({ machine, takenAt, pointId: id, ranges: [], reason });
      } catch (error) {
        this.#objects.set(object, asRestoreError(error, 'cannot read a point').message);
      }
    }
  }

  async #neededPacks(points: readonly PointRecord[]): Promise<Set<string>> {
    const needed = new Set<string>();
    for (const point of points) {
      try {
        for (const pack of await readPackSet(this.#repository.blocks, point)) needed.add(pack);
      } catch (error) {
        const { message } = asRestoreError(error, 'cannot read a list of packs');
        this.#objects.set(`pack list of point ${point.id}`, message);
        for (const { pack } of point.packs.pages) needed.add(pack);
      }
    }
    return needed;
  }

  async #inspectPacks(needed: ReadonlySet<string>): Promise<void> {
    const { scope, proved, onProgress, signal } = this.#options;
    let packs = 0;
    for (const pack of [...needed].sort()) {
      if (signal?.aborted === true) {
        throw new RestoreError('CANCELLED', 'the verification was cancelled');
      }
      const known = scope === 'new' && proved?.has(pack) === true;
      const deep = scope !== 'structure' && !known;
      const health = await this.#inspector.inspect(pack, deep);
      this.#health.set(pack, health);
      if (health.reason !== undefined) this.#objects.set(`packs/${pack}`, health.reason);
      else if (deep) proved?.add(pack);
      if (health.reason !== undefined) proved?.delete(pack);
      packs += 1;
      onProgress?.({ packs, totalPacks: needed.size, bytes: this.#inspector.bytesProved });
    }
  }

  async #checkDisk(point: PointRecord, record: DiskRecord): Promise<void> {
    const disk = this.#repository.openDisk(point, record);
    if (disk.root === undefined) return;
    const faults = await this.#checkPage(disk.root, disk.levels - 1);
    if (faults === undefined) return;
    this.#disks.push({
      machine: point.machine,
      takenAt: point.takenAt,
      pointId: point.id,
      disk: record.id,
      ranges: toRanges(faults, disk),
      reason: faults.reason,
    });
  }

  async #checkPage(reference: BlockReference, level: number): Promise<PageFaults | undefined> {
    const key = `${level} ${Buffer.from(reference.id).toString('hex')} ${reference.pack}`;
    if (this.#pages.has(key)) return this.#pages.get(key);
    const faults = await this.#findFaults(reference, level);
    this.#pages.set(key, faults);
    return faults;
  }

  async #findFaults(reference: BlockReference, level: number): Promise<PageFaults | undefined> {
    let page: Page;
    try {
      page = await this.#repository.blocks.page(reference, level);
    } catch (error) {
      const { message } = asRestoreError(error, 'cannot read an index page');
      return { blocks: [{ block: 0, count: FANOUT ** (level + 1) }], reason: message };
    }
    const blocks: { block: number; count: number }[] = [];
    let reason: string | undefined;
    for (let slot = 0; slot < page.count; slot += 1) {
      const entry = page.entry(slot);
      if (entry === undefined) continue;
      const below =
        level === 0 ? await this.#checkBlock(entry) : await this.#checkPage(entry, level - 1);
      if (below === undefined) continue;
      reason ??= below.reason;
      const first = slot * FANOUT ** level;
      for (const { block, count } of below.blocks) blocks.push({ block: first + block, count });
    }
    return reason === undefined ? undefined : { blocks, reason };
  }

  async #checkBlock(entry: BlockReference): Promise<PageFaults | undefined> {
    const health = this.#health.get(entry.pack) ?? (await this.#inspectLate(entry.pack));
    const reason = await this.#inspector.faultOf(entry, health);
    return reason === undefined ? undefined : { blocks: [{ block: 0, count: 1 }], reason };
  }

  /** A pack that the point's list lacks: an error of its own, and looked at all the same. */
  async #inspectLate(pack: string): Promise<PackHealth> {
    const health = await this.#inspector.inspect(pack, this.#options.scope !== 'structure');
    this.#health.set(pack, health);
    this.#objects.set(`packs/${pack}`, health.reason ?? 'a restore point uses it unlisted');
    return health;
  }
}

function toRanges({ blocks }: PageFaults, disk: NativeDisk): Extent[] {
  const merged: { offset: number; length: number }[] = [];
  for (const { block, count } of blocks) {
    const offset = block * disk.blockSize;
    const end = Math.min(disk.size, offset + count * disk.blockSize);
    const last = merged.at(-1);
    if (last !== undefined && last.offset + last.length === offset) last.length = end - last.offset;
    else merged.push({ offset, length: end - offset });
  }
  return merged;
}
