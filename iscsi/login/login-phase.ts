/** The login phase of one connection. RFC 7143 sections 6 and 11.12 to 11.13. */
import { RestoreError } from '../../core/index.ts';
import type { LiveExport } from '../export.ts';
import {
  Bhs,
  FLAG,
  headerBytes,
  type IncomingPdu,
  INITIATOR,
  isImmediate,
  LOGIN_STATUS,
  type LoginStatus,
  opcodeOf,
  TARGET,
} from '../protocol/bhs.ts';
import { serialAdd } from '../protocol/serial.ts';
import { encodeText, parseText, type TextPair } from '../protocol/text.ts';
import type { Connection, ConnectionPhase } from '../session/connection.ts';
import type { SessionParameters } from './operational.ts';
import { defaultParameters, negotiateKey, settle } from './operational.ts';
import { type LoginFailure, type Party, SecurityStage, type SecurityHost } from './security.ts';

/** What a login that went through asks its target to open. */
export interface LoginResult {
  readonly initiatorName: string;
  readonly isid: string;
  /** As the initiator sent it: 0 for a new session. */
  readonly tsih: number;
  readonly cid: number;
  readonly party: Party;
  readonly parameters: SessionParameters;
  readonly firstCmdSn: number;
}

/** What login asks of its target. */
export interface LoginHost extends SecurityHost {
  findExport(iqn: string): LiveExport | undefined;
  /**
   * Opens the session, and ends an older one of the same initiator port.
   *
   * @returns its TSIH and how to enter it, or the status that refuses it.
   */
  openSession(
    connection: Connection,
    result: LoginResult,
  ): { readonly tsih: number; readonly enter: () => void } | LoginStatus;
  loginRefused(connection: Connection, failure: LoginFailure, iqn: string | undefined): void;
}

const STAGE = { security: 0, operational: 1, fullFeature: 3 } as const;
const PROTOCOL_VERSION = 0;
const PORTAL_GROUP_TAG = '1';
/** What an initiator takes in login, before it may declare more. RFC 7143 section 13.12. */
const LOGIN_DATA_BYTES = 8192;
const MAX_NAME_LENGTH = 223;
/** Keys of the first request, and those an initiator only declares. */
const LEADING_KEYS = new Set(['InitiatorName', 'TargetName', 'SessionType', 'InitiatorAlias']);
/** All others are said once. libiscsi tells its names in each stage; the first time counts. */
const REPEATABLE_KEYS = new Set([...LEADING_KEYS, 'MaxRecvDataSegmentLength']);

interface Request {
  readonly flags: number;
  readonly tag: number;
  readonly tsih: number;
  readonly cid: number;
  readonly isid: string;
  readonly isidBytes: Uint8Array;
}

export class LoginPhase implements ConnectionPhase {
  readonly #connection: Connection;
  readonly #host: LoginHost;
  readonly #parameters = defaultParameters();
  readonly #seen = new Set<string>();
  #first: Request | undefined;
  #firstCmdSn = 0;
  #stage: number = STAGE.security;
  #initiatorName = '';
  #targetName: string | undefined;
  #discovery = false;
  #security: SecurityStage | undefined;
  #declared = false;
  #incoming: Uint8Array[] = [];
  #incomingBytes = 0;
  #outgoing: Uint8Array = new Uint8Array(0);
  /** A request is being judged; the initiator must wait for the answer. */
  #busy = false;
  #over = false;
  readonly #timer: NodeJS.Timeout;

  constructor(connection: Connection, host: LoginHost) {
    this.#connection = connection;
    this.#host = host;
    this.#timer = setTimeout(() => connection.destroy(), host.limits.loginTimeoutMs);
  }

