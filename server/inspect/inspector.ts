import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { fromPlainError, RestoreError, showText } from '../../core/index.ts';
import type { Credential } from '../../store-reader/index.ts';
import { checkMessage } from './check-message.ts';
import type {
  InspectOutcome,
  InspectRemark,
  InspectRequestName,
  InspectRequests,
  ToInspector,
} from './messages.ts';
import { StartCache } from './start-cache.ts';
import { WATCH_LIMITS, Watchdog, type WatchLimits } from './watchdog.ts';

export interface InspectorOptions {
  /** Folder of the repository. */
  readonly repository: string;
  readonly credential: Credential | undefined;
  /** Whether it writes to this process's own standard output, or to {@link Inspector.output}. */
  readonly output: 'inherit' | 'pipe';
  readonly limits?: Partial<WatchLimits>;
  /** The program to run instead of the inspector: for tests of what may be done in one. */
  readonly program?: string;
}

/** V8's heap. With what comes on top, the watchdog ends the process first, and says why. */
const HEAP_MEGABYTES = 420;
/** A larger young generation is little faster here, and three times this much memory. */
const YOUNG_MEGABYTES = 8;
/**
 * What is read lies outside the heap and counts towards it: from V8's own start of a few megabytes, a
 * listing would be marked through twenty times over, a third of all its processor time.
 */
const OLD_MEGABYTES_INITIAL = 64;
/**
 * What Node's permission model leaves open (ADR 40): a debugger by signal, V8's own flags, with which it
 * writes files, code made of text, and databases, which are files too.
 */
const CLOSED_FLAGS = [
  '--disable-sigusr1',
  '--freeze-flags-after-init',
  '--disallow-code-generation-from-strings',
  '--no-experimental-sqlite',
];
/** Of glibc's malloc: each one keeps what is freed for itself (mallopt(3)). */
const MALLOC_ARENAS = '2';

/** Of one request: one in its right mind has fewer, and no terminal or log should fill. */
const REMARKS_MAX = 10_000;

interface Waiting {
  readonly resolve: (outcome: InspectOutcome) => void;
  readonly reject: (error: RestoreError) => void;
  readonly onRemark: (remark: InspectRemark) => void;
}

/**
 * A process of its own in which guests' bytes are parsed. It may read the repository and the program,
 * and nothing else; it cannot write, nor start processes, nor load native code; it is ended when it
 * takes too much memory or hangs (ADR 40).
 */
export class Inspector {
  /** What it writes, when it was started with `output: 'pipe'`. */
  readonly output: Readable | undefined;
  readonly #child: ChildProcess;
  readonly #cache: StartCache | undefined;
  /** What is to be said to it once it is ready. */
  #held: ToInspector[] | undefined = [];
  readonly #watchdog: Watchdog | undefined;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ended: Promise<void>;
  #end: RestoreError | undefined;
  #number = 0;
  #remarks = 0;

