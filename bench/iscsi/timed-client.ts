/**
 * An initiator in this process that keeps so many commands under way and notes how long each takes.
 * It logs in with the tests' hand-made client, which shares no code with the target.
 */
import type { Socket } from 'node:net';
import { RawClient } from '../../test/e2e/iscsi/raw-client.ts';
import type { IscsiLogin } from './servers.ts';
import type { Workload } from './workloads.ts';

const BHS_BYTES = 48;
const SECTOR_BYTES = 512;
const RECEIVE_BYTES = 262_144;
const FIRST_BURST_BYTES = 65_536;
const MAX_BURST_BYTES = 1_048_576;
const KEYS = [
  `MaxRecvDataSegmentLength=${RECEIVE_BYTES}`,
  `FirstBurstLength=${FIRST_BURST_BYTES}`,
  `MaxBurstLength=${MAX_BURST_BYTES}`,
  'InitialR2T=Yes',
  'ImmediateData=Yes',
];
const OPCODE = { command: 0x01, dataOut: 0x05, response: 0x21, dataIn: 0x25, r2t: 0x31 } as const;
const TIMEOUT_MS = 60_000;

/** Milliseconds that each command of a workload took, for one client after the other. */
export async function timeCommands(
  login: IscsiLogin,
  workload: Workload,
  diskBytes: number,
): Promise<number[]> {
  const timed = await Promise.all(
    Array.from({ length: workload.clients }, (_, client) =>
      TimedSession.run(login, workload, diskBytes, client + 1),
    ),
  );
  return timed.flat();
}

class TimedSession {
  readonly #socket: Socket;
  readonly #workload: Workload;
  readonly #diskBytes: number;
  readonly #lun: number;
  readonly #startedMs: number[] = [];
  readonly #tookMs: number[] = [];
  readonly #payload: Buffer;
  readonly #segmentBytes: number;
  readonly #immediateBytes: number;
  #cmdSn: number;
  #expStatSn: number;
  #sent = 0;
  #left: Buffer = Buffer.alloc(0);
  #done: (error?: Error) => void = () => {};

  static async run(
    login: IscsiLogin,
    workload: Workload,
    diskBytes: number,
    isid: number,
  ): Promise<number[]> {
    const client = await RawClient.connect(login.port);
    const { iqn, lun, chap } = login;
    const agreed = await client.login({
      target: iqn,
      isid,
      keys: KEYS,
      ...(chap === undefined ? {} : { chap }),
    });
    // A new session may begin with unit attentions.
    for (let turn = 0; turn < 3; turn += 1) await client.command([0, 0, 0, 0, 0, 0], { lun });
    const session = new TimedSession(client, workload, diskBytes, lun, agreed);
    try {
      return await session.#measure();
    } finally {
      client.close();
    }
  }

  private constructor(
    client: RawClient,
    workload: Workload,
    diskBytes: number,
    lun: number,
    agreed: ReadonlyMap<string, string>,
  ) {
    this.#socket = client.socket;
    this.#workload = workload;
    this.#diskBytes = diskBytes;
    this.#lun = lun;
    this.#cmdSn = client.cmdSn;
    this.#expStatSn = client.expStatSn;
    this.#payload = Buffer.alloc(workload.requestBytes, 0xa5);
    this.#segmentBytes = Number(agreed.get('MaxRecvDataSegmentLength') ?? 8192);
    const first = Number(agreed.get('FirstBurstLength') ?? FIRST_BURST_BYTES);
    this.#immediateBytes = Math.min(workload.requestBytes, first, this.#segmentBytes);
    this.#socket.removeAllListeners('data');
    this.#socket.on('data', (chunk: Buffer) => this.#received(chunk));
    this.#socket.on('close', () => this.#done(new Error('the target closed the connection')));
  }

