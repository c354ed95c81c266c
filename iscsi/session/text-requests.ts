/** Text requests: discovery, and the few keys that may change in a session. RFC 7143 section 11.10. */
import { RestoreError } from '../../core/index.ts';
import type { LiveExport } from '../export.ts';
import { negotiateKey, OPERATIONAL_KEYS } from '../login/operational.ts';
import {
  Bhs,
  FLAG,
  type IncomingPdu,
  REJECT_REASON,
  RESERVED_TAG,
  TARGET,
} from '../protocol/bhs.ts';
import { encodeText, parseText, type TextPair } from '../protocol/text.ts';
import type { Session } from './session.ts';

/** One exchange at a time: what came so far, then what is still to be sent. */
export class TextRequests {
  readonly #session: Session;
  #incoming: Uint8Array[] = [];
  #incomingBytes = 0;
  #outgoing: Uint8Array = new Uint8Array(0);
  #tag = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  onText(pdu: IncomingPdu): void {
    const { view, at } = pdu;
    const transferTag = Bhs.targetTransferTag(view, at);
    if (transferTag === RESERVED_TAG) this.#reset();
    else if (transferTag !== this.#tag || this.#tag === 0) {
      this.#refuse(pdu);
      return;
    }
    if (this.#outgoing.length > 0) {
      this.#send(pdu);
      return;
    }
    this.#incomingBytes += pdu.data.length;
    if (this.#incomingBytes > this.#session.host.resources.limits.maxTextBytes) {
      this.#refuse(pdu);
      return;
    }
    this.#incoming.push(pdu.data.slice());
    const continues = (Bhs.flags(view, at) & FLAG.continueText) !== 0;
    if (!continues) {
      const pairs = this.#answer(pdu);
      if (pairs === undefined) return;
      this.#outgoing = encodeText(pairs);
    }
    this.#send(pdu, continues);
  }

  #answer(pdu: IncomingPdu): readonly TextPair[] | undefined {
    try {
      const asked = parseText(Buffer.concat(this.#incoming));
      this.#incoming = [];
      this.#incomingBytes = 0;
      return asked.flatMap((pair) => this.#answerKey(pair));
    } catch (error) {
      if (!(error instanceof RestoreError)) throw error;
      this.#refuse(pdu);
      return undefined;
    }
  }

  #answerKey({ key, value }: TextPair): readonly TextPair[] {
    if (key === 'SendTargets') return this.#sendTargets(value);
    const { host, parameters, identity } = this.#session;
    if (key === 'MaxRecvDataSegmentLength') {
      const answer = negotiateKey(
        key,
        value,
        identity.live === undefined,
        parameters,
        host.resources.limits,
      );
      return answer === undefined ? [] : [{ key, value: answer }];
    }
    // All other keys were settled in login.
    return [{ key, value: OPERATIONAL_KEYS.has(key) ? 'Reject' : 'NotUnderstood' }];
  }

  /** RFC 7143 appendix C: `All` in discovery, a name, or nothing for the session's own target. */
  #sendTargets(value: string): readonly TextPair[] {
    const { identity, host, connection } = this.#session;
    const own = identity.live;
    if (value === 'All' && own !== undefined) return [{ key: 'SendTargets', value: 'Reject' }];
    const seen = own === undefined ? identity.visible() : [own];
    const listed =
      value === 'All' || (value === '' && own !== undefined)
        ? seen
        : seen.filter(({ options }) => options.iqn === value);
    const addresses = host.targetAddresses(connection);
    return listed.flatMap((live) => describe(live, addresses));
  }

  #send(pdu: IncomingPdu, waitsForMore = false): void {
    const { connection, parameters } = this.#session;
    const part = this.#outgoing.subarray(0, parameters.peerMaxRecvDataSegmentLengthBytes);
    this.#outgoing = this.#outgoing.subarray(part.length);
    const goesOn = this.#outgoing.length > 0;
    const { writer } = connection;
    const at = writer.begin(TARGET.textResponse, part.length);
    const view = writer.view;
    if (goesOn || waitsForMore) {
      this.#tag = (this.#tag % 0x7fffffff) + 1;
      view.setUint8(at + 1, goesOn ? FLAG.continueText : 0);
      view.setUint32(at + 20, this.#tag);
    } else {
      this.#tag = 0;
      view.setUint32(at + 20, RESERVED_TAG);
    }
    view.setUint32(at + 16, Bhs.initiatorTaskTag(pdu.view, pdu.at));
    this.#session.stamp(view, at, true);
    writer.end(part);
  }

  #refuse(pdu: IncomingPdu): void {
    this.#reset();
    this.#session.reject(pdu, REJECT_REASON.protocolError);
  }

  #reset(): void {
    this.#incoming = [];
    this.#incomingBytes = 0;
    this.#outgoing = new Uint8Array(0);
    this.#tag = 0;
  }
}

function describe(live: LiveExport, addresses: readonly string[]): readonly TextPair[] {
  return [
    { key: 'TargetName', value: live.options.iqn },
    ...addresses.map((value) => ({ key: 'TargetAddress', value })),
  ];
}