  private constructor(child: ChildProcess, cache: StartCache | undefined, limits: WatchLimits) {
    this.#child = child;
    this.#cache = cache;
    this.output = child.stdout ?? undefined;
    if (child.pid !== undefined) {
      this.#watchdog = new Watchdog(child.pid, limits, () => child.kill('SIGKILL'));
    }
    this.#ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#lose(code, signal);
        resolve();
      });
      child.once('error', (cause) => {
        this.#fail(new RestoreError('IO', 'the inspector did not start', { cause }));
        resolve();
      });
    });
    child.on('message', (message) => this.#receive(message));
    child.stderr?.on('data', tellLines);
  }

  /** Starts one. Whatever is wrong with the repository is told by the first request. */
  static start(options: InspectorOptions): Inspector {
    const { repository, credential, limits } = options;
    refuseDebugger();
    const cache = StartCache.make();
    const child = startProcess(options, cache?.folder);
    const inspector = new Inspector(child, cache, { ...WATCH_LIMITS, ...limits });
    inspector.#send({ kind: 'start', repository: realPath(repository), credential });
    return inspector;
  }

  get processId(): number | undefined {
    return this.#child.pid;
  }

  /**
   * Has it write the answer to its output.
   *
   * @param onRemark what is worth telling on the way.
   * @throws RestoreError what the request threw; `LIMIT` when it was ended for taking too much, `IO`
   *   when it ended by itself.
   */
  request<K extends InspectRequestName>(
    name: K,
    body: InspectRequests[K],
    onRemark: (remark: InspectRemark) => void = () => {},
  ): Promise<InspectOutcome> {
    const number = this.#number;
    this.#number += 1;
    this.#remarks = 0;
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) {
        reject(this.#end);
        return;
      }
      this.#waiting.set(number, { resolve, reject, onRemark });
      this.#send({ kind: 'request', number, name, body });
    });
  }

  /** Ends it; requests that run are `CANCELLED`. */
  async close(): Promise<void> {
    this.#fail(new RestoreError('CANCELLED', 'the inspector has been closed'));
    if (this.#child.connected) this.#child.disconnect();
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  #send(message: ToInspector): void {
    if (this.#held !== undefined) {
      this.#held.push(message);
      return;
    }
    // A failure to send is followed by the process's end, which tells everyone who waits.
    this.#child.send(message, () => undefined);
  }

  #receive(said: unknown): void {
    const message = checkMessage(said);
    if (message === undefined) return;
    this.#watchdog?.heard();
    if (message.kind === 'alive') return;
    if (message.kind === 'ready') {
      this.#begin();
      return;
    }
    if (message.kind === 'remark') {
      this.#tell(message.remark);
      return;
    }
    const waiting = this.#waiting.get(message.number);
    this.#waiting.delete(message.number);
    if (message.ok) waiting?.resolve(message.outcome);
    else waiting?.reject(fromPlainError(message.error));
  }

  #tell(remark: InspectRemark): void {
    this.#remarks += 1;
    if (this.#remarks > REMARKS_MAX + 1) return;
    const rest: InspectRemark = {
      kind: 'warning',
      message: 'there are more remarks than are told',
    };
    const told = this.#remarks > REMARKS_MAX ? rest : remark;
    for (const { onRemark } of this.#waiting.values()) onRemark(told);
  }

  /** It has read nothing of others yet: the last moment to keep what it compiled. */
  #begin(): void {
    const held = this.#held;
    if (held === undefined) return;
    this.#cache?.keep();
    this.#held = undefined;
    for (const message of held) this.#send(message);
  }

  #lose(code: number | null, signal: NodeJS.Signals | null): void {
    this.#fail(
      this.#watchdog?.reason ??
        new RestoreError('IO', 'the inspector ended before it was done', {
          where: { found: signal ?? `exit status ${code}` },
          hint: 'The volume may be hostile or damaged. Export the disk instead, and please report it.',
        }),
    );
  }

  #fail(error: RestoreError): void {
    this.#watchdog?.stop();
    this.#cache?.remove();
    this.#end ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#end);
    this.#waiting.clear();
  }
}

/** Signal 10 makes Node open its debugger to whoever connects, unless somebody listens for it. */
function refuseDebugger(): void {
  if (!process.listeners('SIGUSR1').includes(ignore)) process.on('SIGUSR1', ignore);
}

function ignore(): void {}

/** What V8 says at its end, or anything else that an inspector does not say over IPC. */
function tellLines(chunk: Uint8Array): void {
  const lines = Buffer.from(chunk).toString('utf8').split('\n');
  process.stderr.write(lines.map(showText).join('\n'));
}

function startProcess(
  { repository, output, program }: InspectorOptions,
  cache: string | undefined,
): ChildProcess {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const file = program ?? fileURLToPath(new URL(`./inspect-process.${extension}`, import.meta.url));
  const flags = [
    '--permission',
    ...CLOSED_FLAGS,
    ...readable(realPath(repository), ...programFolders(file)),
    // Its own, and only while it starts.
    ...(cache === undefined ? [] : [...readable(cache), `--allow-fs-write=${cache}`]),
    `--max-old-space-size=${HEAP_MEGABYTES}`,
    `--initial-old-space-size=${OLD_MEGABYTES_INITIAL}`,
    `--max-semi-space-size=${YOUNG_MEGABYTES}`,
    '--disable-warning=ExperimentalWarning',
  ];
  return spawn(process.execPath, [...flags, file], {
    stdio: ['ignore', output, 'pipe', 'ipc'],
    serialization: 'advanced',
    env: {
      MALLOC_ARENA_MAX: MALLOC_ARENAS,
      ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }),
    },
  });
}

function readable(...folders: readonly string[]): string[] {
  return folders.map((folder) => `--allow-fs-read=${folder}`);
}

/** Where the program's own files, and the packages that it uses, lie. */
function programFolders(file: string): string[] {
  const own = packageFolder(import.meta.dirname);
  const folders = new Set([realPath(own), realPath(path.dirname(file))]);
  for (let folder = own; ; folder = path.dirname(folder)) {
    const packages = path.join(folder, 'node_modules');
    if (existsSync(packages)) folders.add(packages).add(realPath(packages));
    if (path.dirname(folder) === folder) return [...folders];
  }
}

/** The nearest `package.json` above: sources lie at another depth than compiled files. */
function packageFolder(folder: string): string {
  const above = path.dirname(folder);
  return existsSync(path.join(folder, 'package.json')) || above === folder
    ? folder
    : packageFolder(above);
}

/** Permissions are of real paths. What is not there is told when it is opened. */
function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return path.resolve(file);
  }
}
