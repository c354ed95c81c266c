/**
 * A hand-made initiator, for what no stock one can be made to send. It shares no code with the
 * target: offsets and codes are written here from RFC 7143.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawPdu {
  readonly bhs: Buffer;
  readonly data: Buffer;
}

export interface LoginOptions {
  /** Absent for discovery. */
  readonly target?: string;
  readonly chap?: { readonly user: string; readonly secret: string; readonly algorithm?: number };
  readonly initiator?: string;
  readonly isid?: number;
  /** Keys of the operational stage. */
  readonly keys?: readonly string[];
}

export interface CommandOptions {
  readonly readBytes?: number;
  readonly writeBytes?: number;
  /** Sent with the command. */
  readonly immediateData?: Buffer;
  /** False announces unsolicited Data-Out PDUs. */
  readonly final?: boolean;
  readonly lun?: number;
  /** Instead of the next number. */
  readonly cmdSn?: number;
  readonly tag?: number;
  /** Task attribute: 0 untagged, 1 simple, 2 ordered, 3 head of queue. */
  readonly attribute?: number;
}

export interface CommandResult {
  readonly status: number;
  readonly data: Buffer;
  readonly sense: Buffer;
  /** Positive for an overflow, negative for an underflow. */
  readonly residual: number;
  readonly dataPdus: readonly RawPdu[];
}

export const CHAP_HASHES: Readonly<Record<number, string>> = {
  5: 'md5',
  6: 'sha1',
  7: 'sha256',
  8: 'sha3-256',
};

const RECEIVE_TIMEOUT_MS = 10_000;
const BHS_BYTES = 48;
const MAX_RECEIVED_DATA_BYTES = 0xffffff;

/** A refused login. */
export class LoginRefused extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`login refused with status ${status.toString(16).padStart(4, '0')}`);
    this.status = status;
  }
}

export class RawClient {
  readonly socket: Socket;
  cmdSn = 1;
  expStatSn = 0;
  #buffer: Buffer = Buffer.alloc(0);
  #tag = 0;
  #wake: () => void = () => {};
  #ended = false;

  static async connect(port: number): Promise<RawClient> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Sends a header with its data; sets the data length, pads. */
  send(bhs: Buffer, data: Buffer = Buffer.alloc(0)): void {
    bhs.writeUInt32BE(((bhs[4] ?? 0) << 24) + data.length, 4);
    const pad = Buffer.alloc((4 - (data.length % 4)) % 4);
    this.socket.write(Buffer.concat([bhs, data, pad]));
  }

