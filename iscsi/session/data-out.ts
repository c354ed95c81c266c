import { SENSE, type Sense } from '../scsi/sense.ts';

/** What was agreed about data that come without being asked for. */
export interface UnsolicitedRules {
  readonly initialR2T: boolean;
  readonly immediateData: boolean;
  readonly firstBurstLengthBytes: number;
  readonly maxBurstLengthBytes: number;
}

/** A request for data, to be sent as an R2T PDU. */
export interface Solicitation {
  readonly targetTransferTag: number;
  readonly sequence: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** One Data-Out PDU. */
export interface DataOutPdu {
  readonly targetTransferTag: number;
  readonly dataSn: number;
  readonly bufferOffset: number;
  readonly final: boolean;
  readonly data: Uint8Array;
}

/** Where the data of a command go, in order and without gaps. */
export interface DataSink {
  /** The bytes are only good during the call. */
  take(data: Uint8Array): void;
}

const UNSOLICITED = 0xffffffff;

/**
 * Takes in what an initiator sends for one command: immediate data, unsolicited Data-Out, then
 * bursts that we ask for. RFC 7143 sections 4.2.5 and 11.7.
 *
 * Data that break the rules, or of a command that is refused, are still swallowed to the end of
 * their burst: the answer must come after them, and the stream must stay in step.
 */
export class DataOutTransfer {
  /** The rule that was broken, if any. */
  trouble: Sense | undefined;
  readonly #rules: UnsolicitedRules;
  readonly #expectedBytes: number;
  readonly #wantedBytes: number;
  readonly #sink: DataSink;
  #received = 0;
  #nextDataSn = 0;
  #burstOpen = false;
  #burstTag: number = UNSOLICITED;
  #burstEnd = 0;
  #solicited = 0;

  /**
   * @param expectedBytes the command's expected data transfer length
   * @param wantedBytes how many of them the command can use; the rest is dropped
   */
  constructor(expectedBytes: number, wantedBytes: number, rules: UnsolicitedRules, sink: DataSink) {
    this.#sink = sink;
    this.#expectedBytes = expectedBytes;
    this.#wantedBytes = Math.min(wantedBytes, expectedBytes);
    this.#rules = rules;
    this.#burstEnd = Math.min(rules.firstBurstLengthBytes, expectedBytes);
  }

  /** The data of a burst are still on their way. */
  get burstOpen(): boolean {
    return this.#burstOpen;
  }

  /** Everything the command can use has come, or nothing more is to be asked for. */
  get complete(): boolean {
    return !this.#burstOpen && (this.trouble !== undefined || this.#received >= this.#wantedBytes);
  }

  /** Bytes that the command could use and that have come. */
  get usedBytes(): number {
    return Math.min(this.#received, this.#wantedBytes);
  }

  /** Bytes still to be asked for. */
  get missingBytes(): number {
    return Math.max(0, this.#wantedBytes - this.#received);
  }

  /** What came with the command itself. */
  command(data: Uint8Array, final: boolean): void {
    if (data.length > 0 && !this.#rules.immediateData) {
      this.trouble = SENSE.unexpectedUnsolicitedData;
    }
    if (!final && this.#rules.initialR2T) this.trouble ??= SENSE.unexpectedUnsolicitedData;
    this.#burstOpen = !final;
    this.#take(data);
  }

  dataOut(pdu: DataOutPdu): void {
    if (!this.#burstOpen || pdu.targetTransferTag !== this.#burstTag) {
      this.trouble ??= SENSE.dataPhaseError;
      return;
    }
    if (pdu.dataSn !== this.#nextDataSn || pdu.bufferOffset !== this.#received) {
      this.trouble ??= SENSE.dataPhaseError;
    }
    this.#nextDataSn += 1;
    this.#take(pdu.data);
    if (!pdu.final) return;
    this.#burstOpen = false;
    const short = this.#burstTag !== UNSOLICITED && this.#received < this.#burstEnd;
    if (short) this.trouble ??= SENSE.incorrectAmountOfData;
  }

  /** Asks for the next burst. Only while not {@link complete} and no burst is open. */
  solicit(targetTransferTag: number): Solicitation {
    const lengthBytes = Math.min(this.#rules.maxBurstLengthBytes, this.missingBytes);
    this.#burstOpen = true;
    this.#burstTag = targetTransferTag;
    this.#burstEnd = this.#received + lengthBytes;
    this.#nextDataSn = 0;
    const sequence = this.#solicited;
    this.#solicited += 1;
    return { targetTransferTag, sequence, offsetBytes: this.#received, lengthBytes };
  }

  #take(data: Uint8Array): void {
    const end = this.#received + data.length;
    if (end > this.#burstEnd) this.trouble ??= SENSE.unexpectedUnsolicitedData;
    if (this.trouble !== undefined) return;
    const useful = data.subarray(0, Math.max(0, this.#wantedBytes - this.#received));
    if (useful.length > 0) this.#sink.take(useful);
    this.#received = Math.min(end, this.#expectedBytes);
  }
}
