import type { Socket } from 'node:net';
import { RestoreError } from '../../core/index.ts';
import type { IscsiLimits } from '../limits.ts';
import type { IscsiLogger } from '../logger.ts';
import type { IncomingPdu } from '../protocol/bhs.ts';
import type { BufferPool } from '../protocol/buffer-pool.ts';
import { type PduHandler, PduReader } from '../protocol/pdu-reader.ts';
import { PduWriter, type SharedBudget } from '../protocol/pdu-writer.ts';
import { serialAdd } from '../protocol/serial.ts';
import type { TransferBuffers } from './transfer-buffers.ts';

/** What all connections of a target share. */
export interface TargetResources {
  readonly limits: IscsiLimits;
  readonly logger: IscsiLogger;
  readonly slabs: BufferPool;
  readonly buffers: TransferBuffers;
  readonly budget: SharedBudget;
}

/** What a connection is doing: logging in, then a session. */
export interface ConnectionPhase extends PduHandler {
  /** The connection is gone. Called once. */
  onClosed(): void;
  /** The socket has sent something: there is room again. */
  onSent(): void;
}

const LINGER_MS = 2_000;

/** One TCP connection: bytes in, PDUs out, and the StatSN they carry. RFC 7143 section 4.2.2.2. */
export class Connection implements PduHandler {
  readonly socket: Socket;
  readonly reader: PduReader;
  readonly writer: PduWriter;
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly localPort: number;
  /** Set by every arrival, cleared by whoever watches for silence. */
  heard = true;
  readonly #logger: IscsiLogger;
  /** Answers queued beyond this stop us from reading: a peer that never takes any is hostile. */
  readonly #stopReadingAtBytes: number;
  #phase: ConnectionPhase | undefined;
  #statSn = 0;
  #flushIsDue = false;
  #closed = false;
  #ending = false;
  #linger: NodeJS.Timeout | undefined;

  constructor(socket: Socket, resources: TargetResources, maxDataBytes: number) {
    this.socket = socket;
    this.#logger = resources.logger;
    // Reads of the disk stop earlier, by their budget, so that an honest peer's pings are seen.
    this.#stopReadingAtBytes = 2 * resources.limits.connectionBufferBytes;
    this.remoteAddress = plainAddress(socket.remoteAddress);
    this.localAddress = plainAddress(socket.localAddress);
    this.localPort = socket.localPort ?? 0;
    this.reader = new PduReader(this, maxDataBytes);
    this.writer = new PduWriter(socket, resources.slabs, resources.budget);
    this.writer.onSent = () => this.#sent();
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#received(chunk));
    socket.on('error', (error) => this.#logger.debug({ err: error }, 'an iSCSI socket failed'));
    socket.on('end', () => this.end());
    socket.on('close', () => this.#gone());
  }

  get closed(): boolean {
    return this.#closed;
  }

  enter(phase: ConnectionPhase): void {
    this.#phase = phase;
  }

  set statSn(value: number) {
    this.#statSn = value;
  }

  /** The StatSN that the next status will carry. */
  get statSn(): number {
    return this.#statSn;
  }

  takeStatSn(): number {
    const taken = this.#statSn;
    this.#statSn = serialAdd(taken, 1);
    return taken;
  }

  onPdu(pdu: IncomingPdu): void {
    this.#phase?.onPdu(pdu);
  }

  onDataDigestError(pdu: IncomingPdu): void {
    this.#phase?.onDataDigestError(pdu);
  }

  /** One flush for everything that completes in this turn of the event loop. */
  flushSoon(): void {
    if (this.#flushIsDue) return;
    this.#flushIsDue = true;
    setImmediate(() => {
      this.#flushIsDue = false;
      if (!this.#closed) this.writer.flush();
    });
  }

  /** Sends what is built, then closes; an initiator that does not take it is cut off. */
  end(): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    this.reader.stop();
    this.writer.flush();
    this.socket.end();
    this.#linger = setTimeout(() => this.socket.destroy(), LINGER_MS).unref();
  }

  /** Closes at once. */
  destroy(): void {
    this.reader.stop();
    this.socket.destroy();
  }

  #received(chunk: Buffer): void {
    this.heard = true;
    try {
      this.reader.feed(chunk);
    } catch (error) {
      this.fault(error);
      return;
    }
    if (this.#closed) return;
    this.writer.flush();
    if (this.writer.queuedBytes > this.#stopReadingAtBytes) this.socket.pause();
  }

  /** Nothing that one peer sends may reach beyond its own connection. */
  fault(error: unknown): void {
    const from = this.remoteAddress;
    if (error instanceof RestoreError) {
      this.#logger.warn({ from, err: error }, 'an iSCSI connection broke the protocol; closed');
    } else this.#logger.error({ from, err: error }, 'an iSCSI connection failed; closed');
    this.destroy();
  }

  #sent(): void {
    if (this.#closed) return;
    this.#phase?.onSent();
    this.writer.flush();
    const roomAgain = this.writer.queuedBytes <= this.#stopReadingAtBytes;
    if (roomAgain && this.socket.isPaused()) this.socket.resume();
  }

  #gone(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.reader.stop();
    this.#phase?.onClosed();
    this.writer.dispose();
    clearTimeout(this.#linger);
  }
}

/** An IPv4 address inside an IPv6 one is shown as itself. */
function plainAddress(address: string | undefined): string {
  return (address ?? 'unknown').replace(/^::ffff:(?=\d+\.)/, '');
}
