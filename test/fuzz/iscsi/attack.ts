/** Mutated PDUs, by a seeded generator: one connection's worth at a time. */
import { RawClient } from '../../e2e/iscsi/raw-client.ts';

const PDUS_PER_CONNECTION = 60;
const BHS_BYTES = 48;

export type Random = () => number;

/** Logout and login end a session, and so are rare. */
const INITIATOR_OPCODES = [
  0x00, 0x00, 0x00, 0x02, 0x02, 0x04, 0x04, 0x05, 0x05, 0x05, 0x05, 0x10, 0x06, 0x03,
];
export const READ_OPCODES: readonly number[] = [
  0x00, 0x03, 0x08, 0x0a, 0x12, 0x16, 0x17, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2a, 0x2f, 0x34, 0x35,
  0x41, 0x42, 0x5a, 0x5e, 0x88, 0x8a, 0x8f, 0x90, 0x91, 0x9e, 0xa0, 0xa3, 0xa8, 0xaf,
];
/** What changes a disk, its modes or its reservations. */
export const CHANGE_OPCODES: readonly number[] = [
  0x0a, 0x15, 0x2a, 0x2a, 0x2a, 0x2a, 0x2a, 0x2a, 0x2e, 0x35, 0x41, 0x42, 0x42, 0x42, 0x4d, 0x55,
  0x5e, 0x5f, 0x89, 0x8a, 0x8a, 0x8a, 0x8a, 0x8a, 0x8a, 0x8b, 0x8e, 0x91, 0x93, 0x93, 0xaa, 0xae,
];
/** Mostly large: small ones cost most of the time. */
const PIECE_BYTES = [1_000_000, 1_000_000, 1_000_000, 4096, 4096, 4096, 100, 49];
/** Untagged, SIMPLE, ORDERED, HEAD OF QUEUE. */
const ATTRIBUTES = [0, 1, 1, 1, 2, 3];
const TEXTS = [
  'SendTargets=All\0',
  'SendTargets=\0',
  'MaxRecvDataSegmentLength=512\0',
  'X=\0Y\0',
  '\xff\xfe=\0',
  'AuthMethod=CHAP\0CHAP_A=5\0CHAP_N=x\0CHAP_R=0x00\0',
];

/** Whom to attack, and with what. */
export interface Attack {
  /** Open to anyone. */
  readonly open: string;
  /** Asks for credentials. */
  readonly guarded: string;
  readonly opcodes: readonly number[];
  /** The share of SCSI commands among all PDUs; others often end the session. */
  readonly commandShare: number;
  /** How many task tags are used; few of them collide with tasks that wait for their data. */
  readonly tags: number;
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)] as T;
}

function byte(random: Random): number {
  return random() < 0.5 ? pick(random, [0, 1, 0x7f, 0x80, 0xff]) : Math.floor(random() * 256);
}

/** A PDU that makes sense, more or less. */
function wellFormed(
  random: Random,
  { opcodes, commandShare }: Attack,
  cmdSn: number,
  tag: number,
): { bhs: Buffer; data: Buffer } {
  const bhs = Buffer.alloc(BHS_BYTES);
  const opcode = random() < commandShare ? 0x01 : pick(random, INITIATOR_OPCODES);
  bhs[0] = opcode | (random() < 0.2 ? 0x40 : 0);
  bhs[1] =
    0x80 |
    (opcode === 0x01
      ? pick(random, [0x40, 0x20, 0x00]) | pick(random, ATTRIBUTES)
      : byte(random) & 0x0f);
  bhs.writeUInt32BE(tag, 16);
  bhs.writeUInt32BE(random() < 0.5 ? 4096 : 0xffffffff, 20);
  bhs.writeUInt32BE(cmdSn, 24);
  let data: Buffer = Buffer.alloc(0);
  if (opcode === 0x01) {
    bhs[32] = pick(random, opcodes);
    for (let at = 33; at < BHS_BYTES; at += 1) if (random() < 0.15) bhs[at] = byte(random);
    const parameters = parameterList(random, bhs.readUInt8(32));
    if (parameters !== undefined && random() < 0.8) {
      parameters.cdb.copy(bhs, 33);
      data = parameters.data;
      bhs[1] = 0xa0 | pick(random, ATTRIBUTES);
      bhs.writeUInt32BE(data.length, 20);
    } else if (random() < 0.3) data = Buffer.alloc(Math.floor(random() * 2048), byte(random));
  } else if (opcode === 0x04) data = Buffer.from(pick(random, TEXTS), 'latin1');
  else if (random() < 0.5) data = Buffer.alloc(Math.floor(random() * 600), byte(random));
  return { bhs, data };
}

/** Parameters that make sense, more or less, and the CDB from its second byte on. */
function parameterList(random: Random, opcode: number): { cdb: Buffer; data: Buffer } | undefined {
  if (opcode === 0x42) {
    const data = Buffer.alloc(8 + 16 * Math.floor(random() * 5));
    data.writeUInt16BE(data.length - 8, 2);
    for (let at = 8; at < data.length; at += 16) {
      data.writeUInt32BE(Math.floor(random() * 20_000), at + 4);
      data.writeUInt32BE(Math.floor(random() * 300), at + 8);
    }
    return { cdb: Buffer.of(0, 0, 0, 0, 0, 0, data.length >> 8, data.length & 0xff, 0), data };
  }
  if (opcode === 0x5f) {
    const data = Buffer.alloc(24);
    data[7] = Math.floor(random() * 3);
    data[15] = Math.floor(random() * 3);
    const action = Math.floor(random() * 8);
    return { cdb: Buffer.of(action, Math.floor(random() * 9), 0, 0, 0, 0, 0, 24, 0), data };
  }
  if (opcode === 0x2a || opcode === 0x8a) {
    const data = Buffer.alloc(512 * (1 + Math.floor(random() * 4)), byte(random));
    const block = Math.floor(random() * 17_000);
    const cdb = Buffer.alloc(15);
    cdb[0] = pick(random, [0, 0x08, 0x10]);
    cdb.writeUInt32BE(block, opcode === 0x2a ? 1 : 5);
    if (opcode === 0x2a) cdb.writeUInt16BE(data.length / 512, 6);
    else cdb.writeUInt32BE(data.length / 512, 9);
    return { cdb, data };
  }
  return undefined;
}

