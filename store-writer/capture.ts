import { randomBytes } from 'node:crypto';
import {
  asRestoreError,
  type BlockSource,
  checkMachineName,
  type Extent,
  extentsOf,
  RestoreError,
} from '../core/index.ts';
import {
  type BlockReference,
  type CaptureStatistics,
  cutPackSet,
  type DiskRecord,
  FORMAT_VERSION,
  NativeRepository,
  type OpenOptions,
  type PointRecord,
  pointObject,
  readPackSet,
  recordOf,
  referenceOf,
} from '../store-reader/index.ts';
import { BlockArbiter } from './arbiter.ts';
import { checkPacksOf, cleanUpAfterTheDead, deletePacksOf, listPacks, putClaim } from './claims.ts';
import { DedupIndex } from './dedup-index.ts';
import { EncodePool, type StartEncoder } from './encode-pool.ts';
import { MapBuilder, writePage } from './map-builder.ts';
import { PackWriter } from './pack-writer.ts';
import { checkFree, publishPoint } from './publish.ts';
import { isCommitted } from './provenance.ts';
import { ExtentCursor, RangeSet } from './ranges.ts';

/** A disk to capture. */
export interface CaptureDisk {
  /** For people: the base name of what is captured. */
  readonly name: string;
  readonly format: string;
  /** Used for its size and extents; the capture threads open the disk again for its bytes. */
  readonly source: BlockSource;
  /**
   * Ranges that changed since the point before ({@link CapturePlan.basePointId}), as changed-block
   * tracking gives them.
   */
  readonly changed?: readonly Extent[];
}

export interface CapturePlan {
  readonly machine: string;
  readonly takenAt: Date;
  readonly consistency: PointRecord['consistency'];
  readonly archived: boolean;
  readonly tags: Readonly<Record<string, string>>;
  readonly configuration?: { readonly name: string; readonly content: string };
  readonly disks: readonly CaptureDisk[];
  /**
   * The point that this one is compared with, of any machine of the repository. By default the
   * machine's newest that was captured from it: one that was committed from an overlay tells nothing
   * about what its tracking of changes began with.
   */
  readonly basePointId?: string;
  /** Read everything all the same, and fail when a change was not listed. */
  readonly verifyUnchanged?: boolean;
}

export interface CaptureProgress {
  /** Bytes of the disks' sizes that have been worked through. */
  readonly reachedBytes: number;
  readonly totalBytes: number;
  readonly readBytes: number;
  readonly zeroBytes: number;
  readonly deduplicatedBytes: number;
  readonly newBytes: number;
  readonly writtenBytes: number;
}

export interface CaptureOptions extends Pick<OpenOptions, 'credential'> {
  /** Folder for the local index. */
  readonly cacheFolder: string;
  /** Starts one capture thread; called `threads` times. */
  readonly startEncoder: StartEncoder;
  readonly threads: number;
  /** Gives a function that tells the state of things whenever it is asked. */
  readonly onStart?: (progress: () => CaptureProgress) => void;
  readonly onWarning?: (message: string) => void;
  readonly signal?: AbortSignal;
}

export interface CaptureResult {
  readonly point: PointRecord;
  readonly statistics: CaptureStatistics;
}

/**
 * Writes one restore point. Nothing of it can be seen until all of it is durable; a capture that
 * fails removes what it stored, and one that is killed leaves that to the next.
 *
 * @throws RestoreError `EXISTS`, `INVALID`, `NO_SPACE`, `IO`, `CORRUPT`, `CANCELLED`.
 */
export async function capture(
  location: string,
  plan: CapturePlan,
  options: CaptureOptions,
): Promise<CaptureResult> {
  checkMachineName(plan.machine);
  const { credential } = options;
  const repository = await NativeRepository.open(
    location,
    credential === undefined ? {} : { credential },
  );
  try {
    return await new Capture(repository, plan, options).run();
  } finally {
    await repository.close();
  }
}

class Capture {
  readonly #repository: NativeRepository;
  readonly #plan: CapturePlan;
  readonly #options: CaptureOptions;
  readonly #id = randomBytes(16).toString('hex');
  readonly #tag = randomBytes(4).toString('hex');
  readonly #startedAt = Date.now();
  #reachedBytes = 0;

  constructor(repository: NativeRepository, plan: CapturePlan, options: CaptureOptions) {
    this.#repository = repository;
    this.#plan = plan;
    this.#options = options;
  }

