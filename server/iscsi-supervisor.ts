import { type ChildProcess, fork } from 'node:child_process';
import { fromPlainError, RestoreError } from '../core/index.ts';
import type {
  HostPort,
  IscsiActivity,
  IscsiExport,
  IscsiOpened,
  IscsiRequestName,
  IscsiRequests,
  IscsiStart,
  ReplyMessage,
} from './iscsi-messages.ts';
import type { Logger } from './logger.ts';

const HEAP_MEGABYTES = 1024;
/** Restarts are spaced out, so that a process that cannot live does not take a core. */
const RESTART_DELAYS_MS = [100, 500, 2_000, 10_000] as const;
/** A process that has lived this long starts again from the shortest delay. */
const SETTLED_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;

interface Waiting {
  readonly resolve: (body: unknown) => void;
  readonly reject: (error: RestoreError) => void;
}

/**
 * Keeps the iSCSI process alive. When it dies, a new one takes its portal and its exports, names and
 * identities unchanged, so that initiators log in again by themselves.
 */
export class IscsiSupervisor {
  /** Where it listens. */
  readonly portal: HostPort;
  readonly #start: IscsiStart;
  readonly #logger: Logger;
  readonly #exports = new Map<string, IscsiExport>();
  readonly #waiting = new Map<number, Waiting>();
  #child: ChildProcess;
  #number = 0;
  #failures = 0;
  #startedAt = Date.now();
  #stopping = false;
  #ready: Promise<void> = Promise.resolve();

  private constructor(child: ChildProcess, start: IscsiStart, logger: Logger) {
    this.#child = child;
    this.#start = start;
    this.#logger = logger;
    this.portal = start.listen;
    this.#listenTo(child);
  }

  /** Starts the process. @throws RestoreError what opening the repository or listening threw. */
  static async start(options: IscsiStart, logger: Logger): Promise<IscsiSupervisor> {
    const child = spawn();
    const first = new IscsiSupervisor(child, options, logger);
    try {
      const { portal } = await first.#request('start', options);
      // A port chosen by the system must stay the same over restarts.
      return first.#withPortal(portal);
    } catch (error) {
      await first.stop();
      throw error;
    }
  }

  get processId(): number | undefined {
    return this.#child.pid;
  }

  async export(wanted: IscsiExport): Promise<IscsiOpened> {
    await this.#ready;
    const opened = await this.#request('export', wanted);
    const { overlay } = wanted;
    // Once given, an identity stays: the next opening must not give another.
    const again = overlay === undefined ? {} : { overlay: { ...overlay, newIdentity: false } };
    this.#exports.set(wanted.iqn, { ...wanted, ...again });
    return opened;
  }

  async revoke(iqn: string, graceMs: number): Promise<void> {
    await this.#ready;
    this.#exports.delete(iqn);
    await this.#request('revoke', { iqn, graceMs });
  }

  async activity(): Promise<readonly IscsiActivity[]> {
    await this.#ready;
    return await this.#request('activity', null);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const force = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(force);
  }

  #withPortal(portal: HostPort): IscsiSupervisor {
    Object.assign(this, { portal });
    return this;
  }

  #listenTo(child: ChildProcess): void {
    child.on('message', (reply: ReplyMessage) => this.#receive(reply));
    child.on('error', (error) => this.#logger.error({ err: error }, 'the iSCSI process failed'));
    child.on('exit', (code, signal) => this.#lose(code, signal));
  }

  #receive(reply: ReplyMessage): void {
    const waiting = this.#waiting.get(reply.number);
    this.#waiting.delete(reply.number);
    if (reply.ok) {
      waiting?.resolve(reply.body);
      return;
    }
    waiting?.reject(fromPlainError(reply.error));
  }

  #request<K extends IscsiRequestName>(
    name: K,
    body: IscsiRequests[K]['in'],
  ): Promise<IscsiRequests[K]['out']> {
    const number = this.#number;
    this.#number += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, {
        resolve: (out) => resolve(out as IscsiRequests[K]['out']),
        reject,
      });
      this.#child.send({ number, name, body }, (error) => {
        if (error === null) return;
        this.#waiting.delete(number);
        reject(new RestoreError('IO', 'the iSCSI process does not listen', { cause: error }));
      });
    });
  }

  #lose(code: number | null, signal: NodeJS.Signals | null): void {
    for (const { reject } of this.#waiting.values()) {
      reject(new RestoreError('IO', 'the iSCSI process ended'));
    }
    this.#waiting.clear();
    if (this.#stopping) return;
    this.#failures = Date.now() - this.#startedAt > SETTLED_MS ? 1 : this.#failures + 1;
    this.#logger.error({ code, signal, failures: this.#failures }, 'the iSCSI process ended');
    this.#ready = this.#restart();
  }

  async #restart(): Promise<void> {
    const last = RESTART_DELAYS_MS.length - 1;
    const delayMs = RESTART_DELAYS_MS[Math.min(last, this.#failures - 1)] as number;
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    if (this.#stopping) return;
    this.#startedAt = Date.now();
    this.#child = spawn();
    this.#listenTo(this.#child);
    try {
      await this.#request('start', { ...this.#start, listen: this.portal });
      for (const wanted of this.#exports.values()) await this.#openAgain(wanted);
      this.#logger.info({ exports: this.#exports.size }, 'the iSCSI process is back');
    } catch (error) {
      this.#logger.error({ err: error }, 'the iSCSI process did not come back');
      // Its end, forced here where need be, brings the next attempt.
      this.#child.kill('SIGKILL');
    }
  }

  /** One disk that cannot be opened any more must not keep the others closed. */
  async #openAgain(wanted: IscsiExport): Promise<void> {
    try {
      await this.#request('export', wanted);
    } catch (error) {
      this.#logger.error({ err: error, iqn: wanted.iqn }, 'an export did not come back');
    }
  }
}

function spawn(): ChildProcess {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const module = new URL(`./iscsi-process.${extension}`, import.meta.url);
  return fork(module, {
    serialization: 'advanced',
    execArgv: [
      '--disable-warning=ExperimentalWarning',
      `--max-old-space-size=${HEAP_MEGABYTES}`,
      // The heap is small and collected often, because what sockets receive lies outside it: helper
      // threads then cost more than they save (a quarter of the processor time of 1 MiB writes).
      '--single-threaded-gc',
    ],
  });
}
