import { randomBytes } from 'node:crypto';
import { asRestoreError, nearest, RestoreError } from '../core/index.ts';
import { type NativeRepository, type PointName, resolveDisk } from '../store-reader/index.ts';
import { readOverlayRecord } from '../store-writer/index.ts';
import {
  checkRequest,
  credentialsOf,
  type ExportListing,
  type ExportRecord,
  type ExportRequest,
  iqnOf,
} from './export-request.ts';
import { formatHostPort } from './host-port.ts';
import type { HostPort, IscsiExport } from './iscsi-messages.ts';
import type { IscsiSupervisor } from './iscsi-supervisor.ts';
import type { Logger } from './logger.ts';
import type { SavedExport, ServiceState } from './state.ts';

const REVOKE_GRACE_MS = 3_000;
const EXPIRY_INTERVAL_MS = 1_000;
/** What overlays leave free on their file system. */
const FREE_SPACE_FLOOR_BYTES = 256 * 1024 * 1024;

/** A disk, and the overlay that is to take its writes. */
interface Wanted {
  readonly address: string;
  readonly point: PointName;
  readonly disk: string;
  readonly sizeBytes: number;
  readonly overlay: string | undefined;
}

export interface ExportsParts {
  readonly repository: NativeRepository;
  readonly iscsi: IscsiSupervisor;
  readonly state: ServiceState;
  readonly logger: Logger;
  /** The portal to tell initiators, where it is not the one listened on. */
  readonly advertise: HostPort | undefined;
}

/** What is open, and through which names. It outlives a restart of the service. */
export class Exports {
  readonly #parts: ExportsParts;
  readonly #saved = new Map<string, SavedExport>();
  /** Names in use, those of exports that are being opened included. */
  readonly #names = new Set<string>();
  readonly #expiry: NodeJS.Timeout;

  constructor(parts: ExportsParts) {
    this.#parts = parts;
    this.#expiry = setInterval(() => void this.#revokeExpired(), EXPIRY_INTERVAL_MS);
    this.#expiry.unref();
  }

  /** Opens again what was open when the service ended, under the same names and secrets. */
  async restore(): Promise<void> {
    const { state, logger } = this.#parts;
    for (const saved of state.load()) {
      this.#saved.set(saved.id, saved);
      this.#names.add(saved.iqn);
      if (isExpired(saved)) continue;
      try {
        await this.#parts.iscsi.export(this.#toOpen(saved, this.#pointOf(saved), false, {}));
        logger.info({ export: saved.id, address: saved.address }, 'opened again');
      } catch (error) {
        logger.error({ err: error, export: saved.id }, 'an export could not be opened again');
      }
    }
    await this.#revokeExpired();
  }

  /** @throws RestoreError `NOT_FOUND` with the nearest names, `INVALID`, `BUSY`, `CORRUPT`. */
  async open(request: ExportRequest): Promise<ExportRecord> {
    checkRequest(request);
    const chap = credentialsOf(request);
    await this.#parts.repository.refresh();
    const wanted = await this.#find(request);
    const id = this.#parts.repository.record.id;
    const seed = [id, wanted.point.id, wanted.disk, wanted.overlay].filter(Boolean).join(' ');
    const saved: SavedExport = {
      id: randomBytes(4).toString('hex'),
      address: wanted.address,
      iqn: this.#freeIqn(iqnOf(wanted.address, seed), wanted.overlay),
      pointId: wanted.point.id,
      disk: wanted.disk,
      identitySeed: seed,
      sizeBytes: wanted.sizeBytes,
      createdAt: new Date().toISOString(),
      chap,
      ...expiryOf(request),
      ...allowOf(request),
      ...(wanted.overlay === undefined ? {} : { overlay: wanted.overlay }),
    };
    try {
      const toOpen = this.#toOpen(saved, wanted.point, request.newIdentity === true, request);
      const { identity } = await this.#parts.iscsi.export(toOpen);
      this.#saved.set(saved.id, saved);
      await this.#save();
      this.#log('opened a disk over iSCSI', saved);
      return { ...this.#recordOf(saved), ...(identity === undefined ? {} : { identity }) };
    } catch (error) {
      this.#names.delete(saved.iqn);
      throw error;
    }
  }

  async list(): Promise<ExportListing[]> {
    const activity = await this.#parts.iscsi.activity();
    const byName = new Map(activity.map((entry) => [entry.iqn, entry]));
    return [...this.#saved.values()].map((saved) => {
      const { chap, ...record } = this.#recordOf(saved);
      const { bytesRead = 0, bytesWritten = 0, sessions = [] } = byName.get(saved.iqn) ?? {};
      return { ...record, chap: { user: chap.user }, bytesRead, bytesWritten, sessions };
    });
  }