  async #measure(): Promise<number[]> {
    const timer = setTimeout(() => this.#done(new Error('no end in sight')), TIMEOUT_MS);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#done = (error) => (error === undefined ? resolve() : reject(error));
        for (let slot = 0; slot < this.#workload.depth; slot += 1) this.#next();
      });
    } finally {
      clearTimeout(timer);
    }
    return this.#tookMs;
  }

  #next(): void {
    const { count, requestBytes, stepBytes, writes } = this.#workload;
    if (this.#sent === count) return;
    const tag = this.#sent;
    this.#sent += 1;
    const offset = (tag * stepBytes) % (this.#diskBytes - requestBytes + SECTOR_BYTES);
    const bhs = this.#header(OPCODE.command, tag);
    bhs[1] = writes === true ? 0xa0 : 0xc0;
    bhs.writeUInt32BE(requestBytes, 20);
    bhs.writeUInt32BE(this.#cmdSn, 24);
    this.#cmdSn = (this.#cmdSn + 1) >>> 0;
    bhs[32] = writes === true ? 0x2a : 0x28;
    bhs.writeUInt32BE(Math.floor(offset / SECTOR_BYTES), 34);
    bhs.writeUInt16BE(requestBytes / SECTOR_BYTES, 39);
    this.#startedMs[tag] = performance.now();
    if (writes !== true) this.#socket.write(bhs);
    else this.#send(bhs, 0, this.#immediateBytes);
  }

  #header(opcode: number, tag: number): Buffer {
    const bhs = Buffer.alloc(BHS_BYTES);
    bhs[0] = opcode;
    bhs[9] = this.#lun;
    bhs.writeUInt32BE(tag, 16);
    bhs.writeUInt32BE(this.#expStatSn, 28);
    return bhs;
  }

  #send(bhs: Buffer, from: number, length: number): void {
    bhs.writeUIntBE(length, 5, 3);
    this.#socket.cork();
    this.#socket.write(bhs);
    this.#socket.write(this.#payload.subarray(from, from + length));
    this.#socket.uncork();
  }

  #received(chunk: Buffer): void {
    let bytes = this.#left.length === 0 ? chunk : Buffer.concat([this.#left, chunk]);
    while (bytes.length >= BHS_BYTES) {
      const dataBytes = bytes.readUIntBE(5, 3);
      const total = BHS_BYTES + ((dataBytes + 3) & ~3);
      if (bytes.length < total) break;
      this.#onPdu(bytes);
      bytes = bytes.subarray(total);
    }
    this.#left = bytes;
  }

  #onPdu(bhs: Buffer): void {
    const opcode = bhs.readUInt8(0) & 0x3f;
    const tag = bhs.readUInt32BE(16);
    if (opcode === OPCODE.r2t) {
      this.#sendBurst(tag, bhs);
      return;
    }
    const isLast = opcode === OPCODE.response || (bhs.readUInt8(1) & 1) !== 0;
    if (opcode !== OPCODE.response && opcode !== OPCODE.dataIn) return;
    if (!isLast) return;
    this.#expStatSn = (bhs.readUInt32BE(24) + 1) >>> 0;
    const status = bhs.readUInt8(3);
    if (status !== 0) this.#done(new Error(`a command ended with status ${status}`));
    this.#tookMs.push(performance.now() - (this.#startedMs[tag] ?? Number.NaN));
    if (this.#tookMs.length === this.#workload.count) this.#done();
    else this.#next();
  }

  #sendBurst(tag: number, r2t: Buffer): void {
    const start = r2t.readUInt32BE(40);
    const end = start + r2t.readUInt32BE(44);
    let sequence = 0;
    for (let at = start; at < end; sequence += 1) {
      const length = Math.min(this.#segmentBytes, end - at);
      const bhs = this.#header(OPCODE.dataOut, tag);
      if (at + length === end) bhs[1] = 0x80;
      r2t.copy(bhs, 20, 20, 24);
      bhs.writeUInt32BE(sequence, 36);
      bhs.writeUInt32BE(at, 40);
      this.#send(bhs, at, length);
      at += length;
    }
  }
}
