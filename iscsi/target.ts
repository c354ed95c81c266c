/** The iSCSI target: portals, exports and sessions. */
import type { AddressInfo, Server, Socket } from 'node:net';
import { RestoreError } from '../core/index.ts';
import { type LiveExport, makeExport, type TargetExport } from './export.ts';
import { DEFAULT_LIMITS, type IscsiLimits } from './limits.ts';
import type { IscsiLogger } from './logger.ts';
import type { LiveChallenges } from './login/chap.ts';
import { type LoginHost, LoginPhase, type LoginResult } from './login/login-phase.ts';
import type { LoginFailure } from './login/security.ts';
import { LoginThrottle } from './login/throttle.ts';
import { ASYNC_EVENT, LOGIN_STATUS, type LoginStatus } from './protocol/bhs.ts';
import { listen, type PortalAddress, targetAddresses } from './portals.ts';
import { BufferPool } from './protocol/buffer-pool.ts';
import { Connection, type TargetResources } from './session/connection.ts';
import {
  type ExportSnapshot,
  type IscsiEvent,
  logFields,
  type SessionSnapshot,
  snapshotOf,
} from './snapshots.ts';
import { TransferBuffers } from './session/transfer-buffers.ts';
import { Session, type SessionHost } from './session/session.ts';

export interface IscsiTargetOptions {
  /** Where to listen. Port 0 takes a free one. */
  readonly portals: readonly PortalAddress[];
  /** What discovery tells instead, where the local addresses are no use (NAT, a VM's network). */
  readonly advertise?: readonly PortalAddress[];
  readonly logger: IscsiLogger;
  readonly limits?: Partial<IscsiLimits>;
  /** Lets discovery without credentials list targets that need credentials to log in. */
  readonly openDiscovery?: boolean;
  /** Logins, refusals and ends of sessions, for an audit trail. */
  readonly onEvent?: (event: IscsiEvent) => void;
}

const SLAB_BYTES = 256 * 1024;
const MAX_IDLE_SLABS = 64;
const DEFAULT_GRACE_MS = 10_000;
const WATCH_INTERVAL_MS = 1_000;
const MAX_TSIH = 0xffff;
const MAX_DISCOVERY_SESSIONS = 32;

export class IscsiTarget {
  /** The addresses that are really listened on. */
  readonly portals: readonly PortalAddress[];
  readonly #options: IscsiTargetOptions;
  readonly #limits: IscsiLimits;
  readonly #resources: TargetResources;
  readonly #servers: readonly Server[];
  readonly #exports = new Map<string, LiveExport>();
  readonly #sessions = new Map<number, Session>();
  readonly #pending = new Map<Connection, string>();
  readonly #loginHost: LoginHost;
  readonly #sessionHost: SessionHost;
  readonly #silentSince = new Map<Session, number>();
  readonly #watch: NodeJS.Timeout;
  #lastTsih = 0;
  #closing = false;
  #draining = false;

  /** Listens on all portals, or throws what `listen` failed with as a `RestoreError`. */
  static async start(options: IscsiTargetOptions): Promise<IscsiTarget> {
    if (options.portals.length === 0) {
      throw new RestoreError('INVALID', 'an iSCSI target needs a portal', {
        hint: 'Give at least one address to listen on.',
      });
    }
    const servers: Server[] = [];
    try {
      for (const portal of options.portals) servers.push(await listen(portal));
    } catch (error) {
      for (const server of servers) server.close();
      throw error;
    }
    return new IscsiTarget(options, servers);
  }

  /** Use {@link IscsiTarget.start}. */
  private constructor(options: IscsiTargetOptions, servers: readonly Server[]) {
    this.#options = options;
    this.#servers = servers;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#resources = {
      limits: this.#limits,
      logger: options.logger,
      slabs: new BufferPool(SLAB_BYTES, MAX_IDLE_SLABS),
      buffers: new TransferBuffers(),
      budget: { usedBytes: 0 },
    };
    this.portals = servers.map((server) => {
      const { address, port } = server.address() as AddressInfo;
      return { host: address, port };
    });
    this.#loginHost = this.#makeLoginHost();
    this.#sessionHost = this.#makeSessionHost();
    for (const server of servers) {
      server.on('connection', (socket) => this.#accept(socket));
      // E.g. no file descriptor left for one more connection: the others go on.
      server.on('error', (error) => options.logger.error({ err: error }, 'an iSCSI portal failed'));
    }
    this.#watch = setInterval(() => this.#watchSilence(), WATCH_INTERVAL_MS);
    this.#watch.unref();
  }

  /** @throws RestoreError `INVALID` for an export that makes no sense, `EXISTS` for a used name. */
  addExport(options: TargetExport): void {
    const live = makeExport(options);
    const known = this.#exports.get(options.iqn);
    if (known !== undefined) {
      throw new RestoreError('EXISTS', 'there is an export of that name', {
        where: { object: options.iqn },
        hint: 'Remove it first, or choose another target name.',
      });
    }
    this.#exports.set(options.iqn, live);
  }