  onPdu(pdu: IncomingPdu): void {
    if (opcodeOf(pdu) !== INITIATOR.login || this.#busy || this.#over) {
      throw outOfPlace(opcodeOf(pdu));
    }
    const request = readRequest(pdu);
    const trouble = this.#checkHeader(pdu, request);
    if (trouble !== undefined) {
      this.#fail(request, { status: trouble, reason: 'malformed login request' });
      return;
    }
    this.#busy = true;
    this.#onRequest(request, pdu.data.slice())
      .catch((error: unknown) => this.#onError(request, error))
      .finally(() => {
        this.#busy = false;
        this.#connection.flushSoon();
      });
  }

  /** No digest is in force before login ends. */
  onDataDigestError(): void {}

  onSent(): void {}

  onClosed(): void {
    clearTimeout(this.#timer);
    this.#security?.end();
    this.#over = true;
  }

  #checkHeader(pdu: IncomingPdu, request: Request): LoginStatus | undefined {
    const { view, at } = pdu;
    const current = (request.flags >> 2) & 3;
    const next = request.flags & 3;
    const transits = (request.flags & FLAG.transit) !== 0;
    const continues = (request.flags & FLAG.continueText) !== 0;
    if (!isImmediate(pdu)) return LOGIN_STATUS.initiatorError;
    if (this.#first === undefined) {
      this.#begin(pdu, request);
      if (Bhs.versionMin(view, at) > PROTOCOL_VERSION) return LOGIN_STATUS.unsupportedVersion;
      if (current > STAGE.operational) return LOGIN_STATUS.initiatorError;
      this.#stage = current;
    }
    const first = this.#first as Request;
    const sameLogin =
      first.isid === request.isid && first.tsih === request.tsih && first.cid === request.cid;
    if (!sameLogin) return LOGIN_STATUS.initiatorError;
    if (current !== this.#stage) return LOGIN_STATUS.invalidDuringLogin;
    if (transits && (continues || next <= current || next === 2)) {
      return LOGIN_STATUS.initiatorError;
    }
    return undefined;
  }

  #begin(pdu: IncomingPdu, request: Request): void {
    this.#first = request;
    this.#firstCmdSn = Bhs.cmdSn(pdu.view, pdu.at);
    this.#connection.statSn = Bhs.expStatSn(pdu.view, pdu.at);
  }

  async #onRequest(request: Request, data: Uint8Array): Promise<void> {
    if (this.#outgoing.length > 0) {
      this.#send(request, false);
      return;
    }
    this.#incomingBytes += data.length;
    if (this.#incomingBytes > this.#host.limits.maxTextBytes) {
      this.#fail(request, { status: LOGIN_STATUS.initiatorError, reason: 'too much login text' });
      return;
    }
    this.#incoming.push(data);
    if ((request.flags & FLAG.continueText) !== 0) {
      this.#send(request, false);
      return;
    }
    const pairs = parseText(Buffer.concat(this.#incoming));
    this.#incoming = [];
    this.#incomingBytes = 0;
    await this.#answer(request, pairs);
  }

  async #answer(request: Request, pairs: readonly TextPair[]): Promise<void> {
    const replies: TextPair[] = [];
    for (const { key } of pairs) {
      if (this.#seen.has(key) && !REPEATABLE_KEYS.has(key) && !SecurityStage.owns(key)) {
        throw malformed('a key is negotiated twice', key);
      }
      this.#seen.add(key);
    }
    if (this.#security === undefined) {
      const failure = this.#openLeading(new Map(pairs.map(({ key, value }) => [key, value])));
      if (failure !== undefined) {
        this.#fail(request, failure);
        return;
      }
      if (!this.#discovery) replies.push({ key: 'TargetPortalGroupTag', value: PORTAL_GROUP_TAG });
    }
    const security = this.#security as unknown as SecurityStage;
    if (this.#stage === STAGE.security) {
      const step = await security.onKeys(pairs);
      if (this.#over) return;
      if (step.failure !== undefined) {
        this.#fail(request, step.failure);
        return;
      }
      replies.push(...step.pairs);
    }
    replies.push(...this.#operational(pairs));
    this.#moveOn(request, security, replies);
  }

  /** The keys that say who wants what. RFC 7143 section 6.3.1. */
  #openLeading(keys: ReadonlyMap<string, string>): LoginFailure | undefined {
    const type = keys.get('SessionType') ?? 'Normal';
    this.#initiatorName = keys.get('InitiatorName') ?? '';
    this.#targetName = keys.get('TargetName');
    this.#discovery = type === 'Discovery';
    if (!/^[!-~]+$/.test(this.#initiatorName) || this.#initiatorName.length > MAX_NAME_LENGTH) {
      return { status: LOGIN_STATUS.missingParameter, reason: 'no valid InitiatorName' };
    }
    if (this.#discovery) {
      this.#security = this.#secure(undefined);
      return undefined;
    }
    if (type !== 'Normal') {
      return { status: LOGIN_STATUS.sessionTypeNotSupported, reason: 'unknown SessionType' };
    }
    if (this.#targetName === undefined) {
      return { status: LOGIN_STATUS.missingParameter, reason: 'no TargetName' };
    }
    const live = this.#host.findExport(this.#targetName);
    if (live === undefined) {
      return { status: LOGIN_STATUS.targetNotFound, reason: 'no such target' };
    }
    if (live.closing) {
      return { status: LOGIN_STATUS.targetNotFound, reason: 'the target is being removed' };
    }
    const reason = live.admission.refusal(this.#initiatorName, this.#connection.remoteAddress);
    if (reason !== undefined) return { status: LOGIN_STATUS.authorizationFailure, reason };
    this.#security = this.#secure(live);
    return undefined;
  }

  #secure(live: LiveExport | undefined): SecurityStage {
    return new SecurityStage(
      { initiatorName: this.#initiatorName, address: this.#connection.remoteAddress },
      live,
      this.#host,
    );
  }

  #operational(pairs: readonly TextPair[]): readonly TextPair[] {
    const replies: TextPair[] = [];
    for (const { key, value } of pairs) {
      if (LEADING_KEYS.has(key) || SecurityStage.owns(key)) continue;
      const answer = negotiateKey(key, value, this.#discovery, this.#parameters, this.#host.limits);
      if (answer !== undefined) replies.push({ key, value: answer });
    }
    if (this.#stage === STAGE.operational && !this.#declared) {
      this.#declared = true;
      const ours = String(this.#host.limits.maxRecvDataSegmentLengthBytes);
      replies.push({ key: 'MaxRecvDataSegmentLength', value: ours });
    }
    return replies;
  }

  /** Grants the stage that the initiator asks for, once security has nothing left to do. */
  #moveOn(request: Request, security: SecurityStage, replies: readonly TextPair[]): void {
    const transits = (request.flags & FLAG.transit) !== 0;
    const leavesSecurity = transits || this.#stage === STAGE.operational;
    if (leavesSecurity && security.party === undefined) {
      const failure = security.refusalWithoutProof();
      if (failure !== undefined) {
        this.#fail(request, failure);
        return;
      }
    }
    this.#outgoing = encodeText(replies);
    this.#send(request, transits && security.party !== undefined);
  }

  /** Sends what fits into one response; stages change only with the last part of the text. */
  #send(request: Request, mayTransit: boolean): void {
    const part = this.#outgoing.subarray(0, LOGIN_DATA_BYTES);
    this.#outgoing = this.#outgoing.subarray(part.length);
    const goesOn = this.#outgoing.length > 0;
    const transits = mayTransit && !goesOn;
    const next = request.flags & 3;
    const opened =
      transits && next === STAGE.fullFeature ? this.#openSession() : { tsih: request.tsih };
    if (typeof opened === 'number') {
      this.#fail(request, { status: opened, reason: 'the session cannot be opened' });
      return;
    }
    const stages = (this.#stage << 2) | (transits ? FLAG.transit | next : 0);
    this.#respond(request, stages | (goesOn ? FLAG.continueText : 0), opened.tsih, 0, part);
    if (!transits) return;
    this.#stage = next;
    if ('enter' in opened) this.#finish(opened.enter);
  }

  #openSession(): ReturnType<LoginHost['openSession']> {
    const first = this.#first as Request;
    settle(this.#parameters);
    return this.#host.openSession(this.#connection, {
      initiatorName: this.#initiatorName,
      isid: first.isid,
      tsih: first.tsih,
      cid: first.cid,
      party: (this.#security as SecurityStage).party as Party,
      parameters: this.#parameters,
      firstCmdSn: this.#firstCmdSn,
    });
  }

  #finish(enter: () => void): void {
    const { reader, writer } = this.#connection;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#security?.end();
    reader.headerDigest = this.#parameters.headerDigest;
    reader.dataDigest = this.#parameters.dataDigest;
    writer.headerDigest = this.#parameters.headerDigest;
    writer.dataDigest = this.#parameters.dataDigest;
    reader.maxDataBytes = this.#host.limits.maxRecvDataSegmentLengthBytes;
    enter();
  }

  #fail(request: Request, failure: LoginFailure): void {
    this.#over = true;
    this.#host.loginRefused(this.#connection, failure, this.#targetName);
    this.#respond(request, this.#stage << 2, request.tsih, failure.status, new Uint8Array(0));
    this.#connection.end();
  }

  #respond(request: Request, flags: number, tsih: number, status: number, text: Uint8Array): void {
    const { writer } = this.#connection;
    const at = writer.begin(TARGET.loginResponse, text.length);
    const view = writer.view;
    view.setUint8(at + 1, flags);
    view.setUint8(at + 2, PROTOCOL_VERSION);
    view.setUint8(at + 3, PROTOCOL_VERSION);
    request.isidBytes.forEach((byte, index) => view.setUint8(at + 8 + index, byte));
    view.setUint16(at + 14, tsih);
    view.setUint32(at + 16, request.tag);
    view.setUint32(at + 24, this.#connection.takeStatSn());
    view.setUint32(at + 28, this.#firstCmdSn);
    view.setUint32(at + 32, serialAdd(this.#firstCmdSn, this.#host.limits.commandWindow - 1));
    view.setUint16(at + 36, status);
    writer.end(text);
  }

  #onError(request: Request, error: unknown): void {
    if (this.#over) return;
    if (error instanceof RestoreError) {
      this.#fail(request, { status: LOGIN_STATUS.initiatorError, reason: error.message });
      return;
    }
    this.#host.logger.error({ err: error }, 'a login failed');
    this.#fail(request, { status: LOGIN_STATUS.targetError, reason: 'internal error' });
  }
}

function readRequest(pdu: IncomingPdu): Request {
  const { view, at } = pdu;
  const isidBytes = headerBytes(pdu, 8, 6).slice();
  return {
    flags: Bhs.flags(view, at),
    tag: Bhs.initiatorTaskTag(view, at),
    tsih: Bhs.tsih(view, at),
    cid: Bhs.cid(view, at),
    isid: Buffer.from(isidBytes).toString('hex'),
    isidBytes,
  };
}

function outOfPlace(opcode: number): RestoreError {
  return malformed('a PDU came where only a login request may', `opcode ${opcode}`);
}

function malformed(message: string, found: string): RestoreError {
  return new RestoreError('INVALID', message, {
    where: { structure: 'login', expected: 'a login request, each key once', found },
    hint: 'Check that the client speaks iSCSI.',
  });
}