  /** The export that an overlay is open through, if any. */
  usingOverlay(overlay: string): SavedExport | undefined {
    return [...this.#saved.values()].find((saved) => saved.overlay === overlay);
  }

  /** Closes an export, by id or target name. @throws RestoreError `NOT_FOUND`. */
  async revoke(wanted: string): Promise<void> {
    const saved = [...this.#saved.values()].find(({ id, iqn }) => id === wanted || iqn === wanted);
    if (saved === undefined) {
      const near = nearest(wanted, this.#saved.keys());
      throw new RestoreError('NOT_FOUND', `nothing is exported under ${wanted}`, {
        hint:
          near.length > 0
            ? `Did you mean ${near.join(' or ')}?`
            : '`rehydrate exports` lists what is open.',
      });
    }
    this.#saved.delete(saved.id);
    await this.#save();
    await this.#parts.iscsi.revoke(saved.iqn, REVOKE_GRACE_MS);
    this.#names.delete(saved.iqn);
    this.#log('revoked an export', saved);
  }

  close(): void {
    clearInterval(this.#expiry);
  }

  async #find(request: ExportRequest): Promise<Wanted> {
    if (request.overlay !== undefined) return await this.#findOverlay(request.overlay);
    const { name, point, disk } = await resolveDisk(this.#parts.repository, `${request.address}`);
    return {
      address: `${point.machine}@${point.takenAt}/${disk.id}`,
      point: name,
      disk: disk.id,
      sizeBytes: disk.sizeBytes,
      overlay: request.writable === true ? randomBytes(16).toString('hex') : undefined,
    };
  }

  async #findOverlay(overlay: string): Promise<Wanted> {
    const user = this.usingOverlay(overlay);
    if (user !== undefined) {
      throw new RestoreError('BUSY', 'the overlay is open already', {
        where: { object: `export ${user.id}` },
        hint: `Use that export, or close it with \`rehydrate revoke ${user.id}\`.`,
      });
    }
    const record = await readOverlayRecord(this.#parts.state.overlayFolder(overlay));
    const point = this.#pointOf(record);
    const address = `${point.machine}@${point.takenAt}/${record.diskId}`;
    return { address, point, disk: record.diskId, sizeBytes: record.sizeBytes, overlay };
  }

  #pointOf({ pointId }: { readonly pointId: string }): PointName {
    const point = this.#parts.repository.catalog.points.find(({ id }) => id === pointId);
    if (point !== undefined) return point;
    throw new RestoreError('NOT_FOUND', 'the restore point is not there any more', {
      where: { expected: pointId },
    });
  }

  #toOpen(
    saved: SavedExport,
    point: PointName,
    newIdentity: boolean,
    { sizeLimitBytes, note }: Pick<ExportRequest, 'sizeLimitBytes' | 'note'>,
  ): IscsiExport {
    const { iqn, disk, identitySeed, chap, allow, overlay: id } = saved;
    const common = {
      iqn,
      alias: saved.address,
      point,
      disk,
      identitySeed,
      chap: definedMutual(chap),
      ...(allow === undefined ? {} : { allow: definedLists(allow) }),
    };
    if (id === undefined) return common;
    const create = {
      id,
      repositoryId: this.#parts.repository.record.id,
      machine: point.machine,
      pointId: point.id,
      diskId: disk,
      sizeLimitBytes: sizeLimitBytes ?? saved.sizeBytes,
      freeSpaceFloorBytes: FREE_SPACE_FLOOR_BYTES,
      ...(note === undefined ? {} : { note }),
    };
    const folder = this.#parts.state.overlayFolder(id);
    return { ...common, overlay: { folder, create, newIdentity } };
  }

  #recordOf(saved: SavedExport): ExportRecord {
    const { id, address, iqn, sizeBytes, createdAt, expiresAt, overlay, chap } = saved;
    return {
      id,
      address,
      iqn,
      portal: formatHostPort(this.#parts.advertise ?? this.#parts.iscsi.portal),
      lun: 0,
      readOnly: overlay === undefined,
      sizeBytes,
      createdAt,
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...(overlay === undefined ? {} : { overlay }),
      chap,
    };
  }

  /** One point can be open twice, to two people with a secret each; an overlay only once. */
  #freeIqn(base: string, overlay: string | undefined): string {
    for (let number = 1; ; number += 1) {
      const iqn = number === 1 ? base : `${base}.${number}`;
      if (this.#names.has(iqn)) {
        if (overlay !== undefined) throw new RestoreError('BUSY', 'the overlay is being opened');
        continue;
      }
      this.#names.add(iqn);
      return iqn;
    }
  }

  async #revokeExpired(): Promise<void> {
    for (const saved of [...this.#saved.values()].filter(isExpired)) {
      try {
        await this.revoke(saved.id);
      } catch (error) {
        const failure = asRestoreError(error, 'an expired export could not be closed');
        this.#parts.logger.error({ err: failure, export: saved.id }, 'an export did not end');
      }
    }
  }

  #save(): Promise<void> {
    return this.#parts.state.save([...this.#saved.values()]);
  }

  #log(message: string, { id, address, iqn, chap, overlay, expiresAt }: SavedExport): void {
    const fields = { export: id, address, iqn, user: chap.user, overlay, expiresAt };
    this.#parts.logger.info(fields, message);
  }
}

function isExpired({ expiresAt }: SavedExport): boolean {
  return expiresAt !== undefined && Date.parse(expiresAt) <= Date.now();
}

function expiryOf({ expiresInMs }: ExportRequest): Pick<SavedExport, 'expiresAt'> {
  if (expiresInMs === undefined) return {};
  return { expiresAt: new Date(Date.now() + expiresInMs).toISOString() };
}

function allowOf({ allowInitiators, allowAddresses }: ExportRequest): Pick<SavedExport, 'allow'> {
  if (allowInitiators === undefined && allowAddresses === undefined) return {};
  return {
    allow: {
      ...(allowInitiators === undefined ? {} : { initiators: [...allowInitiators] }),
      ...(allowAddresses === undefined ? {} : { addresses: [...allowAddresses] }),
    },
  };
}

function definedMutual({ user, secret, mutual }: SavedExport['chap']): IscsiExport['chap'] {
  return mutual === undefined ? { user, secret } : { user, secret, mutual };
}

function definedLists({
  initiators,
  addresses,
}: NonNullable<SavedExport['allow']>): NonNullable<IscsiExport['allow']> {
  return {
    ...(initiators === undefined ? {} : { initiators }),
    ...(addresses === undefined ? {} : { addresses }),
  };
}