  /**
   * Takes an export away: refuses logins at once, asks its initiators to log out, and after the
   * grace closes what is left. Unknown names are no error.
   *
   * Resolves when nothing reads or writes the disk any more: the caller may close it.
   */
  async removeExport(iqn: string, { graceMs = DEFAULT_GRACE_MS } = {}): Promise<void> {
    const live = this.#exports.get(iqn);
    if (live === undefined) return;
    // Logins are refused first: an initiator that is asked to log out logs in again at once.
    live.closing = true;
    await this.#sendAway(() => this.#sessionsOf(live), graceMs);
    await live.unit.medium?.whenIdle();
    // Meanwhile another call may have removed it, and the name may be in use again.
    if (this.#exports.get(iqn) === live) this.#exports.delete(iqn);
  }

  /**
   * Ends everything in good order, before a shutdown or a restart: takes no new logins (initiators
   * are told to try again later), asks all to log out, waits, then closes as {@link close} does.
   */
  async drain({ graceMs = DEFAULT_GRACE_MS } = {}): Promise<void> {
    if (this.#closing) return;
    this.#draining = true;
    await this.#sendAway(() => [...this.#sessions.values()], graceMs);
    await this.close();
  }

  /** Asks sessions to log out, waits the grace, and drops those that stay. */
  async #sendAway(left: () => readonly Session[], graceMs: number): Promise<void> {
    for (const session of left()) {
      session.announce(ASYNC_EVENT.requestLogout, Math.ceil(graceMs / 1000));
    }
    const deadline = Date.now() + graceMs;
    while (left().length > 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(50, graceMs)));
    }
    for (const session of left()) session.drop();
    while (left().length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  exports(): readonly ExportSnapshot[] {
    return [...this.#exports.values()].map((live) => ({
      iqn: live.options.iqn,
      closing: live.closing,
      sessions: this.#sessionsOf(live).length,
      commands: live.commands,
      bytesRead: live.bytesRead,
      bytesWritten: live.bytesWritten,
    }));
  }

  sessions(): readonly SessionSnapshot[] {
    return [...this.#sessions.values()].map(snapshotOf);
  }

  /**
   * Stops listening and closes every connection, after telling the initiators. Resolves when no disk
   * is read or written any more.
   */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#watch);
    const closed = this.#servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    for (const session of this.#sessions.values()) session.drop();
    for (const connection of this.#pending.keys()) connection.destroy();
    await Promise.all(closed);
    for (const { unit } of this.#exports.values()) await unit.medium?.whenIdle();
    this.#exports.clear();
  }

  #accept(socket: Socket): void {
    const address = socket.remoteAddress ?? 'unknown';
    const fromThere = [...this.#pending.values()].filter((each) => each === address).length;
    const full =
      this.#closing ||
      this.#pending.size >= this.#limits.maxPendingLogins ||
      fromThere >= this.#limits.maxPendingLoginsPerAddress;
    if (full) {
      this.#options.logger.warn(
        { from: address },
        'too many logins are pending; connection refused',
      );
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, this.#resources, this.#limits.maxTextBytes);
    this.#pending.set(connection, address);
    socket.once('close', () => this.#pending.delete(connection));
    connection.enter(new LoginPhase(connection, this.#loginHost));
  }

  #makeLoginHost(): LoginHost {
    const liveChallenges: LiveChallenges = new Set();
    return {
      limits: this.#limits,
      logger: this.#options.logger,
      throttle: new LoginThrottle(),
      liveChallenges,
      openDiscovery: this.#options.openDiscovery ?? false,
      liveExports: () => [...this.#exports.values()].filter(({ closing }) => !closing),
      findExport: (iqn) => this.#exports.get(iqn),
      openSession: (connection, result) => this.#openSession(connection, result),
      loginRefused: (connection, failure, iqn) => this.#refused(connection, failure, iqn),
    };
  }

  #makeSessionHost(): SessionHost {
    return {
      resources: this.#resources,
      targetAddresses: (connection) =>
        targetAddresses(connection, this.portals, this.#options.advertise),
      resetUnit: (live) => {
        for (const session of this.#sessionsOf(live)) session.tasks?.abortAll();
        live.unit.reset();
      },
      coldReset: (live, except) => {
        for (const session of this.#sessionsOf(live)) if (session !== except) session.drop();
      },
      whenSettled: (live) => {
        const sessions = live === undefined ? [] : this.#sessionsOf(live);
        const waits = sessions.flatMap(({ tasks }) => tasks?.whenSettled() ?? []);
        return waits.length === 0 ? undefined : Promise.all(waits);
      },
      abortTasksOf: async (live, ports) => {
        const hit = this.#sessionsOf(live).filter(({ nexus }) => ports.has(nexus.portName));
        for (const session of hit) session.tasks?.abortAll();
        await Promise.all(hit.flatMap(({ tasks }) => tasks?.whenSettled() ?? []));
      },
      sessionClosed: (session) => this.#sessionClosed(session),
    };
  }

  #openSession(
    connection: Connection,
    result: LoginResult,
  ): { readonly tsih: number; readonly enter: () => void } | LoginStatus {
    const { party } = result;
    const live = party.kind === 'target' ? party.live : undefined;
    if (this.#closing || this.#draining) return LOGIN_STATUS.serviceUnavailable;
    if (live?.closing === true) return LOGIN_STATUS.targetNotFound;
    const older = live === undefined ? undefined : this.#samePort(live, result);
    if (result.tsih !== 0) {
      // One connection a session: only the same one may come back, in place of the old.
      if (older?.identity.tsih !== result.tsih) return LOGIN_STATUS.sessionDoesNotExist;
      if (older.identity.cid !== result.cid) return LOGIN_STATUS.tooManyConnections;
    }
    if (live === undefined) this.#makeRoomForDiscovery();
    if (older === undefined && this.#sessions.size >= this.#limits.maxSessions) {
      return LOGIN_STATUS.outOfResources;
    }
    if (older !== undefined) this.#end(older);
    const tsih = result.tsih === 0 ? this.#freeTsih() : result.tsih;
    return { tsih, enter: () => this.#enter(connection, result, live, tsih) };
  }

  #enter(
    connection: Connection,
    result: LoginResult,
    live: LiveExport | undefined,
    tsih: number,
  ): void {
    const { party, initiatorName, isid, cid } = result;
    const maySee = party.kind === 'discovery' ? party.maySee : () => false;
    const session = new Session(
      connection,
      {
        initiatorName,
        isid,
        tsih,
        cid,
        live,
        visible: () => this.#loginHost.liveExports().filter(maySee),
      },
      result.parameters,
      this.#sessionHost,
      result.firstCmdSn,
    );
    this.#pending.delete(connection);
    this.#sessions.set(tsih, session);
    this.#silentSince.set(session, Date.now());
    connection.enter(session);
    const snapshot = snapshotOf(session);
    this.#options.logger.info(logFields(snapshot), 'iSCSI session opened');
    this.#options.onEvent?.({ kind: 'opened', session: snapshot });
  }

  /** The session that a new login of the same initiator port replaces. RFC 7143 section 6.3.5. */
  #samePort(live: LiveExport, { initiatorName, isid }: LoginResult): Session | undefined {
    return this.#sessionsOf(live).find(
      ({ identity }) => identity.initiatorName === initiatorName && identity.isid === isid,
    );
  }

  /** Discovery may need no credentials: it must not take the places of those who have them. */
  #makeRoomForDiscovery(): void {
    const open = [...this.#sessions.values()].filter(({ identity }) => identity.live === undefined);
    const tooMany = Math.max(0, open.length + 1 - MAX_DISCOVERY_SESSIONS);
    for (const oldest of open.slice(0, tooMany)) this.#end(oldest);
  }

  /** Ends a session now: nothing of it is answered any more. */
  #end(session: Session): void {
    session.connection.destroy();
    session.onClosed();
  }

  #sessionClosed(session: Session): void {
    this.#silentSince.delete(session);
    if (this.#sessions.get(session.identity.tsih) !== session) return;
    this.#sessions.delete(session.identity.tsih);
    const snapshot = snapshotOf(session);
    this.#options.logger.info(logFields(snapshot), 'iSCSI session closed');
    this.#options.onEvent?.({ kind: 'closed', session: snapshot });
  }

  #refused(connection: Connection, failure: LoginFailure, iqn: string | undefined): void {
    const { status, reason, user } = failure;
    const address = connection.remoteAddress;
    const code = status.toString(16).padStart(4, '0');
    this.#options.logger.warn({ from: address, iqn, user, status: code, reason }, 'login refused');
    this.#options.onEvent?.({ kind: 'refused', address, iqn, user, status, reason });
  }

  #freeTsih(): number {
    do this.#lastTsih = (this.#lastTsih % MAX_TSIH) + 1;
    while (this.#sessions.has(this.#lastTsih));
    return this.#lastTsih;
  }

  #sessionsOf(live: LiveExport): readonly Session[] {
    return [...this.#sessions.values()].filter(({ identity }) => identity.live === live);
  }

  /** Pings initiators that say nothing, and drops those that do not answer. */
  #watchSilence(): void {
    const now = Date.now();
    for (const [session, since] of this.#silentSince) {
      if (session.connection.heard) {
        session.connection.heard = false;
        this.#silentSince.set(session, now);
        continue;
      }
      const silentMs = now - since;
      if (silentMs > this.#limits.idleBeforePingMs + this.#limits.pingTimeoutMs) {
        this.#options.logger.warn(logFields(snapshotOf(session)), 'initiator is silent; dropped');
        session.connection.destroy();
      } else if (silentMs > this.#limits.idleBeforePingMs && !session.pingIsOut) session.ping();
    }
  }
}
