import { createHash, randomBytes } from 'node:crypto';
import { RestoreError, nearest } from '../core/index.ts';
import { type NativeRepository, resolveDisk } from '../store-reader/index.ts';
import { checkChap, generateSecret } from './chap.ts';
import type { HostPort } from './iscsi-messages.ts';
import type { IscsiSupervisor } from './iscsi-supervisor.ts';
import type { Logger } from './logger.ts';

/** Our names under RFC 7143 section 4.2.7.3: the date at which the project had its name. */
const IQN_PREFIX = 'iqn.2026-11.org.rehydrate';
const CHAP_USER = 'rehydrate';
const ADDRESS_PART_LENGTH_MAX = 63;

/** A request for a disk to be opened. */
export interface ExportRequest {
  readonly address: string;
  readonly chapUser?: string | undefined;
  readonly chapSecret?: string | undefined;
}

/** An open disk. */
export interface ExportRecord {
  readonly id: string;
  readonly address: string;
  readonly iqn: string;
  /** `host:port` for initiators. */
  readonly portal: string;
  readonly lun: 0;
  readonly readOnly: true;
  readonly sizeBytes: number;
  readonly createdAt: string;
  readonly chap: { readonly user: string; readonly secret: string };
}

/** An open disk as a list shows it: without its secret, with who is using it. */
export interface ExportListing extends Omit<ExportRecord, 'chap'> {
  readonly chap: { readonly user: string };
  readonly bytesRead: number;
  readonly sessions: readonly {
    readonly initiatorName: string;
    readonly address: string;
    readonly openedAt: string;
  }[];
}

const REVOKE_GRACE_MS = 3_000;

/** What is open, and through which names. */
export class Exports {
  readonly #repository: NativeRepository;
  readonly #iscsi: IscsiSupervisor;
  readonly #logger: Logger;
  readonly #portal: HostPort;
  readonly #records = new Map<string, ExportRecord>();
  /** Names in use, those of exports that are being opened included. */
  readonly #names = new Set<string>();

  /** @param advertise the portal to tell initiators, where it is not the one listened on. */
  constructor(
    repository: NativeRepository,
    iscsi: IscsiSupervisor,
    logger: Logger,
    advertise: HostPort | undefined,
  ) {
    this.#repository = repository;
    this.#iscsi = iscsi;
    this.#logger = logger;
    this.#portal = advertise ?? iscsi.portal;
  }

  /** @throws RestoreError `NOT_FOUND` with the nearest names, `INVALID`, `CORRUPT`. */
  async open(request: ExportRequest): Promise<ExportRecord> {
    const user = request.chapUser ?? CHAP_USER;
    const secret = request.chapSecret ?? generateSecret();
    checkChap(user, secret);
    await this.#repository.refresh();
    const { name, point, disk } = await resolveDisk(this.#repository, request.address);
    const seed = `${this.#repository.record.id} ${point.id} ${disk.id}`;
    const address = `${point.machine}@${point.takenAt}/${disk.id}`;
    const iqn = this.#freeIqn(iqnOf(address, seed));
    const wanted = {
      iqn,
      alias: address,
      point: name,
      disk: disk.id,
      identitySeed: seed,
      chap: { user, secret },
    };
    const { sizeBytes } = await this.#iscsi.export(wanted).catch((error: unknown) => {
      this.#names.delete(iqn);
      throw error;
    });
    const record: ExportRecord = {
      id: randomBytes(4).toString('hex'),
      address,
      iqn,
      portal: formatHostPort(this.#portal),
      lun: 0,
      readOnly: true,
      sizeBytes,
      createdAt: new Date().toISOString(),
      chap: { user, secret },
    };
    this.#records.set(record.id, record);
    this.#logger.info({ export: record.id, address, iqn, user }, 'opened a disk over iSCSI');
    return record;
  }

  async list(): Promise<ExportListing[]> {
    const activity = new Map((await this.#iscsi.activity()).map((entry) => [entry.iqn, entry]));
    return [...this.#records.values()].map(({ chap, ...record }) => {
      const seen = activity.get(record.iqn);
      const { bytesRead = 0, sessions = [] } = seen ?? {};
      return { ...record, chap: { user: chap.user }, bytesRead, sessions };
    });
  }

  /** Closes an export, by id or target name. @throws RestoreError `NOT_FOUND`. */
  async revoke(wanted: string): Promise<void> {
    const record = [...this.#records.values()].find(
      ({ id, iqn }) => id === wanted || iqn === wanted,
    );
    if (record === undefined) {
      const near = nearest(wanted, this.#records.keys());
      throw new RestoreError('NOT_FOUND', `nothing is exported under ${wanted}`, {
        hint:
          near.length > 0
            ? `Did you mean ${near.join(' or ')}?`
            : '`rehydrate exports` lists what is open.',
      });
    }
    this.#records.delete(record.id);
    await this.#iscsi.revoke(record.iqn, REVOKE_GRACE_MS);
    this.#names.delete(record.iqn);
    const { id, address, iqn } = record;
    this.#logger.info({ export: id, address, iqn }, 'revoked an export');
  }

  /** One point can be open twice, to two people with a secret each. */
  #freeIqn(base: string): string {
    for (let number = 1; ; number += 1) {
      const iqn = number === 1 ? base : `${base}.${number}`;
      if (this.#names.has(iqn)) continue;
      this.#names.add(iqn);
      return iqn;
    }
  }
}

/** The target name of a disk of a restore point: the same every time, no two alike. */
function iqnOf(address: string, seed: string): string {
  const readable = address
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]+/g, '-')
    .slice(0, ADDRESS_PART_LENGTH_MAX);
  const unique = createHash('sha256').update(seed).digest('hex').slice(0, 16);
  return `${IQN_PREFIX}:${readable}.${unique}`;
}

export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