  async run(): Promise<CaptureResult> {
    const { machine, takenAt } = this.#plan;
    await checkFree(this.#repository, { machine, takenAt: takenAt.toISOString() });
    await cleanUpAfterTheDead(this.#repository);
    const { backend } = this.#repository;
    const claim = await putClaim(backend, this.#id, this.#tag);
    try {
      const result = await this.#capture();
      await backend.delete(claim);
      return result;
    } catch (error) {
      await this.#undo(claim);
      throw error;
    }
  }

  /** Quiet: the failure that led here is the one to tell. What stays is for the next capture. */
  async #undo(claim: string): Promise<void> {
    const { backend } = this.#repository;
    try {
      const { points } = await this.#repository.refresh();
      if (points.some(({ id }) => id === this.#id)) return;
      await deletePacksOf(backend, this.#tag);
      await backend.delete(pointObject(this.#id));
      await backend.delete(claim);
    } catch {
      this.#options.onWarning?.('what this capture stored stays until the next capture');
    }
  }

  async #capture(): Promise<CaptureResult> {
    const { backend, record, sealer } = this.#repository;
    const index = DedupIndex.open(this.#options.cacheFolder, record.id);
    const common = { backend, sealer, repositoryId: record.id, captureTag: this.#tag };
    const pages = new PackWriter({ ...common, kind: 'index' });
    const pool = new EncodePool(this.#startEncoders());
    const onAbort = (): void =>
      pool.fail(new RestoreError('CANCELLED', 'the capture was cancelled'));
    this.#options.signal?.addEventListener('abort', onAbort);
    if (this.#options.signal?.aborted === true) onAbort();
    try {
      await index.synchronize(this.#repository);
      const packs = await listPacks(backend);
      const arbiter = new BlockArbiter(pool, index, packs, record.blockSize);
      this.#reportOn(arbiter, pool, pages);
      const point = await this.#makePoint(arbiter, pool, pages, packs);
      const published = await publishPoint(this.#repository, point);
      this.#remember(index, arbiter);
      const writtenBytes = pool.writtenBytes + pages.writtenBytes + published;
      return { point, statistics: { ...point.statistics, writtenBytes } };
    } catch (error) {
      await Promise.all([pool.abort(), pages.abort()]);
      throw asRestoreError(error, 'the capture failed');
    } finally {
      this.#options.signal?.removeEventListener('abort', onAbort);
      index.close();
    }
  }

  #startEncoders(): ReturnType<StartEncoder>[] {
    const { record, keys, backend } = this.#repository;
    const data = {
      location: backend.location,
      repositoryId: record.id,
      master: keys?.master,
      blockSize: record.blockSize,
      codec: record.codec,
      level: record.level,
      captureTag: this.#tag,
    };
    return Array.from({ length: this.#options.threads }, () => this.#options.startEncoder(data));
  }

  async #makePoint(
    arbiter: BlockArbiter,
    pool: EncodePool,
    pages: PackWriter,
    packs: ReadonlySet<string>,
  ): Promise<PointRecord> {
    const before = await this.#pointBefore();
    const used = new Set<string>();
    const disks: DiskRecord[] = [];
    for (const number of this.#plan.disks.keys()) {
      disks.push(await this.#captureDisk(number, before, arbiter, pages, packs, used));
    }
    await pool.finish();
    const setPages = [...cutPackSet(used)].map((page) =>
      this.#writeSetPage(page, before, pages, packs),
    );
    await pages.finish();
    await checkPacksOf(this.#repository.backend, this.#tag, used);
    const { machine, takenAt, consistency, archived, tags, configuration } = this.#plan;
    return {
      format: FORMAT_VERSION,
      id: this.#id,
      machine,
      takenAt: takenAt.toISOString(),
      capturedAt: new Date(this.#startedAt).toISOString(),
      consistency,
      archived,
      tags: { ...tags },
      ...(configuration === undefined ? {} : { configuration }),
      disks,
      packs: { count: used.size, pages: setPages.map(recordOf) },
      statistics: {
        sizeBytes: disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        ...arbiter.counts,
        writtenBytes: pool.writtenBytes + pages.writtenBytes,
        durationMs: Date.now() - this.#startedAt,
      },
    };
  }

  async #captureDisk(
    number: number,
    before: PointRecord | undefined,
    arbiter: BlockArbiter,
    pages: PackWriter,
    packs: ReadonlySet<string>,
    used: Set<string>,
  ): Promise<DiskRecord> {
    const { name, format, source } = this.#plan.disks[number] as CaptureDisk;
    const id = `disk${number}`;
    const record = before?.disks.find((disk) => disk.id === id);
    const previous =
      before === undefined || record === undefined
        ? undefined
        : this.#repository.openDisk(before, record);
    const startBytes = this.#reachedBytes;
    const builder = new MapBuilder({
      disk: number,
      sizeBytes: source.size,
      blockSize: this.#repository.record.blockSize,
      arbiter,
      pages,
      sealer: this.#repository.sealer,
      extents: new ExtentCursor(extentsOf(source)),
      previous,
      packs,
      changes: this.#changesOf(number, previous?.size),
      onReached: (offset) => {
        this.#reachedBytes = startBytes + offset;
      },
    });
    const root = await builder.build();
    this.#reachedBytes = startBytes + source.size;
    if (builder.unlisted.length > 0) throw untruthful(id, builder.unlisted);
    for (const pack of builder.usedPacks) used.add(pack);
    if (builder.tookOverUnread && before !== undefined) {
      for (const pack of await readPackSet(this.#repository.blocks, before)) used.add(pack);
    }
    const { size, sectorSize } = source;
    const disk = { id, name, sourceFormat: format, sizeBytes: size, sectorSize };
    return root === undefined ? disk : { ...disk, root: recordOf(root) };
  }

  #changesOf(
    number: number,
    previousSize: number | undefined,
  ): { ranges: RangeSet; mode: 'trust' | 'verify' } | undefined {
    const { changed, source } = this.#plan.disks[number] as CaptureDisk;
    if (changed === undefined) return undefined;
    if (previousSize !== source.size) {
      throw new RestoreError('INVALID', 'a list of changes needs a previous point of equal size', {
        where: {
          object: `disk${number}`,
          expected: `${source.size} bytes`,
          found: previousSize === undefined ? 'no previous point' : `${previousSize} bytes`,
        },
        hint: 'Capture once without --changed-blocks.',
      });
    }
    const mode = this.#plan.verifyUnchanged === true ? 'verify' : 'trust';
    return { ranges: new RangeSet(changed, source.size), mode };
  }

  async #pointBefore(): Promise<PointRecord | undefined> {
    const { basePointId, machine } = this.#plan;
    if (basePointId !== undefined) return await this.#basePoint(basePointId);
    try {
      for (const name of this.#repository.catalog.points.toReversed()) {
        if (name.machine !== machine) continue;
        const point = await this.#repository.point(name);
        if (!isCommitted(point)) return point;
      }
      return undefined;
    } catch (error) {
      if (this.#plan.disks.some(({ changed }) => changed !== undefined)) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.onWarning?.(`the previous point cannot be read, all is read anew: ${reason}`);
      return undefined;
    }
  }

  async #basePoint(wanted: string): Promise<PointRecord> {
    const name = this.#repository.catalog.points.find(({ id }) => id === wanted);
    if (name !== undefined) return await this.#repository.point(name);
    throw new RestoreError('NOT_FOUND', 'the point to compare with is not in the repository', {
      where: { object: this.#repository.backend.location, expected: wanted },
    });
  }

  /** A page of the list of packs: the previous point's own where it is the same. */
  #writeSetPage(
    plain: Uint8Array,
    before: PointRecord | undefined,
    pages: PackWriter,
    packs: ReadonlySet<string>,
  ): BlockReference {
    const id = this.#repository.sealer.idOf(plain);
    const hex = Buffer.from(id).toString('hex');
    const same = before?.packs.pages.find((page) => page.id === hex && packs.has(page.pack));
    return same === undefined ? writePage(pages, plain, id) : referenceOf(same);
  }

  /** The index only spares space: its trouble is never a capture's. */
  #remember(index: DedupIndex, arbiter: BlockArbiter): void {
    try {
      index.add(this.#id, arbiter.fresh);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.onWarning?.(`the local index was not updated: ${reason}`);
    } finally {
      arbiter.fresh.close();
    }
  }

  #reportOn(arbiter: BlockArbiter, pool: EncodePool, pages: PackWriter): void {
    const totalBytes = this.#plan.disks.reduce((sum, { source }) => sum + source.size, 0);
    this.#options.onStart?.(() => ({
      reachedBytes: this.#reachedBytes,
      totalBytes,
      ...arbiter.counts,
      writtenBytes: pool.writtenBytes + pages.writtenBytes,
    }));
  }
}

function untruthful(disk: string, ranges: readonly Extent[]): RestoreError {
  const shown = ranges.slice(0, 5).map(({ offset, length }) => `${offset}+${length}`);
  const more = ranges.length > shown.length ? ` and ${ranges.length - shown.length} more` : '';
  return new RestoreError('INVALID', 'the list of changed blocks left out changes', {
    where: { object: disk, found: `changes at ${shown.join(', ')}${more}` },
    hint: 'Nothing was published. Capture without --changed-blocks, and distrust what made the list.',
  });
}