  /** The next PDU; throws when the connection ends first or nothing comes. */
  async receive(timeoutMs: number = RECEIVE_TIMEOUT_MS): Promise<RawPdu> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const pdu = this.#cut();
      if (pdu !== undefined) {
        this.#follow(pdu);
        return pdu;
      }
      if (this.#ended) throw new Error('the connection was closed');
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) throw new Error('nothing was received');
      await this.#arrival(leftMs);
    }
  }

  /** Waits until the target has closed the connection. */
  async untilClosed(timeoutMs: number = RECEIVE_TIMEOUT_MS): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!this.#ended) {
      if (Date.now() > deadline) throw new Error('the connection stays open');
      await this.#arrival(50);
    }
  }

  close(): void {
    this.socket.destroy();
  }

  /** A login request. */
  async loginStep(flags: number, keys: readonly string[], isid = 1): Promise<RawPdu> {
    const bhs = Buffer.alloc(BHS_BYTES);
    bhs[0] = 0x43;
    bhs[1] = flags;
    bhs.writeUIntBE(0x800000000000 + isid, 8, 6);
    bhs.writeUInt32BE(this.cmdSn, 24);
    bhs.writeUInt32BE(this.expStatSn, 28);
    this.send(bhs, Buffer.from(keys.map((key) => `${key}\0`).join('')));
    const answer = await this.receive();
    const status = answer.bhs.readUInt16BE(36);
    if (status !== 0) throw new LoginRefused(status);
    return answer;
  }

  /** Logs in, through the security stage when there are credentials. */
  async login(options: LoginOptions): Promise<ReadonlyMap<string, string>> {
    const names = [
      `InitiatorName=${options.initiator ?? 'iqn.2026-01.test:raw'}`,
      ...(options.target === undefined
        ? ['SessionType=Discovery']
        : ['SessionType=Normal', `TargetName=${options.target}`]),
    ];
    const { chap, isid } = options;
    if (chap !== undefined) await this.#proveByChap(names, chap, isid);
    const keys = [...(chap === undefined ? names : []), ...(options.keys ?? [])];
    const last = await this.loginStep(0x87, keys, isid);
    return keysOf(last.data);
  }

  /** Sends a SCSI command and returns its tag. */
  sendCommand(cdb: readonly number[] | Buffer, options: CommandOptions = {}): number {
    const bhs = Buffer.alloc(BHS_BYTES);
    const tag = options.tag ?? this.nextTag();
    const final = options.final === false ? 0 : 0x80;
    const direction =
      (options.readBytes === undefined ? 0 : 0x40) | (options.writeBytes === undefined ? 0 : 0x20);
    bhs[0] = 0x01;
    bhs[1] = final | direction | (options.attribute ?? 0);
    bhs[9] = options.lun ?? 0;
    bhs.writeUInt32BE(tag, 16);
    bhs.writeUInt32BE(options.writeBytes ?? options.readBytes ?? 0, 20);
    bhs.writeUInt32BE(options.cmdSn ?? this.cmdSn, 24);
    bhs.writeUInt32BE(this.expStatSn, 28);
    Buffer.from(cdb).copy(bhs, 32);
    if (options.cmdSn === undefined) this.cmdSn += 1;
    this.send(bhs, options.immediateData);
    return tag;
  }

  /** Sends a SCSI command and collects its answer. */
  async command(
    cdb: readonly number[] | Buffer,
    options: CommandOptions = {},
  ): Promise<CommandResult> {
    return this.collect(this.sendCommand(cdb, options));
  }

  /** Data-In and status of a command; any other PDU is an error. */
  async collect(tag: number): Promise<CommandResult> {
    const dataPdus: RawPdu[] = [];
    for (;;) {
      const pdu = await this.receive();
      const { bhs } = pdu;
      const opcode = bhs.readUInt8(0) & 0x3f;
      if ((opcode !== 0x25 && opcode !== 0x21) || bhs.readUInt32BE(16) !== tag) {
        throw new Error(`opcode ${opcode} came for tag ${bhs.readUInt32BE(16)}, not ${tag}`);
      }
      if (opcode === 0x25) dataPdus.push(pdu);
      const flags = bhs.readUInt8(1);
      if (opcode === 0x25 && (flags & 0x01) === 0) continue;
      const count = bhs.readUInt32BE(44);
      return {
        status: bhs.readUInt8(3),
        data: Buffer.concat(dataPdus.map(({ data }) => data)),
        sense: opcode === 0x21 ? pdu.data.subarray(2) : Buffer.alloc(0),
        residual: (flags & 0x04) !== 0 ? count : (flags & 0x02) !== 0 ? -count : 0,
        dataPdus,
      };
    }
  }

  /** A NOP-Out that asks for an echo: proof that the session works. */
  async ping(text = 'ping'): Promise<RawPdu> {
    const bhs = Buffer.alloc(BHS_BYTES);
    bhs[0] = 0x40;
    bhs[1] = 0x80;
    bhs.writeUInt32BE(this.nextTag(), 16);
    bhs.writeUInt32BE(0xffffffff, 20);
    bhs.writeUInt32BE(this.cmdSn, 24);
    bhs.writeUInt32BE(this.expStatSn, 28);
    this.send(bhs, Buffer.from(text));
    return this.receive();
  }

  nextTag(): number {
    this.#tag += 1;
    return this.#tag;
  }

  async #proveByChap(
    names: readonly string[],
    chap: NonNullable<LoginOptions['chap']>,
    isid?: number,
  ): Promise<void> {
    const algorithm = chap.algorithm ?? 5;
    await this.loginStep(0x00, [...names, 'AuthMethod=CHAP,None'], isid);
    const challenge = keysOf((await this.loginStep(0x00, [`CHAP_A=${algorithm}`], isid)).data);
    const answer = chapAnswer(challenge, chap.secret);
    await this.loginStep(0x81, [`CHAP_N=${chap.user}`, `CHAP_R=${answer}`], isid);
  }

  #cut(): RawPdu | undefined {
    if (this.#buffer.length < BHS_BYTES) return undefined;
    const bytes = this.#buffer.readUIntBE(5, 3) & MAX_RECEIVED_DATA_BYTES;
    const total = BHS_BYTES + ((bytes + 3) & ~3);
    if (this.#buffer.length < total) return undefined;
    const pdu = {
      bhs: this.#buffer.subarray(0, BHS_BYTES),
      data: this.#buffer.subarray(BHS_BYTES, BHS_BYTES + bytes),
    };
    this.#buffer = this.#buffer.subarray(total);
    return pdu;
  }

  #follow({ bhs }: RawPdu): void {
    const opcode = bhs.readUInt8(0) & 0x3f;
    const hasStatus = opcode !== 0x31 && (opcode !== 0x25 || (bhs.readUInt8(1) & 1) !== 0);
    if (hasStatus) this.expStatSn = (bhs.readUInt32BE(24) + 1) >>> 0;
  }

  async #arrival(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, timeoutMs);
    });
    clearTimeout(timer);
  }
}

/** `key=value` pairs of a text segment. */
export function keysOf(data: Buffer): ReadonlyMap<string, string> {
  const items = data.toString('utf8').split('\0');
  return new Map(
    items
      .filter((item) => item !== '')
      .map((item) => [item.slice(0, item.indexOf('=')), item.slice(item.indexOf('=') + 1)]),
  );
}

/** CHAP_R for a challenge: RFC 1994 section 4.1. */
export function chapAnswer(challenge: ReadonlyMap<string, string>, secret: string): string {
  const hash = CHAP_HASHES[Number(challenge.get('CHAP_A'))] ?? 'none';
  const digest = createHash(hash)
    .update(Buffer.from([Number(challenge.get('CHAP_I'))]))
    .update(secret)
    .update(Buffer.from((challenge.get('CHAP_C') ?? '').slice(2), 'hex'))
    .digest('hex');
  return `0x${digest}`;
}

/** The header of a Data-Out PDU. */
export function dataOut(
  tag: number,
  transferTag: number,
  dataSn: number,
  offset: number,
  final: boolean,
): Buffer {
  const bhs = Buffer.alloc(48);
  bhs[0] = 0x05;
  bhs[1] = final ? 0x80 : 0;
  bhs.writeUInt32BE(tag, 16);
  bhs.writeUInt32BE(transferTag, 20);
  bhs.writeUInt32BE(dataSn, 36);
  bhs.writeUInt32BE(offset, 40);
  return bhs;
}