/** Lengths, opcode and CmdSN: a wrong one mostly ends the connection, so few of them are tried. */
const FATAL_BYTES = new Set([0, 4, 5, 6, 7, 24, 25, 26, 27]);

/** What goes onto the wire. */
interface Shot {
  readonly bytes: Buffer;
  /** Its header was changed, or it was cut short. */
  readonly isMutated: boolean;
}

/** A PDU, mostly mutated. */
function shot(random: Random, victims: Attack, cmdSn: number, tag: number): Shot {
  const { bhs, data } = wellFormed(random, victims, cmdSn, tag);
  bhs.writeUInt32BE(data.length, 4);
  const before = Buffer.from(bhs);
  const mutations = random() < 0.3 ? 0 : 1 + Math.floor(random() * 4);
  for (let count = 0; count < mutations; count += 1) {
    const at = Math.floor(random() * BHS_BYTES);
    if (FATAL_BYTES.has(at) && random() < 0.95) continue;
    bhs[at] = byte(random);
  }
  const whole = Buffer.concat([bhs, data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
  const isCut = random() < 0.002;
  return {
    bytes: isCut ? whole.subarray(0, Math.floor(random() * whole.length)) : whole,
    isMutated: isCut || !bhs.equals(before),
  };
}

/** Immediate PDUs use the number of the next; Data-Out and SNACK have none. */
function takesNumber(pdu: Buffer): boolean {
  const first = pdu[0] ?? 0;
  const opcode = first & 0x3f;
  return (first & 0x40) === 0 && opcode !== 0x05 && opcode !== 0x10;
}

/**
 * One connection's worth: sometimes the login itself is mutated, sometimes what comes after.
 *
 * @returns how many mutated PDUs were sent; what was not sent because the target closed is not counted.
 */
export async function attack(
  port: number,
  victims: Attack,
  random: Random,
  isid: number,
): Promise<number> {
  const { open, guarded } = victims;
  const client = await RawClient.connect(port);
  try {
    if (random() < 0.2) return await sendLogins(client, [open, guarded, 'iqn.none'], random);
    const keys = [
      `MaxRecvDataSegmentLength=${pick(random, [512, 8192, 262_144])}`,
      `MaxBurstLength=${pick(random, [512, 65_536, 1_048_576])}`,
      `InitialR2T=${pick(random, ['Yes', 'No'])}`,
      `ImmediateData=${pick(random, ['Yes', 'No'])}`,
    ];
    await client.login({ target: open, isid, keys });
    const shots: Shot[] = [];
    for (let count = 0; count < PDUS_PER_CONNECTION; count += 1) {
      const next = shot(random, victims, client.cmdSn, 1 + Math.floor(random() * victims.tags));
      shots.push(next);
      // A number out of turn ends the session: few of them are tried.
      if (takesNumber(next.bytes) || random() < 0.01) client.cmdSn += 1;
    }
    const bytes = Buffer.concat(shots.map((each) => each.bytes));
    return mutatedWithin(shots, await sendSplit(client, bytes, random));
  } finally {
    client.close();
  }
}

function mutatedWithin(shots: readonly Shot[], sentBytes: number): number {
  let count = 0;
  let end = 0;
  for (const { bytes, isMutated } of shots) {
    end += bytes.length;
    if (end > sentBytes) break;
    if (isMutated) count += 1;
  }
  return count;
}

async function sendLogins(
  client: RawClient,
  targets: readonly string[],
  random: Random,
): Promise<number> {
  let mutated = 0;
  for (let index = 0; index < 3; index += 1) {
    const target = pick(random, targets);
    const keys = Buffer.from(
      `InitiatorName=iqn.x\0TargetName=${target}\0${pick(random, TEXTS)}`,
      'latin1',
    );
    const bhs = Buffer.alloc(BHS_BYTES);
    bhs[0] = 0x43;
    bhs[1] = pick(random, [0x00, 0x04, 0x81, 0x83, 0x87, 0x44]);
    bhs.writeUInt32BE(keys.length, 4);
    let mutation = random() * 3;
    if (mutation > 1) mutated += 1;
    for (; mutation > 1; mutation -= 1) {
      bhs[Math.floor(random() * BHS_BYTES)] = byte(random);
      keys[Math.floor(random() * keys.length)] = byte(random);
    }
    client.socket.write(Buffer.concat([bhs, keys, Buffer.alloc((4 - (keys.length % 4)) % 4)]));
  }
  await settle(client);
  return mutated;
}

/** In pieces of any size, so that headers are split everywhere. Returns how many bytes were sent. */
async function sendSplit(client: RawClient, bytes: Buffer, random: Random): Promise<number> {
  const pieceBytes = pick(random, PIECE_BYTES);
  let at = 0;
  for (; at < bytes.length && !client.ended; at += pieceBytes) {
    client.socket.write(bytes.subarray(at, at + pieceBytes));
    if (pieceBytes < 1000) await new Promise((resolve) => setImmediate(resolve));
  }
  await settle(client);
  return at;
}

/** Takes answers until nothing more comes for a moment. */
async function settle(client: RawClient): Promise<void> {
  try {
    for (;;) await client.receive(15);
  } catch {
    // Silent or closed: both are fine here.
  }
}
