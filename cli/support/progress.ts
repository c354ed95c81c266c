import { formatBytes, formatDuration } from './format.ts';

export interface ProgressState {
  readonly doneBytes: number;
  /** `undefined` where nobody knows yet: then there is no bar, and no guess at what is left. */
  readonly totalBytes: number | undefined;
  /** More figures, as `name value`. */
  readonly details: readonly string[];
  /** The same for programs. */
  readonly fields: Readonly<Record<string, number>>;
}

const TERMINAL_INTERVAL_MS = 200;
const LOG_INTERVAL_MS = 10_000;
const JSON_INTERVAL_MS = 1_000;
const BAR_WIDTH = 24;

/**
 * Shows how far a long command is, on standard error: a bar on a terminal, a line now and then where
 * there is none, JSON lines for programs.
 */
export class Progress {
  readonly #state: () => ProgressState;
  readonly #json: boolean;
  readonly #startedAt = Date.now();
  readonly #quietMs: number;
  readonly #timer: NodeJS.Timeout;
  #isStopped = false;

  /** @param quietMs nothing is shown before: what takes no longer needs none. */
  constructor(state: () => ProgressState, json: boolean, quietMs = 0) {
    this.#state = state;
    this.#json = json;
    this.#quietMs = quietMs;
    const interval = this.#onTerminal() ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS;
    this.#timer = setInterval(() => this.#show(), json ? JSON_INTERVAL_MS : interval);
    this.#timer.unref();
  }

  /** Stops showing, and clears the bar. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    clearInterval(this.#timer);
    this.clear();
  }

  /** Wipes the bar, so that something else can be said; it comes again by itself. */
  clear(): void {
    if (this.#onTerminal()) process.stderr.write('\r\x1b[K');
  }

  #show(): void {
    if (Date.now() - this.#startedAt < this.#quietMs) return;
    const state = this.#state();
    if (this.#json) {
      const { doneBytes, totalBytes, fields } = state;
      process.stderr.write(
        `${JSON.stringify({ progress: { doneBytes, totalBytes, ...fields } })}\n`,
      );
    } else if (this.#onTerminal()) {
      const line = this.#line(state).slice(0, Math.max(20, (process.stderr.columns || 80) - 1));
      process.stderr.write(`\r\x1b[K${line}`);
    } else {
      process.stderr.write(`${this.#line(state)}\n`);
    }
  }

  #line({ doneBytes, totalBytes, details }: ProgressState): string {
    const elapsedMs = Date.now() - this.#startedAt;
    const speed = `${formatBytes((doneBytes / Math.max(1, elapsedMs)) * 1000)}/s`;
    if (totalBytes === undefined) {
      const figures = doneBytes === 0 ? [] : [formatBytes(doneBytes), speed];
      return [...figures, ...details].join('  ');
    }
    const share = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
    const left = share > 0.001 ? formatDuration((elapsedMs / share) * (1 - share)) : '?';
    const filled = Math.round(share * BAR_WIDTH);
    const bar = this.#onTerminal() ? `[${'#'.repeat(filled).padEnd(BAR_WIDTH, '.')}] ` : '';
    const percent = `${(share * 100).toFixed(1)}%`;
    return [`${bar}${percent}`, ...details, speed, `${left} left`].join('  ');
  }

  #onTerminal(): boolean {
    return !this.#json && process.stderr.isTTY;
  }
}
