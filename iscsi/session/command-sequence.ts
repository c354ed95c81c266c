import { serialAdd, serialBefore } from '../protocol/serial.ts';

/** What to do with a PDU, by its CmdSN. */
export type SequenceVerdict = 'take' | 'ignore' | 'gap';

/**
 * ExpCmdSN, MaxCmdSN and the window between them. RFC 7143 section 4.2.2.1.
 *
 * MaxCmdSN follows completions: a command takes its place when it arrives (ExpCmdSN moves up,
 * MaxCmdSN stays) and gives it back when it ends (MaxCmdSN moves up), so it never moves back.
 */
export class CommandSequence {
  readonly #window: number;
  #expected: number;
  #outstanding = 0;

  constructor(firstCmdSn: number, window: number) {
    this.#expected = firstCmdSn;
    this.#window = window;
  }

  get expCmdSn(): number {
    return this.#expected;
  }

  get maxCmdSn(): number {
    return serialAdd(this.#expected, this.#window - this.#outstanding - 1);
  }

  /**
   * Judges a PDU that carries a CmdSN, and counts it when it is taken.
   *
   * Outside the window it is ignored, as the RFC demands. A gap cannot happen on the one connection
   * of a session, where commands are sent in order.
   */
  accept(cmdSn: number, immediate: boolean): SequenceVerdict {
    if (immediate) return 'take';
    if (serialBefore(cmdSn, this.#expected) || serialBefore(this.maxCmdSn, cmdSn)) return 'ignore';
    if (cmdSn !== this.#expected) return 'gap';
    this.#expected = serialAdd(this.#expected, 1);
    return 'take';
  }

  /** A command holds its place in the window from here to {@link end}. */
  begin(): void {
    this.#outstanding += 1;
  }

  end(): void {
    this.#outstanding -= 1;
  }
}
