import type { Sense } from './sense.ts';

const MAX_UNIT_ATTENTIONS = 16;

/** What a logical unit remembers about one session. SAM-5 section 4.7. */
export class Nexus {
  readonly initiatorName: string;
  readonly isid: string;
  readonly #attentions: Sense[] = [];
  #deferred: Sense | undefined;

  constructor(initiatorName: string, isid: string) {
    this.initiatorName = initiatorName;
    this.isid = isid;
  }

  /** The initiator port, as persistent reservations know it: they outlive sessions. */
  get portName(): string {
    return `${this.initiatorName},i,0x${this.isid}`;
  }

  /** A unit attention or a deferred error is waiting to be told. */
  get hasNews(): boolean {
    return this.#attentions.length > 0 || this.#deferred !== undefined;
  }

  /** Queues a unit attention, once. */
  raise(sense: Sense): void {
    const known = this.#attentions.some(
      ({ asc, ascq }) => asc === sense.asc && ascq === sense.ascq,
    );
    if (!known && this.#attentions.length < MAX_UNIT_ATTENTIONS) this.#attentions.push(sense);
  }

  /** The oldest unit attention, which is thereby told. */
  takeAttention(): Sense | undefined {
    return this.#attentions.shift();
  }

  /** Keeps what went wrong after its command was answered; the first is kept. SPC-4 section 4.5.7. */
  defer(sense: Sense): void {
    this.#deferred ??= { ...sense, deferred: true };
  }

  /** The deferred error, which is thereby told. */
  takeDeferred(): Sense | undefined {
    const deferred = this.#deferred;
    this.#deferred = undefined;
    return deferred;
  }
}
