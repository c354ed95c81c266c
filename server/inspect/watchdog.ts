import { readFileSync } from 'node:fs';
import { RestoreError } from '../../core/index.ts';

export interface WatchLimits {
  /** Resident memory of the whole process. */
  readonly memoryBytes: number;
  /** Processor time used without a sign of life. */
  readonly silentMs: number;
}

/**
 * A call's own budget is 10 s, and its checks run inside the process; what is beyond that by another
 * 10 s no longer checks anything.
 */
export const WATCH_LIMITS: WatchLimits = { memoryBytes: 512 * 1024 ** 2, silentMs: 20_000 };

const INTERVAL_MS = 100;
const PAGE_BYTES = 4096;
/** `sysconf(_SC_CLK_TCK)`: 100 on every Linux architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/**
 * Watches a process from outside and ends it when it takes too much. Silence counts in processor
 * time: a process that waits for a slow reader of its output is silent too, and well.
 */
export class Watchdog {
  /** Why it ended the process. */
  reason: RestoreError | undefined;
  readonly #processId: number;
  readonly #limits: WatchLimits;
  readonly #end: () => void;
  readonly #timer: NodeJS.Timeout;
  #quietSinceMs: number | undefined;

  /** @param end ends the process, and nothing else. */
  constructor(processId: number, limits: WatchLimits, end: () => void) {
    this.#processId = processId;
    this.#limits = limits;
    this.#end = end;
    this.#timer = setInterval(() => this.#look(), INTERVAL_MS).unref();
  }

  /** The process has shown that it lives. */
  heard(): void {
    this.#quietSinceMs = undefined;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const state = stateOf(this.#processId);
    if (state === undefined) return;
    this.#quietSinceMs ??= state.processorMs;
    const silentMs = state.processorMs - this.#quietSinceMs;
    const { memoryBytes, silentMs: silentMsMax } = this.#limits;
    if (state.residentBytes > memoryBytes) {
      this.#stop('memory', `${memoryBytes} bytes`, `${state.residentBytes} bytes`);
    } else if (silentMs > silentMsMax) {
      this.#stop('time', `a sign of life every ${silentMsMax} ms`, `${silentMs} ms without`);
    }
  }

  #stop(what: string, expected: string, found: string): void {
    this.reason = new RestoreError('LIMIT', `the inspector used up its ${what} and was ended`, {
      where: { expected, found },
      hint: 'The volume is damaged or hostile, or a directory is far larger than usual: `rehydrate find` needs the least. Or export the disk.',
    });
    this.stop();
    this.#end();
  }
}

/** `undefined` once the process is gone. proc(5): /proc/PID/stat fields 14 and 15, statm field 2. */
function stateOf(
  processId: number,
): { readonly processorMs: number; readonly residentBytes: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${processId}/stat`, 'latin1');
    // The second field is the program's name in parentheses, and may hold blanks.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[11]) + Number(fields[12]);
    const [, residentPages] = readFileSync(`/proc/${processId}/statm`, 'latin1').split(' ');
    return {
      processorMs: (ticks * 1000) / TICKS_PER_SECOND,
      residentBytes: Number(residentPages) * PAGE_BYTES,
    };
  } catch {
    return undefined;
  }
}
